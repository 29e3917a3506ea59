"""Rotations into the bond frame and their Wigner matrices, finite and smooth for every direction.

No single smooth frame covers the sphere, so each bond takes one of two charts. The convolution does not
depend on the roll of the frame about the bond, hence value and derivative agree wherever both charts exist.
Matrices of higher l follow from l = 1 by Clebsch-Gordan products: polynomials of the rotation matrix, no
angles, no poles.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from n2amd.orbitals.harmonics import gaunt


def bond_frames(directions: Tensor) -> Tensor:
    """Rotations that take each unit vector to +z.

    Parameters
    ----------
    directions
        Unit bond vectors (x, y, z), (n_edges, 3).

    Returns
    -------
    rotations
        (n_edges, 3, 3) with `rotations @ direction = (0, 0, 1)`, determinant +1.

    Notes
    -----
    For z >= 0 the smallest rotation of r to +z; for z < 0 the smallest rotation of r to -z followed by a half
    turn about x. Each formula is only evaluated where its denominator 1 + |z| is at least 1.
    """
    x, y, z = directions.unbind(-1)
    upper = z >= 0
    # the lower chart is the upper one seen after the half turn about x: (x, y, z) -> (x, -y, -z)
    y, z = torch.where(upper, y, -y), torch.where(upper, z, -z)
    w = 1.0 / (1.0 + z)
    a, b, c = 1.0 - x * x * w, -x * y * w, 1.0 - y * y * w
    minimal = torch.stack([a, b, -x, b, c, -y, x, y, z], dim=-1).reshape(-1, 3, 3)
    half_turn = torch.tensor([1.0, -1.0, -1.0], dtype=directions.dtype, device=directions.device)
    return torch.where(upper[:, None, None], minimal, minimal * half_turn)


@lru_cache(maxsize=32)
def _coupling(l: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Map from products of elements of D_(l - 1) and D_1 to elements of D_l.

    Its rows are (row and column of D_(l - 1), row and column of D_1), its columns (row and column of D_l). It
    is the orthonormal map from (l - 1) x 1 to l, Gaunt coefficients scaled, for rows and for columns.
    """
    rows = torch.tensor(gaunt(l - 1, 1, l)).permute(2, 0, 1)
    rows = rows / torch.linalg.vector_norm(rows[0])
    products = torch.einsum("mai,nbj->abijmn", rows, rows).reshape(9 * (2 * l - 1) ** 2, -1)
    return products.to(device, dtype).contiguous()


def wigner_matrices(rotations: Tensor, l_max: int) -> list[Tensor]:
    """Wigner matrices of proper rotations.

    Parameters
    ----------
    rotations
        Proper rotation matrices acting on (x, y, z), (n, 3, 3).
    l_max
        Highest angular momentum.

    Returns
    -------
    matrices
        For l = 0..l_max a tensor (n, 2l + 1, 2l + 1) with Y_l(R r) = D_l Y_l(r), canonical order.
    """
    order = torch.tensor([1, 2, 0], device=rotations.device)  # p = (y, z, x)
    d1 = rotations[:, order][:, :, order]
    matrices = [torch.ones_like(rotations[:, :1, :1]), d1]
    for l in range(2, l_max + 1):
        products = matrices[-1].reshape(-1, (2 * l - 1) ** 2, 1) * d1.reshape(-1, 1, 9)
        # one matrix product for all bonds: many products of matrices as small as these are slow
        coupling = _coupling(l, rotations.dtype, rotations.device)
        matrices.append((products.flatten(1) @ coupling).reshape(-1, 2 * l + 1, 2 * l + 1))
    return matrices[: l_max + 1]


def bond_wigner(directions: Tensor, l_max: int) -> list[Tensor]:
    """Wigner matrices into the frame of each bond, l = 0..l_max; compute once a frame, share over layers."""
    return wigner_matrices(bond_frames(directions), l_max)
