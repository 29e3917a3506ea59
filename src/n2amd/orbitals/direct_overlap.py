"""Two-centre overlaps straight from their defining sum: slow and short, the yardstick of the kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import spherical_jn

from n2amd.orbitals.basis import AtomBasis
from n2amd.orbitals.bessel_transform import RadialTransforms
from n2amd.orbitals.harmonics import gaunt, real_harmonics


def direct_overlap(
    bra: AtomBasis, ket: AtomBasis, transforms: RadialTransforms, vector: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Overlap block of one bond.

    S = 8 sum_L Re i^(l1 - l2 - L) int k^2 F_a F_b j_L(k d) dk sum_M G(l1 m1, l2 m2, L M) Y_LM(d), without
    splines, solid harmonics or the truncation at the orbitals' radii.

    Parameters
    ----------
    bra, ket
        The two atoms' shells.
    transforms
        Bessel transforms of both.
    vector
        Bond vector from `bra` to `ket`, (3,), Angstrom, not zero.

    Returns
    -------
    block
        (n_i, n_j).
    """
    k = transforms.k
    block = np.zeros((bra.n_orbitals, ket.n_orbitals))
    for (first, rows), f_bra in zip(bra.shell_slices(), transforms.values[bra.number]):
        for (second, columns), f_ket in zip(ket.shell_slices(), transforms.values[ket.number]):
            for L in range(abs(first.l - second.l), first.l + second.l + 1, 2):
                bessel = spherical_jn(L, k * np.linalg.norm(vector))
                radial = 8 * np.sum(transforms.weights * k**2 * f_bra * f_ket * bessel)
                phase = (1j ** (first.l - second.l - L)).real
                angular = gaunt(first.l, second.l, L) @ real_harmonics(L, vector)
                block[rows, columns] += phase * radial * angular
    return block
