"""What a model's doubt makes of the states: against solving every draw anew; files with and without it."""

from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, cut, moving_frames

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.defect import LevelsOfFrames
from n2amd.couplings.doubt import doubt_of_shards, edge_doubt, join_edges, read_doubt_of_edges
from n2amd.couplings.nac import hammes_schiffer_tully
from n2amd.couplings.store import read_couplings, write_couplings
from n2amd.errors import InputError
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.doubt import StateDoubt, moments
from n2amd.states.shards import solve_shard
from n2amd.states.store import read_shard, write_shard

SETTINGS = StatesSettings(valence=2, conduction=2, margin=2, doubt_stride=4)


class Doubting(SyntheticCrystal):
    """A crystal whose draws change matrix elements by random numbers that depend on the geometry."""

    usual_spread = 0.01

    def doubt_elements(self, structure, vectors, kpoint=None, spin=None):
        rng = np.random.default_rng(zlib.crc32(structure.positions.tobytes()))
        elements = 0.01 * rng.normal(size=(3, vectors.shape[1], vectors.shape[1]))
        return elements + elements.swapaxes(1, 2)


def solved(frames, settings=SETTINGS, **more):
    crystal = Doubting()
    return solve_shard(frames, crystal, crystal.overlap, settings, "exact", doubter=crystal, **more)


def test_moments_are_spread_over_the_trajectory():
    assert moments(0, 100, 25).tolist() == [0, 25, 50, 75]
    assert moments(0, 101, 25).tolist() == [0, 25, 50, 75, 100]
    assert moments(0, 1, 25).tolist() == [0]
    assert moments(0, 50, 0).tolist() == []


@pytest.mark.parametrize("complex_", [False, True])
def test_draws_are_solved_within_the_window(complex_):
    """Where the window is all there is, against eigenvectors of H + dV at both frames."""
    rng = np.random.default_rng(2)

    def hermitian(scale):
        m = scale * rng.normal(size=(6, 6)) + complex_ * 1j * scale * rng.normal(size=(6, 6))
        return m + m.conj().T

    first = hermitian(1.0)
    hamiltonians = [first, first + hermitian(0.01)]
    changes = [[hermitian(0.02) for _ in range(4)] for _ in range(2)]
    energies, vectors = zip(*(np.linalg.eigh(h) for h in hamiltonians))
    elements = np.array([[v.conj().T @ dv @ v for dv in own] for v, own in zip(vectors, changes)])
    doubt = StateDoubt(np.array([7]), elements[None], 0.01)
    overlap = vectors[0].conj().T @ vectors[1]
    found = edge_doubt(doubt, np.array(energies)[None], overlap[None], np.array([[[2, 3]] * 2]), 0.5)
    for k in range(4):
        exact = [np.linalg.eigh(h + own[k]) for h, own in zip(hamiltonians, changes)]
        for side in range(2):
            assert found.vbm[0, side, k] == pytest.approx(exact[side][0][2], abs=1e-12)
            assert found.cbm[0, side, k] == pytest.approx(exact[side][0][3], abs=1e-12)
        between = exact[0][1].conj().T @ exact[1][1]
        phases = np.diag(between)[2:4]
        between = between[2:4, 2:4] * (np.abs(phases) / phases)
        wanted = abs(hammes_schiffer_tully(between, 0.5)[0, 1])
        assert found.coupling[0, k] == pytest.approx(wanted, abs=1e-12)
    assert np.allclose(found.nominal, np.array(energies)[None, :, 2:4])


def test_states_that_change_places_have_no_coupling():
    doubt = StateDoubt(np.array([0]), np.zeros((1, 2, 1, 4, 4)), 0.01)
    swapped = np.eye(4)[[0, 2, 1, 3]]
    energies = np.tile(np.arange(4.0), (1, 2, 1))
    found = edge_doubt(doubt, energies, swapped[None], np.array([[[1, 2]] * 2]), 1.0)
    assert np.isnan(found.coupling).all()
    assert np.isnan(found.nominal_coupling).all()
    followed = edge_doubt(doubt, energies, swapped[None], np.array([[[1, 2], [2, 1]]]), 1.0)
    assert followed.coupling.tolist() == [[0.0]]
    np.testing.assert_allclose(followed.nominal, [[[1, 2], [2, 1]]])


def test_edges_are_those_of_the_bands_where_a_level_lies_between_them():
    """The level is the highest filled state in one frame and lies within the valence bands in the next."""
    levels = LevelsOfFrames(np.array([[2], [1]]), np.array([2]), ())
    assert levels.band_edges(5, 3).tolist() == [[1, 3], [2, 3]]
    shard = solved(moving_frames(3))
    middle = len(shard.band_index) // 2
    edges = np.tile([middle - 2, middle], (3, 1))
    found = doubt_of_shards([shard], edges)
    np.testing.assert_allclose(found.nominal[0], shard.energies[:2][:, [middle - 2, middle]])


def test_shards_keep_the_doubt_of_their_moments(tmp_path):
    frames = moving_frames(6)
    whole = solved(frames)
    assert whole.doubt.frame.tolist() == [0, 4]
    assert whole.doubt.elements.shape == (2, 2, 3, 8, 8)
    path = tmp_path / "states.h5"
    write_shard(path, whole)
    again = read_shard(path)
    assert np.array_equal(again.doubt.elements, whole.doubt.elements)
    assert again.doubt.usual_spread == 0.01
    write_shard(path, replace(whole, doubt=None))
    assert read_shard(path).doubt is None


def test_a_resumed_shard_has_the_same_doubt(tmp_path):
    frames = moving_frames(6)

    class KilledError(Exception):
        pass

    def kill(done, total):
        if done == 4:
            raise KilledError

    checkpoint = Checkpoint(tmp_path / "states.h5", "same")
    with pytest.raises(KilledError):
        solved(frames, checkpoint=checkpoint, checkpoint_seconds=0.0, report=kill)
    resumed = solved(frames, checkpoint=checkpoint)
    assert np.array_equal(resumed.doubt.elements, solved(frames).doubt.elements)


def test_couplings_hold_the_edges_of_every_draw_whatever_the_shards(tmp_path):
    frames = moving_frames(7)
    one = assemble([solved(frames)], CouplingsSettings(), SETTINGS).doubt
    parts = [solved(cut(frames, *ends)) for ends in ((0, 3), (3, 6))]
    couplings = assemble(parts, CouplingsSettings(), SETTINGS)
    for name, value in vars(couplings.doubt).items():
        np.testing.assert_allclose(value, getattr(one, name), atol=1e-12, err_msg=name)
    path = tmp_path / "couplings.h5"
    write_couplings(path, couplings)
    assert np.array_equal(read_couplings(path).doubt.cbm, couplings.doubt.cbm)
    write_couplings(path, replace(couplings, doubt=None))
    assert read_doubt_of_edges(path) is None


def test_doubtful_frames_are_named():
    elements = np.zeros((2, 2, 3, 8, 8))
    elements[1, 1, :, 3, 3] = 0.05
    doubt = StateDoubt(np.array([0, 4]), elements, 0.01)
    assert doubt.outside(3).tolist() == [5]


def test_shards_of_different_models_are_refused():
    shard = doubt_of_shards([solved(moving_frames(3))])
    other = replace(shard, vbm=shard.vbm[:, :, :2])
    with pytest.raises(InputError, match="different models"):
        join_edges([shard, other])
