"""Special points of known lattices, in standard cells, skewed and turned ones, supercells and frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from n2amd.blocks.matrix import BlockMatrix, PairIndex, with_partners
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.states.band_path import band_path, paths_of
from n2amd.states.bands import band_structure
from n2amd.structure import Structure

SILICON = Path(__file__).parents[1] / "data/honpas-si2/frame_0000"
TURN = Rotation.from_rotvec([0.3, -0.5, 0.9]).as_matrix()
#: Rows: the vectors of another primitive cell in terms of those of the first.
SKEW = np.array([[1, 1, 0], [0, 1, 0], [0, 2, 1]])


def diamond(a: float = 5.43) -> Structure:
    cell = a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0.0]])
    return Structure(cell, np.array([[0, 0, 0], [0.25, 0.25, 0.25]]) * a, np.array([14, 14]))


def rutile(a=4.594, c=2.959, u=0.305) -> Structure:
    fractional = [[0, 0, 0], [0.5, 0.5, 0.5], [u, u, 0], [-u, -u, 0], [0.5 - u, 0.5 + u, 0.5]]
    fractional.append([0.5 + u, 0.5 - u, 0.5])
    cell = np.diag([a, a, c])
    return Structure(cell, np.array(fractional) @ cell, np.array([22, 22, 8, 8, 8, 8]))


def graphene(a=2.46, c=15.0, pbc=(True, True, True)) -> Structure:
    cell = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
    fractional = np.array([[1 / 3, 2 / 3, 0.5], [2 / 3, 1 / 3, 0.5]])
    return Structure(cell, fractional @ cell, np.array([6, 6]), pbc)


def skewed(structure: Structure) -> Structure:
    return Structure(SKEW @ structure.cell @ TURN.T, structure.positions @ TURN.T, structure.numbers)


def shaken(structure: Structure, size=0.05, seed=0) -> Structure:
    move = size * np.random.default_rng(seed).normal(size=structure.positions.shape)
    return structure.with_positions(structure.positions + move)


def lengths(structure: Structure, labels: str) -> dict[str, float]:
    """Distance of special points from Gamma, 1/A."""
    path = band_path(structure, [labels], 60)
    reciprocal = 2 * np.pi * np.linalg.inv(structure.cell).T
    return {name: float(np.linalg.norm(path.kpoints[index] @ reciprocal)) for index, name in path.labels}


@pytest.mark.parametrize("change", [lambda s: s, skewed, shaken], ids=["standard", "skewed", "shaken"])
def test_fcc(change):
    found = lengths(change(diamond()), "G-X-W-K-G-L")
    unit = 2 * np.pi / 5.43
    expected = {"G": 0.0, "X": 1.0, "W": np.sqrt(1.25), "K": np.sqrt(9 / 8), "L": np.sqrt(0.75)}
    for name in ("G", "X", "W", "K", "L"):
        assert found[name] == pytest.approx(expected[name] * unit, abs=1e-9), name


def test_rutile_along_the_path_of_the_default_job():
    path = band_path(rutile(), ["G", "X", "M", "G", "Z", "R", "A", "Z"], 80)
    assert path.text == "G-X-M-G-Z-R-A-Z"
    assert path.lattice == "tP1"
    expected = {
        "G": [0, 0, 0],
        "X": [0, 0.5, 0],
        "M": [0.5, 0.5, 0],
        "Z": [0, 0, 0.5],
        "R": [0, 0.5, 0.5],
        "A": [0.5, 0.5, 0.5],
    }
    for index, name in path.labels:
        np.testing.assert_allclose(path.kpoints[index], expected[name], atol=1e-12)
    steps = np.linalg.norm(np.diff(path.kpoints @ np.linalg.inv(rutile().cell).T * 2 * np.pi, axis=0), axis=1)
    np.testing.assert_allclose(np.diff(path.distance), steps, atol=1e-9)
    assert paths_of(rutile()).notes == ()


def test_the_standard_path_has_breaks():
    path = band_path(rutile(), None, 100)
    assert path.text == "G-X-M-G-Z-R-A-Z|X-R|M-A"
    at = {name: index for index, name in path.labels}
    broken = [index for (index, _), (after, _) in zip(path.labels, path.labels[1:]) if after == index + 1]
    assert len(broken) == 2
    for index in broken:
        assert path.distance[index] == path.distance[index + 1]
    assert path.nearest_label(at["A"]) == "A"
    assert path.nearest_label(1) == "between G and X"


@pytest.mark.parametrize("pbc", [(True, True, True), (True, True, False)])
def test_a_sheet_keeps_to_its_plane(pbc):
    structure = graphene(pbc=pbc)
    path = band_path(structure, None, 60, paths_of(structure, (True, True, False)))
    assert path.text == "G-M-K-G"
    assert not path.kpoints[:, 2].any()
    found = lengths(structure, "GMKG")
    assert found["K"] == pytest.approx(4 * np.pi / (3 * 2.46))
    assert found["M"] == pytest.approx(2 * np.pi / (np.sqrt(3) * 2.46))


def test_the_vacuum_of_a_sheet_is_no_axis_of_its_lattice():
    """In a cubic cell with vacuum along c, X and M lie in the plane of a and b."""
    sheet = shaken(Structure(6 * np.eye(3), np.full((3, 3), 3.0), np.array([22, 8, 8])), 0.6)
    path = band_path(sheet, None, 60, paths_of(sheet, (True, True, False)))
    assert path.text == "G-X-M-G"
    assert not path.kpoints[:, 2].any()


def test_energies_are_those_of_the_same_points_in_a_skewed_cell():
    """The matrices of silicon referred to other vectors: bands at special points cannot change."""
    frame, basis = read_frame(SILICON)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    whole = np.rint(np.linalg.inv(SKEW)).astype(int)

    def referred(matrix: BlockMatrix) -> BlockMatrix:
        directed = with_partners(matrix)
        pairs = {key: PairIndex(p.i, p.j, p.shift @ whole) for key, p in directed.pairs.items()}
        return BlockMatrix(pairs, directed.values, hermitian=False)

    other = skewed(frame.structure)
    names = ["G-X-W-K,L-G"]
    one, two = band_path(frame.structure, names, 12), band_path(other, names, 12)
    assert [name for _, name in one.labels] == [name for _, name in two.labels]
    matrices = frame.hamiltonian, frame.overlap
    expected = band_structure(*matrices, offsets, one.kpoints)
    found = band_structure(*map(referred, matrices), offsets, two.kpoints)
    # the mesh of the DFT run lies along one choice of vectors, not the other: 0.13 meV
    np.testing.assert_allclose(found[:, :8], expected[:, :8], atol=3e-4)
    (note,) = paths_of(other).notes
    assert "not the standard ones" in note


def test_the_path_of_a_supercell_is_that_of_its_own_lattice():
    cell = 5.43 * np.eye(3)
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    conventional = Structure(cell, np.vstack([corners, corners + 0.25]) @ cell, np.full(8, 14))
    paths = paths_of(conventional)
    (note,) = paths.notes
    assert "4 primitive cells of 2 atoms (Fd-3m (227))" in note
    assert paths.crystal.primitive.n_atoms == 2
    path = band_path(conventional, ["G-X-M-G-R-X"])
    np.testing.assert_allclose(path.kpoints[path.labels[1][0]], [0, 0.5, 0], atol=1e-12)


def test_frames_of_a_trajectory_have_the_path_of_their_lattice():
    frame = shaken(rutile(1.005 * 4.594))
    strain = np.eye(3) + np.array([[0.01, -0.009, 0.003], [-0.009, 0.004, -0.005], [0.003, -0.005, -0.008]])
    strained = Structure(frame.cell @ strain, frame.positions @ strain, frame.numbers)
    for found in (frame, strained):
        paths = paths_of(found)
        assert paths.choices[0].lattice == "tP1"
        assert "less symmetry (P1 (1))" in paths.notes[0]


def test_a_crystal_that_is_nearly_cubic_keeps_its_own_path():
    cell = np.diag([3.99, 3.99, 4.04])
    fractional = [[0, 0, 0.02], [0.5, 0.5, 0.52], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    barium_titanate = Structure(cell, np.array(fractional) @ cell, np.array([56, 22, 8, 8, 8]))
    assert band_path(barium_titanate).lattice == "tP1"


def test_a_strained_lattice_knows_the_points_of_the_ideal_one():
    strained = Structure(np.diag([4.59, 4.6359, 2.956]), np.zeros((1, 3)), np.array([22]))
    assert band_path(strained).lattice == "oP1"
    assert band_path(strained, ["G", "X", "M"]).lattice == "tP1"


def test_gamma_and_the_point_g_are_told_apart():
    tall = Structure(
        np.array([[-1.5, 1.5, 2.05], [1.5, -1.5, 2.05], [1.5, 1.5, -2.05]]), np.zeros((1, 3)), np.array([26])
    )
    points = paths_of(tall).choices[0].points
    assert not points["G"].any()
    assert points["G_1"].any()
    index = band_path(tall, ["G-G1"], 10).labels[1][0]
    np.testing.assert_allclose(band_path(tall, ["G-G1"], 10).kpoints[index], points["G_1"])


@pytest.mark.parametrize("written", ["GXMG", "G-X-M-G", "GAMMA-X-M-Γ", "G X M G"])
def test_ways_to_write_a_path(written):
    assert band_path(rutile(), [written], 30).text == "G-X-M-G"


def test_breaks_of_a_path_that_is_written():
    assert band_path(rutile(), ["GXM,GZ|R-A"], 30).text == "G-X-M|G-Z|R-A"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("G-Q", r"no special point 'Q' in the path 'G-Q'; choose among .*: A, G, M, R, X, Z"),
        ("GXQ", r"no special point 'GXQ'"),
        ("G", "no line"),
        ("G-X-X", "a line of no length"),
    ],
)
def test_paths_that_are_none(labels, said):
    with pytest.raises(InputError, match=said):
        band_path(rutile(), [labels])


def test_molecules_have_no_bands():
    with pytest.raises(InputError, match="no orbital reaches the next cell"):
        paths_of(rutile(), (False, False, False))
