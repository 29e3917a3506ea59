"""Two hydrogen atoms in a box: the smallest frame with everything that the gate looks at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.linalg

from n2amd.blocks.matrix import fold
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure


def molecule(length: float, box: float, *, exponent: float = 1.0) -> tuple[Frame, Basis]:
    """Two hydrogen atoms in a box, Gaussian s functions, with the bands of their own (H, S)."""
    step, cutoff = 0.02, 3.0
    r = np.arange(0.0, cutoff + step / 2, step)
    values = np.exp(-exponent * r**2) - np.exp(-exponent * cutoff**2)
    values /= np.sqrt(np.trapezoid(values**2 * r**2, r))
    basis = Basis({1: AtomBasis(1, (Shell(0, "1s", RadialFunction(step, values, cutoff)),), 1.0)})
    positions = np.array([[0.0, 0.0, 0.0], [length, 0.0, 0.0]])
    structure = Structure(np.diag([box, box, box]), positions, np.array([1, 1]))
    s = overlap(OverlapTable.from_basis(basis), structure)
    h = s.map({key: -10.0 * blocks for key, blocks in s.values.items()})
    h.values[1, 1][0, ~s.pairs[1, 1].on_site] *= 1.75
    frame = Frame("H2", structure, h, s, 2.0)
    dense_h, dense_s = (fold(matrix, basis.orbital_offsets([1, 1])).real for matrix in (h, s))
    energies = scipy.linalg.eigvalsh(dense_h, dense_s)
    return replace(frame, bands=BandReference(np.zeros((1, 3)), np.ones(1), energies[None, None])), basis
