"""Harmonic fits against crystals whose force constants are known."""

from __future__ import annotations

import numpy as np
import pytest
from springs import STIFFNESS, Springs, copper

from n2amd.errors import InputError
from n2amd.forcefield import phonons
from n2amd.forcefield.calculator import ForceField
from n2amd.forcefield.force_constants import fit_force_constants, match_sites, operations_of, wave_numbers
from n2amd.interop.extxyz import LabelledFrame
from n2amd.interop.structures import read_structure
from n2amd.structure import Structure


def chain(n: int, spacing: float = 2.0) -> Structure:
    """A linear chain along z of atoms of one element, in a wide cell."""
    positions = np.zeros((n, 3))
    positions[:, 2] = spacing * np.arange(n)
    return Structure(np.diag([11.0, 12.0, n * spacing]), positions, np.full(n, 29))


def springs_of_chain(n: int, along: float, across: float) -> np.ndarray:
    """Force constants of neighbours joined by springs that resist stretch and shear."""
    phi = np.zeros((n, 3, n, 3))
    for k in range(n):
        for axis, stiffness in enumerate((across, across, along)):
            following = (k + 1) % n
            for a, b, sign in ((k, k, 1), (following, following, 1), (k, following, -1), (following, k, -1)):
                phi[a, axis, b, axis] += sign * stiffness
    return phi.reshape(3 * n, 3 * n)


def test_space_group_of_rutile(rutile_file):
    # P4_2/mnm has 16 operations; 8 translations of the 2x2x2 supercell
    unit = read_structure(rutile_file)
    assert len(operations_of(unit)) == 16
    operations = operations_of(unit.supercell((2, 2, 2)))
    assert len(operations) == 128
    for operation in operations:
        np.testing.assert_allclose(operation.rotation @ operation.rotation.T, np.eye(3), atol=1e-9)
        assert sorted(operation.image) == list(range(48))


def test_known_force_constants_come_back():
    ideal = chain(6)
    phi = springs_of_chain(6, 3.0, 1.0)
    displacements = 0.05 * np.random.default_rng(3).normal(size=(3, 6, 3))
    forces = -(displacements.reshape(3, -1) @ phi).reshape(displacements.shape)
    found = fit_force_constants(displacements, forces, operations_of(ideal))
    np.testing.assert_allclose(found.force_constants, phi, atol=1e-9)
    assert found.explained == pytest.approx(1.0)


def test_frequencies_of_a_chain():
    # w^2 = 4 K / m sin^2(q a / 2) at the q that fit into the cell (Born and von Karman)
    n, mass, along, across = 6, 63.5, 3.0, 1.0
    found = wave_numbers(springs_of_chain(n, along, across), np.full(n, mass))
    half = np.pi * np.arange(1, n) / n
    waves = [np.sqrt(4 * stiffness / mass) * np.sin(half) for stiffness in (along, across, across)]
    # sqrt(1 eV / A^2 / amu) is 521.47 cm^-1
    np.testing.assert_allclose(found, np.sort(521.471 * np.concatenate(waves)), rtol=1e-5)


def test_an_unstable_direction_is_negative():
    found = wave_numbers(springs_of_chain(4, 3.0, -1.0), np.full(4, 10.0))
    assert (found[:6] < 0).all()
    assert (found[6:] > 0).all()


def test_few_frames_of_no_symmetry_are_refused():
    rng = np.random.default_rng(1)
    ideal = Structure(5.0 * np.eye(3), 5.0 * rng.random((6, 3)), np.array([1, 6, 7, 8, 9, 16]))
    u = 0.05 * rng.normal(size=(3, 6, 3))
    with pytest.raises(InputError, match="3 displaced frames reach 2 of 15 directions"):
        fit_force_constants(u, -u, operations_of(ideal))


def test_sites_of_shuffled_and_wrapped_atoms():
    ideal = copper()
    order = np.random.default_rng(2).permutation(32)
    moved = ideal.positions + 0.05 * np.random.default_rng(4).normal(size=(32, 3))
    shift = np.zeros((32, 3))
    shift[::3] = ideal.cell[1] - ideal.cell[0]
    frame = Structure(ideal.cell, (moved + shift)[order], ideal.numbers)
    atom, displacement = match_sites(ideal, frame)
    assert (order[atom] == np.arange(32)).all()
    np.testing.assert_allclose(displacement, moved - ideal.positions, atol=1e-12)


def test_frames_of_something_else_are_refused():
    ideal = copper()
    with pytest.raises(InputError, match="another cell"):
        match_sites(ideal, copper(1))
    molten = ideal.positions.copy()
    molten[0] = molten[1] + 0.1
    with pytest.raises(InputError, match="have left their sites"):
        match_sites(ideal, ideal.with_positions(molten))


@pytest.mark.parametrize(("stiffer", "expected"), [(1.0, 0.0), (1.21, 0.1)])
def test_phonons_of_two_models(monkeypatch, stiffer, expected):
    """Springs 1.21 times as stiff vibrate 1.1 times as fast."""
    ideal = copper()
    rng = np.random.default_rng(5)
    frames = []
    for _ in range(6):
        structure = ideal.with_positions(ideal.positions + 0.03 * rng.normal(size=(32, 3)))
        atoms = structure.to_ase()
        atoms.calc = Springs(ideal)
        frames.append(LabelledFrame("springs", structure, 0.0, atoms.get_forces()))

    class Stiffer(Springs):
        def calculate(self, *arguments, **options):
            super().calculate(*arguments, **options)
            self.results["forces"] = stiffer * self.results["forces"]

    loaded = ForceField(Stiffer(ideal), ("Cu",), 3.0, "packaged", "cpu")
    monkeypatch.setattr(phonons, "load_forcefield", lambda path, device: loaded)
    found = phonons.compare_phonons("springs", frames, ideal)
    assert found["n_frames"] == 6
    assert len(found["dft_cm"]) == 93
    np.testing.assert_allclose(found["model_cm"], (1 + expected) * found["dft_cm"], rtol=1e-6, atol=1e-4)
    rms = float(np.sqrt((found["dft_cm"] ** 2).mean()))
    assert found["rms_difference_cm"] == pytest.approx(expected * rms, abs=1e-4)
    assert STIFFNESS == 3.0
    # fcc of nearest-neighbour springs: w^2 = 8 K / m at X along the cube axis, the largest
    assert found["dft_cm"].max() == pytest.approx(521.471 * np.sqrt(8 * STIFFNESS / 63.546), rel=0.02)
