"""Bent sheets: bonds along the middle keep their lengths, curvature is what was asked for, vacuum stays."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.config.structures import StructureSettings
from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.structures.distortions import generate
from n2amd.structures.ripples import STEEPEST, Wave, rippled


def sheet(n: int = 8, buckling: float = 0.0) -> Structure:
    """A honeycomb sheet across the border of its cell, whose third vector leans."""
    a = 2.5
    unit = a * np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(3) / 2, 0.0], [0.2, 0.1, 4.0]])
    corner = [np.zeros(3), (unit[0] + 2 * unit[1]) / 3 + np.array([0.0, 0.0, buckling])]
    positions = np.array([c + k * unit[0] for k in range(n) for c in corner])
    cell = unit * np.array([[n], [1], [1]])
    return Structure(cell, positions, np.full(2 * n, 6))


def bonds(structure: Structure, cutoff: float) -> np.ndarray:
    """Sorted lengths of the bonds below a cutoff, Angstrom."""
    near = range(-2, 3)
    shifts = np.array([[i, j, k] for i in near for j in near for k in (-1, 0, 1)]) @ structure.cell
    apart = structure.positions[:, None, None] - structure.positions[None, :, None] + shifts
    lengths = np.linalg.norm(apart, axis=-1)
    return np.sort(lengths[(lengths < cutoff) & (lengths > 0.1)])


@pytest.mark.parametrize("curvature", [0.02, 0.25])
def test_a_wave_has_its_curvature_and_arc_length(curvature):
    wave = Wave.of_arc(15.0, curvature, 0.7)
    assert np.hypot(np.diff(wave.x), np.diff(wave.height)).sum() == pytest.approx(15.0, rel=1e-6)
    bend = np.gradient(wave.angle, wave.arc, edge_order=2)
    assert np.abs(bend).max() == pytest.approx(curvature, rel=1e-3)
    assert wave.length < 15.0


def test_a_long_wave_is_no_steeper_than_it_may():
    wave = Wave.of_arc(100.0, 0.3, 0.0)
    assert np.tan(np.abs(wave.angle).max()) == pytest.approx(STEEPEST)


def test_bonds_of_a_flat_sheet_keep_their_lengths():
    flat = sheet()
    bent, record = rippled(flat, 0.2, 2, np.random.default_rng(3))
    assert record["ripple_along"] == "a"
    assert record["amplitude_A"] > 0.5
    before, after = bonds(flat, 1.6), bonds(bent, 1.6)
    assert len(before) == len(after) == 3 * flat.n_atoms
    # chords are a little shorter than arcs
    np.testing.assert_allclose(after, before, rtol=0.006)
    assert np.all(after <= before + 1e-9)
    heights = [np.ptp(s.positions[:, 2]) for s in (flat, bent)]
    assert heights[1] == pytest.approx(2 * record["amplitude_A"], rel=0.1)
    vacuum = [s.cell[2, 2] - h for s, h in zip((flat, bent), heights)]
    assert vacuum[1] >= vacuum[0] - 1e-9


def test_a_sheet_across_the_border_of_the_cell_is_bent_as_a_whole():
    """Of two planes one may lie on either side of the border: the bent sheet is the same."""
    flat = sheet(buckling=0.5)
    lowered = flat.with_positions(flat.positions - np.array([0.0, 0.0, 0.25]))
    fractional = lowered.positions @ np.linalg.inv(flat.cell)
    wrapped = flat.with_positions((fractional % 1.0) @ flat.cell)
    bent, across = (rippled(s, 0.2, 2, np.random.default_rng(3))[0] for s in (lowered, wrapped))
    np.testing.assert_allclose(bonds(bent, 1.8), bonds(flat, 1.8), rtol=0.01)
    # second neighbours, 2.5 A, are farther apart on the outside, closer on the inside
    second = bonds(bent, 2.9)[3 * flat.n_atoms :]
    assert second.min() < 2.46
    assert second.max() > 2.53
    np.testing.assert_allclose(bonds(across, 2.9), bonds(bent, 2.9), atol=1e-9)


def test_a_crystal_without_vacuum_is_refused():
    with pytest.raises(InputError, match="no vacuum beside a sheet"):
        rippled(sheet(), 0.2, 1, np.random.default_rng(0))


def test_recipe_draws_waves_and_says_what_it_drew():
    recipe = StructureSettings(ripple_per_A=0.2)
    made = list(generate(sheet(), recipe, 0, 3))
    curvatures = [m.record["curvature_per_A"] for m in made]
    assert len(set(curvatures)) == 4
    assert all(0.06 <= c <= 0.2 for c in curvatures)
    again = next(generate(sheet(), recipe, 3, 3))
    np.testing.assert_array_equal(again.structure.positions, made[3].structure.positions)
