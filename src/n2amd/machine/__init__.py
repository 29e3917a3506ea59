"""What this machine has, and what each stage of the pipeline will use of it: `n2amd doctor`."""
