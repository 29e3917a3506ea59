"""Levels of a defect are told from the bands by where they live, and followed through crossings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.defect import band_edges, contrast, localisation, state_labels
from n2amd.couplings.store import read_couplings, write_couplings
from n2amd.errors import InputError
from n2amd.hopping.path import path_of, window_of
from n2amd.states.projection import Projection, Sites
from n2amd.states.store import ShardInfo, StatesShard
from n2amd.structure import Structure

N_ATOMS, FRAMES, W = 4, 11, 6
#: Window of six states, two of them margin: filled 0..2, the level crosses the CBM halfway.
SITES = Sites(
    Structure(9.0 * np.eye(3), np.arange(12.0).reshape(4, 3), np.full(4, 22)),
    np.arange(N_ATOMS),
    np.full(N_ATOMS, -1),
    ("",) * N_ATOMS,
)


def crossing(slope=0.1):
    """A level on atom 3 that rises through a flat band state, without coupling; all else is spread out."""
    time = np.arange(FRAMES)
    diabatic = np.tile([-3.0, -2.0, 0.0, 0.5, 1.0, 2.0], (FRAMES, 1))
    diabatic[:, 2] += slope * time
    weights = np.full((FRAMES, W, N_ATOMS), 0.25)
    weights[:, 2] = [0.05, 0.05, 0.0, 0.9]
    order = np.argsort(diabatic, axis=1)
    overlap = (order[:-1, :, None] == order[1:, None, :]).astype(float)
    info = ShardInfo(0, FRAMES - 1, 3, 20, 1.0, 2, 2, "electron-translation-free", spin="up")
    return StatesShard(
        info,
        energies=np.take_along_axis(diabatic, order, axis=1),
        band_index=np.arange(W),
        overlap=overlap,
        residual=np.zeros(FRAMES),
        orthonormality_error=np.zeros(FRAMES),
        coefficient_norms=np.ones((FRAMES, W)),
        first_coefficients=np.eye(20)[:, :W],
        last_coefficients=np.eye(20)[:, :W],
        last_overlap_coefficients=np.eye(20)[:, :W],
        projection=Projection(SITES, "mulliken", np.take_along_axis(weights, order[:, :, None], axis=1)),
    )


def couplings_of(shard, order="character", **defect):
    chosen = CouplingsSettings(order=order, overlap="electron-translation-free")
    states = StatesSettings(valence=2, conduction=2, margin=1, spin="up", defect={"atoms": [3], **defect})
    return assemble([shard], chosen, states)


def test_the_level_keeps_its_column_where_order_alone_would_lose_it(tmp_path):
    found = couplings_of(crossing())
    column = found.defect.columns[0]
    np.testing.assert_allclose(found.energies[:, column], 0.1 * np.arange(FRAMES), atol=1e-12)
    assert (found.vbm, found.cbm, found.edges) == (1, 2, (0, 2))
    np.testing.assert_allclose(found.gap, 2.5, atol=1e-12)
    ratio, smallest = contrast(found.defect, found.projection)
    assert ratio == pytest.approx(0.81 / 0.0625, rel=1e-6)
    assert smallest == pytest.approx(ratio, rel=1e-6)
    write_couplings(tmp_path / "c.h5", found)
    again = read_couplings(tmp_path / "c.h5")
    assert (again.defect, again.spin, again.edges) == (found.defect, "up", (0, 2))


def test_a_level_told_by_its_filling_is_the_state_beside_the_gap_wherever_it_lives(tmp_path):
    chosen = CouplingsSettings(order="energy", overlap="electron-translation-free")
    shard = replace(crossing(), projection=None)

    def of(**defect):
        states = StatesSettings(valence=2, conduction=2, margin=1, spin="up", defect=defect)
        return assemble([shard], chosen, states)

    filled, empty = of(edge="filled"), of(edge="empty")
    assert (filled.defect.columns, filled.defect.atoms, filled.edges) == ((1,), (), (0, 2))
    np.testing.assert_allclose(filled.energies[:, 1], np.minimum(0.1 * np.arange(FRAMES), 0.5), atol=1e-12)
    assert (empty.defect.columns, empty.edges) == ((2,), (1, 3))
    write_couplings(tmp_path / "c.h5", filled)
    assert read_couplings(tmp_path / "c.h5").defect == filled.defect
    assert state_labels(4, filled.vbm, filled.defect.columns) == ("VBM", "defect", "CBM", "CBM+1")


def test_an_empty_level_is_counted_among_the_empty_states():
    shard = crossing(slope=0.0)
    energies, weights = shard.energies, shard.projection.weights
    # the level is the second empty state: it lies within the band
    order = [0, 1, 3, 4, 2, 5]
    moved = Projection(SITES, "mulliken", weights[:, order])
    found = couplings_of(StatesShard(**{**vars(shard), "energies": energies, "projection": moved}))
    assert found.defect.columns == (3,)
    assert found.edges == (1, 2)


def test_a_carrier_meets_the_level_after_the_states_of_the_bands():
    found = couplings_of(crossing())
    electron, hole = path_of(found, "electron"), path_of(found, "hole")
    assert (electron.states, electron.defect, electron.outermost) == (4, 1, 2)
    np.testing.assert_allclose(electron.energies[0], [-2.0, 0.5, 1.0, 0.0])
    assert (electron.start, electron.final) == (1, 0)
    np.testing.assert_allclose(hole.energies[0], [0.5, -2.0, 0.0])
    # a scissor moves the bands alone
    np.testing.assert_array_equal(window_of(found).conduction, [False, False, True, True])
    with pytest.raises(InputError, match="pairs of an electron and a hole know no levels"):
        path_of(found, "pair")


def test_localisation_of_known_weights():
    weights = np.array([[[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 1, 0]]])
    found = localisation(Projection(SITES, "mulliken", weights), (0, 1))
    np.testing.assert_allclose(found, [[0.5, 2 / 16, 0.0]])


def slow_crossing(frames=400, coupling=0.05):
    """A level on atom 3 that passes a band state over many frames: eigenstates exchange what they are."""
    time = np.linspace(-1, 1, frames)
    energies = np.tile([-3.0, -2.0, 0.0, 0.5, 1.0, 2.0], (frames, 1))
    mixing = np.array([np.linalg.eigh([[0.5 + 0.4 * x, coupling], [coupling, 0.5]])[1] for x in time])
    energies[:, 2:4] = [np.linalg.eigvalsh([[0.5 + 0.4 * x, coupling], [coupling, 0.5]]) for x in time]
    mixing *= np.sign(np.einsum("tik,ik->tk", mixing, mixing[0]))[:, None]
    for t in range(1, frames):
        mixing[t] *= np.sign(np.einsum("ik,ik->k", mixing[t - 1], mixing[t]))
    overlap = np.tile(np.eye(W), (frames - 1, 1, 1))
    overlap[:, 2:4, 2:4] = np.einsum("tki,tkj->tij", mixing[:-1], mixing[1:])
    weights = np.full((frames, W, N_ATOMS), 0.25)
    own, band = np.array([0.0, 0.0, 0.1, 0.9]), np.full(N_ATOMS, 0.25)
    weights[:, 2:4] = (mixing**2).swapaxes(1, 2) @ np.stack([own, band])
    flat = crossing()
    return StatesShard(
        **{
            **vars(flat),
            "info": replace(flat.info, stop=frames - 1),
            "energies": energies,
            "overlap": overlap,
            "residual": np.zeros(frames),
            "orthonormality_error": np.zeros(frames),
            "coefficient_norms": np.ones((frames, W)),
            "projection": Projection(SITES, "mulliken", weights.astype(np.float32)),
        }
    )


def test_a_level_that_passes_a_band_slowly_is_found_on_both_sides():
    """Its eigenstate has become a band state by then: the label passes on once, where they change places."""
    found = couplings_of(slow_crossing())
    (column,) = found.defect.columns
    local = localisation(found.projection, (3,))
    assert local[[0, -1], column].min() > 0.7
    assert local[[0, -1]][:, [k for k in range(4) if k != column]].max() < 0.1
    np.testing.assert_allclose(found.energies[[0, -1], column], [0.1, 0.9], atol=0.01)
    moved = np.flatnonzero(found.tracking.successor[:, column] != column)
    assert len(moved) == 1
    assert abs(moved[0] - 200) < 10
    assert np.linalg.det(found.overlap[moved[0]]) == pytest.approx(1.0, abs=1e-2)


def test_what_cannot_be_a_level_is_one_sentence():
    shard = crossing()
    with pytest.raises(InputError, match=r"couplings.order.*by character only; set it to character"):
        couplings_of(shard, order="energy")
    with pytest.raises(InputError, match="no weights on atoms"):
        couplings_of(replace(shard, projection=None))
    with pytest.raises(InputError, match=r"there is no atom 4, the cell has 4"):
        couplings_of(shard, atoms=[4])
    lost = Projection(SITES, "mulliken", np.roll(crossing(0.0).projection.weights, 3, axis=1))
    with pytest.raises(InputError, match=r"1 beyond the kept conduction states; raise states.conduction by"):
        couplings_of(replace(crossing(0.0), projection=lost))
    with pytest.raises(InputError, match="leave no filled state of the bands"):
        band_edges(0, 3, (0,))
    for told in ({}, {"atoms": [3], "edge": "filled"}):
        with pytest.raises(ValueError, match=r"give atoms, or edge \(filled or empty\)"):
            StatesSettings(valence=2, conduction=2, defect=told)
    with pytest.raises(ValueError, match=r"defect.states = 3 leave no band edges"):
        StatesSettings(valence=2, conduction=2, defect={"atoms": [3], "states": 3})


def test_several_levels_have_columns_of_their_own():
    weights = np.full((FRAMES, W, N_ATOMS), 0.25)
    weights[:, 2], weights[:, 3] = [0.1, 0, 0, 0.9], [0, 0, 0.1, 0.9]
    shard = replace(crossing(0.0), projection=Projection(SITES, "mulliken", weights.astype(np.float32)))
    found = couplings_of(shard, states=2)
    assert found.defect.columns == (1, 2)
    assert found.edges == (0, 3)
    assert state_labels(4, found.vbm, found.defect.columns) == ("VBM", "defect 1", "defect 2", "CBM")
