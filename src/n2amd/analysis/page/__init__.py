"""One page with the answer of a job, every figure and how it was made: a single file without the network."""
