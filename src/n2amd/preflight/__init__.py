"""Everything that a job names, opened and compared before anything is trained: `n2amd config check`."""
