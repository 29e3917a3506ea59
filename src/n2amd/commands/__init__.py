"""Command-line stages: thin doors to the science, one module a stage, heavy imports inside each command."""
