from pathlib import Path

import numpy as np
import pytest

from n2amd.blocks.matrix import BlockMatrix, PairIndex
from n2amd.errors import ComputationError, InputError
from n2amd.states.bands import band_path, band_structure
from n2amd.structure import Structure

RESOURCES = Path(__file__).parents[2] / "resources" / "tio2-honpas"


def chain(hopping, overlap_of_neighbours, site=0.0):
    """One orbital a cell along x, neighbours at +-1 cell; each pair stored once."""
    index = PairIndex(np.zeros(2, int), np.zeros(2, int), np.array([[0, 0, 0], [1, 0, 0]]))

    def matrix(on_site, off_site):
        return BlockMatrix({(1, 1): index}, {(1, 1): np.array([on_site, off_site]).reshape(1, 2, 1, 1)})

    return matrix(site, hopping), matrix(1.0, overlap_of_neighbours)


def test_non_orthogonal_chain_is_analytic():
    h, s = chain(-1.3, 0.21, site=0.4)
    k = np.zeros((41, 3))
    k[:, 0] = np.linspace(-0.5, 0.5, 41)
    phase = 2 * np.cos(2 * np.pi * k[:, 0])
    np.testing.assert_allclose(
        band_structure(h, s, np.array([0, 1]), k)[:, 0], (0.4 - 1.3 * phase) / (1 + 0.21 * phase), atol=1e-12
    )


def test_an_overlap_that_is_not_positive_definite_is_named_by_its_k_point():
    h, s = chain(-1.0, 0.6)
    with pytest.raises(ComputationError, match=r"k = \[0.5, 0.0, 0.0\]"):
        band_structure(h, s, np.array([0, 1]), np.array([[0, 0, 0], [0.5, 0, 0]]))


def rutile(scale=1.0):
    return Structure(np.diag([4.59, 4.59 * scale, 2.956]), np.zeros((1, 3)), np.array([22]))


def test_path_runs_through_the_special_points():
    path = band_path(rutile(), ["G", "X", "M", "G", "Z"], 60)
    assert [name for _, name in path.labels] == ["G", "X", "M", "G", "Z"]
    expected = {"G": [0, 0, 0], "X": [0, 0.5, 0], "M": [0.5, 0.5, 0], "Z": [0, 0, 0.5]}
    for index, name in path.labels:
        np.testing.assert_allclose(path.kpoints[index], expected[name], atol=1e-12)
    steps = np.linalg.norm(np.diff(path.kpoints @ np.linalg.inv(rutile().cell).T * 2 * np.pi, axis=0), axis=1)
    np.testing.assert_allclose(np.diff(path.distance), steps, atol=1e-9)


def test_a_slightly_strained_cell_keeps_the_lattice_of_the_ideal_one():
    assert band_path(rutile(1.01), ["G", "X", "M"]).labels[1][1] == "X"
    assert len(band_path(rutile(1.01)).labels) > 4


def test_an_unknown_special_point_is_refused_with_those_there_are():
    with pytest.raises(InputError, match="choose among the special points"):
        band_path(rutile(), ["G", "Q"])


def test_bands_equal_the_dft_codes_own_eigenvalues():
    from n2amd.dft.siesta.frame import read_frame

    frame, basis = read_frame(RESOURCES / "TiO2_6_train" / "frame_0000")
    assert frame.bands is not None
    chosen = [0, len(frame.bands.kpoints) // 2, -1]
    bands = band_structure(
        frame.hamiltonian,
        frame.overlap,
        basis.orbital_offsets(frame.structure.numbers),
        frame.bands.kpoints[chosen],
    )
    wanted = frame.bands.energies[chosen, 0]
    n = frame.n_occupied + 5
    assert np.abs(bands[:, :n] - wanted[:, :n]).max() < 1e-4
