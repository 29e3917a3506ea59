"""A crystal of springs: an analytic calculator for the tests of molecular dynamics.

Bonds are fixed at the start, so that energies and forces are smooth at any distance and the same positions
always give the same bits.
"""

from __future__ import annotations

import os
import signal

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list

from n2amd.structure import Structure

STIFFNESS = 3.0  # eV/A^2


def copper(repeats: int = 2) -> Structure:
    """32 atoms of fcc copper for two repeats."""
    return Structure.from_ase(bulk("Cu", cubic=True) * ([repeats] * 3))


class Springs(Calculator):
    """Harmonic bonds between nearest neighbours of a crystal.

    `then` is called with the number of every force call, before the forces are returned.
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, structure: Structure, then=None) -> None:
        super().__init__()
        atoms = structure.to_ase()
        distances = atoms.get_all_distances(mic=True)
        nearest = distances[distances > 0].min()
        self.i, self.j, self.shift, self.length = neighbor_list("ijSd", atoms, 1.1 * nearest)
        self.then, self.calls = then, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.energy_and_forces(atoms)
        self.calls += 1
        if self.then is not None:
            energy, forces = self.then(self.calls, energy, forces)
        self.results = {"energy": energy, "forces": forces}

    def energy_and_forces(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        bonds = atoms.positions[self.j] - atoms.positions[self.i] + self.shift @ atoms.cell.array
        length = np.linalg.norm(bonds, axis=1)
        stretch = length - self.length
        forces = np.zeros_like(atoms.positions)
        # every bond is listed from both ends
        np.add.at(forces, self.i, (STIFFNESS * stretch / length)[:, None] * bonds)
        return 0.25 * STIFFNESS * float(stretch @ stretch), forces


def kill_at(call: int):
    """End the process as `kill -9` does, at the given force call."""

    def then(calls, energy, forces):
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return energy, forces

    return then


def not_finite_from(call: int):
    """Return a force that is not a number from the given call on."""

    def then(calls, energy, forces):
        return (energy, np.full_like(forces, np.nan)) if calls >= call else (energy, forces)

    return then


def push_from(call: int, force: float = 500.0):
    """Push one atom hard against another from the given call on."""

    def then(calls, energy, forces):
        if calls >= call:
            forces = forces.copy()
            forces[0] += force
        return energy, forces

    return then
