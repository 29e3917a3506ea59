"""The equivariant Hamiltonian network: layers, training, evaluation, prediction.

Vectors enter as (y, z, x), so that e3nn's l = 1 basis is the canonical p = (y, z, x) and every l-block is
z-polar with m = -l..l, the order of `n2amd.orbitals`.
"""
