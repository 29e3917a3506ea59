"""Files of CP2K (Quickstep)."""
