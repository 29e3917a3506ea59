"""What every job of the workflow costs: time, memory and GPU from atoms, orbitals, frames and presets.

`states` has the shards, `stages` everything else, `data` the size of DFT data, `partitions` a cluster.
Fitted to measurements of this program on rutile (one thread of a Xeon with AVX-512; one H200):
`benchmarks/results/`, the workflow's own `benchmark:` files, docs/decisions/window-eigensolver.md. They are
upper ends, not means: a job that asks for too much waits longer, one that asks for too little is lost.
"""

from n2amd.cost.states import USUAL_ORBITALS, FrameCost, ShardCost, estimate_shard, frame_cost

__all__ = ["USUAL_ORBITALS", "FrameCost", "ShardCost", "estimate_shard", "frame_cost"]
