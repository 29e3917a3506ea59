"""Each fault is named from made-up evidence, and nothing is where there is none; cells are told apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from n2amd.network.cells import CellGroup, TrainingCells, geometry_hash, smallest_g
from n2amd.network.diagnosis import INDEPENDENT_FRAMES, Evidence, diagnose
from n2amd.structure import Structure

SOUND = Evidence(
    name="frame_0000",
    n_atoms=48,
    smallest_g=0.68,
    beyond_max=1e-5,
    beyond_rms=1e-6,
    raw_shift=0.01,
    overlap_error=1e-8,
    overlap_is_recovered=False,
    mae=5e-4,
    gap_error=0.02,
    false_states=0,
)
CELLS = TrainingCells((CellGroup(6, 30, 30, 1.3), CellGroup(24, 20, 20, 0.66)), frozenset())


def kinds(frames, cells=CELLS):
    return [finding.kind for finding in diagnose(frames, cells)]


def test_larger_cells_that_span_no_longer_waves_are_only_said_to_be_larger():
    assert kinds([SOUND]) == ["extrapolation"]
    assert kinds([replace(SOUND, n_atoms=24)]) == ["small cells"]
    assert kinds([SOUND], None) == []


@pytest.mark.parametrize(
    ("kind", "fault", "figure"),
    [
        ("range", {"beyond_max": 0.02, "beyond_rms": 0.001}, 20.0),
        ("gauge", {"raw_shift": 1.01}, 1000.0),
        ("overlap", {"overlap_error": 2e-5}, 2e-5),
        ("false states", {"false_states": 3}, 1),
    ],
)
def test_one_bad_frame_is_found_and_named(kind, fault, figure):
    frames = [replace(SOUND, name=f"frame_{k:04d}") for k in range(5)]
    frames[3] = replace(frames[3], **fault)
    (found,) = (f for f in diagnose(frames, None) if f.kind == kind)
    assert found.figure == pytest.approx(figure)
    assert "frame_0003" in found.sentence
    assert found.remedy
    assert kinds(frames, None) == [kind]


def test_recovered_overlaps_may_miss_more():
    frame = replace(SOUND, overlap_error=5e-5, overlap_is_recovered=True)
    assert kinds([frame], None) == []
    assert kinds([replace(frame, overlap_error=2e-4)], None) == ["overlap"]


def test_a_cell_with_longer_waves_is_extrapolation_whatever_its_atoms():
    slab = replace(SOUND, n_atoms=12, smallest_g=0.3)
    (found, _) = diagnose([slab], CELLS)
    assert found.kind == "extrapolation"
    assert found.figure == pytest.approx(0.3)
    # thermal strain is no other cell
    assert kinds([replace(SOUND, n_atoms=24, smallest_g=0.65)]) == ["small cells"]


def test_few_independent_frames_of_the_large_cell_are_too_little():
    few = TrainingCells((CellGroup(6, 30, 30, 1.3), CellGroup(48, 16, 2, 0.68)), frozenset())
    (found, _) = diagnose([SOUND], few)
    assert (found.kind, found.figure) == ("too little data", 2)
    assert f"fewer than {INDEPENDENT_FRAMES}" in found.sentence
    enough = TrainingCells((CellGroup(6, 30, 30, 1.3), CellGroup(48, 16, 6, 0.68)), frozenset())
    assert kinds([SOUND], enough) == ["small cells"]


def test_errors_that_grow_with_the_cell_are_said():
    small = replace(SOUND, n_atoms=6, smallest_g=1.3)
    assert kinds([small, replace(SOUND, gap_error=0.025)], None) == []
    (found,) = diagnose([small, replace(SOUND, gap_error=0.06)], None)
    assert found.kind == "growth"
    assert found.figure == pytest.approx(3)
    assert "from 20 to 60 meV" in found.sentence


def cubic(n, scale=1.0):
    grid = np.stack(np.meshgrid(*[range(n)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return Structure(3.0 * scale * n * np.eye(3), 3.0 * scale * grid, np.full(n**3, 14))


def test_cells_are_counted_by_size_and_by_independence():
    rng = np.random.default_rng(0)
    base = cubic(2)
    far = [base.with_positions(base.positions + rng.normal(scale=0.1, size=(8, 3))) for _ in range(3)]
    near = [f.with_positions(f.positions + rng.normal(scale=0.005, size=(8, 3))) for f in far]
    # a whole lattice vector, and a shift of everything, are no motion
    wrapped = far[0].with_positions(far[0].positions + 0.4 + base.cell[0])
    cells = TrainingCells.of_structures([cubic(1), *far, *near, wrapped])
    assert [(g.n_atoms, g.n_frames, g.n_independent) for g in cells.groups] == [(1, 1, 1), (8, 7, 3)]
    assert cells.largest == 8
    assert cells.smallest_g == pytest.approx(2 * np.pi / 6)
    assert cells.independent_from(2) == 3
    assert TrainingCells.from_document(cells.to_document()) == cells
    strained = TrainingCells.of_structures([base, cubic(2, 1.01)])
    assert strained.groups[0].n_independent == 2


def test_shortest_reciprocal_vector_of_a_skew_cell():
    # fcc: the shortest is along 111, of length 2 pi sqrt(3) / a
    cell = 2.0 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    assert smallest_g(Structure(cell, np.zeros((1, 3)), np.array([14]))) == pytest.approx(
        2 * np.pi * np.sqrt(3) / 4
    )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        # a wider vacuum holds no longer waves of the density; more of the sheet does
        ([3.0, 4.0, 12.0], 2 * np.pi / 4.0),
        ([3.0, 4.0, 30.0], 2 * np.pi / 4.0),
        ([3.0, 6.0, 30.0], 2 * np.pi / 6.0),
        ([20.0, 5.0, 30.0], 2 * np.pi / 5.0),
        # a molecule has no long waves whatever its box
        ([20.0, 25.0, 30.0], 2 * np.pi / 7.0),
        ([20.0, 40.0, 30.0], 2 * np.pi / 7.0),
    ],
)
def test_vacuum_holds_no_waves(cell, expected):
    # two atoms on both sides of the border: the vacuum is in the middle of the cell
    atoms = Structure(np.diag(cell), np.array([[0.1, 0.1, 0.4], [0.2, 0.3, cell[2] - 0.4]]), np.array([6, 6]))
    assert smallest_g(atoms) == pytest.approx(expected)


def test_geometries_are_told_apart_and_found_again():
    base = cubic(2)
    assert geometry_hash(base) == geometry_hash(base.with_positions(base.positions + 1e-9))
    assert geometry_hash(base) != geometry_hash(base.with_positions(base.positions + 1e-3))
    assert geometry_hash(base) != geometry_hash(Structure(base.cell * 1.001, base.positions, base.numbers))
    assert geometry_hash(base) != geometry_hash(Structure(base.cell, base.positions, base.numbers + 1))
