"""Memory of a GPU that the states of a frame take, GB.

Fitted to `peak_GB` of benchmarks/results/gpu_states.csv and `gpu_GB` of gpu_hamiltonian.csv, both on an H200;
a test holds it against every row. Matrices have some 2,500 elements a row there.
"""

from __future__ import annotations

#: Room for what the fit is off by.
DEVICE_SPARE = 1.15
#: Of CUDA's libraries.
DRIVER_GB = 0.8
#: Up to this size products are those of dense matrices (`states.solvers.device_pencil`).
DENSE_UP_TO = 12000
#: Dense matrices at once, up to that size and beyond it: with H and S, or the factor alone.
DENSE_MATRICES, FACTOR = 6.0, 1.0
#: Sparse matrices and the basis of Lanczos, GB an orbital.
LINEAR_GB = 8.2e-5
#: What the program holds since those rows were measured: twice as large a basis; where frames share a factor
#: H and S of the second one, dense up to that size; gathered elements of both beyond it. By their sizes.
BASIS_GB, SECOND_GB, GATHERED_GB = 1.9e-5, 5.0e-5, 8.0e-5
SECOND_MATRICES = 2.0
#: The network while it predicts H, and an atom's share of it.
NETWORK_GB, NETWORK_ATOM_GB = 0.75, 6.8e-4


def own_factor_GB(n_orbitals: float) -> float:  # noqa: N802 - the unit
    """Memory of a frame with a factor of its own, as it was measured: real matrices, no libraries.

    Examples
    --------
    >>> round(own_factor_GB(74880), 1)
    51.0
    """
    matrices = DENSE_MATRICES if n_orbitals <= DENSE_UP_TO else FACTOR
    return 8e-9 * matrices * n_orbitals**2 + LINEAR_GB * n_orbitals


def prediction_GB(n_atoms: int) -> float:  # noqa: N802
    """Memory of the network while it predicts H."""
    return NETWORK_GB + NETWORK_ATOM_GB * n_atoms


def states_GB(n_orbitals: float, *, shares_factors: bool, is_complex: bool) -> float:  # noqa: N802
    """Memory of the states of a frame, and of the one whose factor it may share.

    Parameters
    ----------
    n_orbitals
        Size of the matrices.
    shares_factors
        Whether frames share factors.
    is_complex
        Whether H and S are.
    """
    total = own_factor_GB(n_orbitals) + BASIS_GB * n_orbitals
    if n_orbitals > DENSE_UP_TO:
        total += GATHERED_GB * n_orbitals * (1 if shares_factors else 0.5)
    if shares_factors:
        total += SECOND_GB * n_orbitals
        if n_orbitals <= DENSE_UP_TO:
            total += 8e-9 * SECOND_MATRICES * n_orbitals**2
    return total * (2 if is_complex else 1)
