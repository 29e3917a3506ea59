from pathlib import Path

import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, rock_salt

from n2amd.blocks.matrix import BlockMatrix, PairIndex
from n2amd.errors import ComputationError, InputError
from n2amd.states.bands import band_edges, band_structure, followed_vectors, require_dense

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


def test_edges_of_direct_and_indirect_gaps():
    energies = np.array([[0.0, 2.0, 3.0], [-0.5, 1.5, 2.5], [-1.0, 1.8, 2.0]])
    edges = band_edges(energies, 1)
    assert (edges.vbm, edges.cbm, edges.at_vbm, edges.at_cbm) == (0.0, 1.5, 0, 1)
    assert not edges.is_direct
    assert edges.gap == 1.5
    energies[1, 1] = 2.0005
    energies[2, 1] = 2.1
    direct = band_edges(energies, 1)
    assert direct.is_direct
    assert direct.at_vbm == direct.at_cbm == 0
    energies[1] = energies[0] + np.array([0.0, -1e-6, 0.0])  # the first of equivalent points is named
    assert band_edges(energies, 1).at_cbm == 0
    with pytest.raises(InputError, match="3 occupied bands of 3"):
        band_edges(energies, 3)


def test_bands_follow_the_vectors_along_which_orbitals_reach():
    assert followed_vectors(chain(-1.0, 0.1)[0]) == (True, False, False)


def test_large_matrices_are_refused_with_what_solves_them():
    require_dense(5000)
    with pytest.raises(InputError, match=r"5001 orbitals.*n2amd states solve"):
        require_dense(5001)


def test_a_supercell_holds_the_bands_of_its_cells():
    crystal, cell = SyntheticCrystal(), rock_salt()
    large = cell.supercell((2, 1, 1))
    k = np.array([[0.0, 0.0, 0.0], [0.1, 0.2, -0.3], [0.5, 0.5, 0.0]])
    small = band_structure(*crystal.predict(cell), crystal.basis.orbital_offsets(cell.numbers), k)
    folded = band_structure(
        *crystal.predict(large), crystal.basis.orbital_offsets(large.numbers), k * [2, 1, 1]
    )
    other = band_structure(
        *crystal.predict(cell), crystal.basis.orbital_offsets(cell.numbers), k + np.array([0.5, 0, 0])
    )
    np.testing.assert_allclose(folded, np.sort(np.hstack([small, other]), axis=1), atol=1e-9)


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
