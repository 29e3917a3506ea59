"""Energies against forces and stresses: the work done between two frames is the change of the energy.

From frame a to frame b, to second order in the displacements (trapezoidal rule),
E_b - E_a = -1/2 sum_i (F_a + F_b)_i . u_i + 1/2 (V_a sigma_a + V_b sigma_b) : epsilon,
with u_i the displacements relative to the cell and epsilon the strain from the mean cell. It holds for any
two frames of the same atoms that are close, and ties the units, signs and frames of three files together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from n2amd.frames.frame import Frame

#: Frames with atoms farther from each other (Angstrom) or cells more strained are not compared.
MAX_DISPLACEMENT = 0.3
MAX_STRAIN = 0.03
#: Tolerance in parts of the largest possible work: constant, and per Angstrom of displacement.
RELATIVE, PER_ANGSTROM = 0.05, 2.0
#: Noise of a self-consistent cycle, eV: constant, and per atom.
ABSOLUTE, PER_ATOM = 2e-3, 3e-4


@dataclass(frozen=True)
class Work:
    """Change of the energy from one frame to another, and what forces and stress say about it.

    Attributes
    ----------
    change
        E_b - E_a, eV.
    expected
        Work of forces and stress, eV.
    tolerance
        Largest plausible difference of the two, eV.
    noise
        Change of the energy that says nothing, eV.
    """

    change: float
    expected: float
    tolerance: float
    noise: float

    @property
    def agrees(self) -> bool:
        """Tell whether the energies follow the forces."""
        return abs(self.change - self.expected) <= self.tolerance

    @property
    def tells(self) -> bool:
        """Tell whether the change is more than noise."""
        return max(abs(self.change), abs(self.expected)) > self.noise


def work_between(a: Frame, b: Frame) -> Work | None:
    """Compare the energies of two frames with their forces and stresses.

    Parameters
    ----------
    a, b
        Two frames.

    Returns
    -------
    work
        None where the frames hold other atoms, are too far from each other, or lack energies, forces or, in
        different cells, stresses.
    """
    if a.energy is None or b.energy is None or a.forces is None or b.forces is None:
        return None
    if not np.array_equal(a.structure.numbers, b.structure.numbers):
        return None
    mean = (a.structure.cell + b.structure.cell) / 2
    gradient = np.linalg.solve(mean, b.structure.cell - a.structure.cell)
    strain = (gradient + gradient.T) / 2
    largest_strain = float(np.abs(strain).max())
    step = b.structure.positions @ np.linalg.inv(b.structure.cell)
    step -= a.structure.positions @ np.linalg.inv(a.structure.cell)
    displacement = (step - np.rint(step)) @ mean
    farthest = float(np.linalg.norm(displacement, axis=1).max())
    if farthest > MAX_DISPLACEMENT or largest_strain > MAX_STRAIN:
        return None
    forces = (a.forces + b.forces) / 2
    expected = -float((forces * displacement).sum())
    largest = float((np.linalg.norm(forces, axis=1) * np.linalg.norm(displacement, axis=1)).sum())
    if largest_strain > 1e-8:
        if a.stress is None or b.stress is None:
            return None
        tension = (a.structure.volume * a.stress + b.structure.volume * b.stress) / 2
        expected += float((tension * strain).sum())
        largest += float(np.linalg.norm(tension) * np.linalg.norm(strain))
    noise = ABSOLUTE + PER_ATOM * len(forces)
    tolerance = (RELATIVE + PER_ANGSTROM * farthest) * largest + noise
    return Work(b.energy - a.energy, expected, tolerance, noise)
