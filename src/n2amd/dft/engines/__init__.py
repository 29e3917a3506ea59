"""DFT programs that n2amd runs: one folder a frame, resumable."""
