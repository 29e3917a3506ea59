"""Spin states: eigenstates without spin, each with spin up and down, and the spin-orbit coupling of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from n2amd.structure import Structure


class SpinOrbitElements(Protocol):
    """Anything that gives the spin-orbit coupling between states of a geometry."""

    def spin_orbit_elements(
        self, structure: Structure, vectors: NDArray, kpoint: NDArray[np.float64] | None = None
    ) -> NDArray:
        """Elements A of V_SO = sum over x, y, z of A sigma between states.

        Parameters
        ----------
        structure
            Atoms.
        vectors
            States without spin, (n_orbitals, w).
        kpoint
            Fractional; None: Gamma.

        Returns
        -------
        elements
            (3, w, w), Hermitian, eV.
        """
