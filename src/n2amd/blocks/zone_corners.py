"""K points where band edges mostly lie: centre, face centres and corners of the Brillouin zone."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

#: Time-reversal invariant points: they hold Gamma and fold onto it in a 2x2x2 supercell. There the
#: matrices of real orbitals are real.
INVARIANT = np.stack(np.meshgrid([0.0, 0.5], [0.0, 0.5], [0.0, 0.5], indexing="ij"), -1).reshape(-1, 3)
#: Two lattice vectors make a hexagonal net if their lengths agree to this, relative, and the cosine of their
#: angle is 1/2 or -1/2 to this: thermal strain is no other lattice.
_HEXAGONAL = 0.06


def edge_kpoints(cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """K points to look for band edges at, fractional, (n, 3): the invariant ones first, Gamma before all.

    Those of hexagonal nets are joined by K, (1/3, +-1/3), where the edges of graphene's relatives and of
    MoS2 lie. Of k and -k one is listed.

    Parameters
    ----------
    cell
        Lattice vectors as rows, (3, 3), Angstrom.
    """
    lengths = np.linalg.norm(cell, axis=1)
    corners = []
    for a, b in combinations(range(3), 2):
        cosine = cell[a] @ cell[b] / (lengths[a] * lengths[b])
        alike = abs(lengths[a] / lengths[b] - 1) < _HEXAGONAL
        if alike and abs(abs(cosine) - 0.5) < _HEXAGONAL:
            for third in (0.0, 0.5):
                k = np.full(3, third)
                # reciprocal vectors of an obtuse pair are at an acute angle
                k[a], k[b] = 1 / 3, -np.sign(cosine) / 3
                corners.append(k)
    return np.concatenate([INVARIANT, np.array(corners).reshape(-1, 3)])


def is_invariant(k: NDArray[np.float64]) -> bool:
    """Whether k and -k are the same point."""
    return bool(np.abs(2 * k - np.rint(2 * k)).max() < 1e-9)
