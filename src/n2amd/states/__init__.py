"""States around the gap: window eigensolver, overlaps across time, shards, band structures."""
