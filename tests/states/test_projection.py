"""Weights of states on atoms and shells: dimers and chains in closed form, invariances, files."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from synthetic_crystal import SyntheticCrystal, cut, moving_frames

from n2amd.config.states import StatesSettings
from n2amd.errors import ComputationError, InputError
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.projection import first_orbitals, loewdin, mulliken, sites_of
from n2amd.states.shards import solve_shard
from n2amd.states.store import read_shard, write_shard
from n2amd.structure import Structure

OFF_GAMMA = (0.1, 0.3, -0.2)


def settings(projections="shells", kpoint=(0.0, 0.0, 0.0), partition="mulliken"):
    return StatesSettings(
        valence=2,
        conduction=2,
        margin=2,
        kpoint=kpoint,
        projections=projections,
        partition=partition,
    )


def solved(frames, chosen, checkpoint=None, crystal=None):
    crystal = crystal or SyntheticCrystal()
    return solve_shard(frames, crystal, crystal.overlap, chosen, "exact", checkpoint, checkpoint_seconds=0)


@pytest.mark.parametrize("partition", ["mulliken", "loewdin"])
@pytest.mark.parametrize("level", ["atoms", "shells"])
@pytest.mark.parametrize("kpoint", [(0.0, 0.0, 0.0), OFF_GAMMA])
def test_weights_add_up_to_one(partition, level, kpoint):
    shard = solved(moving_frames(3), settings(level, kpoint, partition))
    projection = shard.projection
    assert projection.weights.shape == (3, 8, 8 if level == "atoms" else 16)
    assert projection.weights.dtype == np.float32
    assert (projection.partition, projection.sites.level) == (partition, level)
    np.testing.assert_allclose(projection.weights.sum(axis=2), 1.0, atol=1e-6)
    if partition == "loewdin":
        assert projection.weights.min() >= 0
    # the states below the gap of this crystal are those of the deep species
    deep = projection.sites.structure.numbers[projection.sites.atom] == 9
    assert projection.weights[:, 1:4, deep].sum(axis=2).min() > 0.8


def test_shells_add_up_to_their_atom():
    frames = moving_frames(2)
    shells, atoms = (solved(frames, settings(level)).projection for level in ("shells", "atoms"))
    summed = np.add.reduceat(shells.weights, np.arange(0, 16, 2), axis=2)
    np.testing.assert_allclose(summed, atoms.weights, atol=1e-6)
    assert shells.sites.shell[:2] == ("1s", "2s")
    np.testing.assert_array_equal(shells.sites.atom, np.repeat(np.arange(8), 2))


@pytest.mark.parametrize("s", [0.0, 0.3, -0.45])
@pytest.mark.parametrize("difference", [0.0, 1.7])
def test_a_dimer_in_closed_form(s, difference):
    """Two orbitals (e, -e), coupling t, overlap s: both partitions from the 2 x 2 algebra."""
    hamiltonian = np.array([[difference / 2, -1.0], [-1.0, -difference / 2]])
    overlap = np.array([[1.0, s], [s, 1.0]])
    _, c = scipy.linalg.eigh(hamiltonian, overlap)
    starts = np.array([0, 1])
    (a, b) = c
    p, q = (np.sqrt(1 + s) + np.sqrt(1 - s)) / 2, (np.sqrt(1 + s) - np.sqrt(1 - s)) / 2
    one = mulliken(c, overlap @ c, starts)
    other = loewdin(c, overlap, starts)
    np.testing.assert_allclose(one, np.stack([a**2 + a * b * s, b**2 + a * b * s], 1), atol=1e-12)
    np.testing.assert_allclose(other, np.stack([(p * a + q * b) ** 2, (q * a + p * b) ** 2], 1), atol=1e-12)
    if difference == 0:
        np.testing.assert_allclose(one, 0.5, atol=1e-12)
        np.testing.assert_allclose(other, 0.5, atol=1e-12)
    elif s == 0:
        # tan(2 theta) = 2 t / difference
        share = np.sin(0.5 * np.arctan2(2.0, difference)) ** 2
        np.testing.assert_allclose(one, [[share, 1 - share], [1 - share, share]], atol=1e-12)


def test_weights_do_not_change_under_rotations():
    """A rotation of the system turns the orbitals of every shell among themselves."""
    rng = np.random.default_rng(0)
    basis = Basis({5: AtomBasis(5, (Shell(0, "2s"), Shell(1, "2p"), Shell(2, "3d")), 3.0)})
    structure = Structure(np.eye(3), rng.normal(size=(3, 3)), np.array([5, 5, 5]))
    sites = sites_of(structure, basis, "shells")
    starts = first_orbitals(sites, basis)
    np.testing.assert_array_equal(starts, [0, 1, 4, 9, 10, 13, 18, 19, 22])
    x = rng.normal(size=(27, 27))
    overlap = scipy.linalg.expm(0.05 * (x + x.T))
    c = scipy.linalg.eigh(x + x.T, overlap)[1][:, 8:14]
    turn = scipy.linalg.block_diag(
        *(np.linalg.qr(rng.normal(size=(2 * l + 1, 2 * l + 1)))[0] for l in (0, 1, 2) * 3)
    )
    turned, turned_overlap = turn @ c, turn @ overlap @ turn.T
    np.testing.assert_allclose(
        mulliken(turned, turned_overlap @ turned, starts), mulliken(c, overlap @ c, starts), atol=1e-10
    )
    np.testing.assert_allclose(
        loewdin(turned, turned_overlap, starts), loewdin(c, overlap, starts), atol=1e-10
    )


def test_a_restart_keeps_the_weights(tmp_path):
    frames = moving_frames(6)

    class Stops(SyntheticCrystal):
        def predict(self, structure):
            if self.calls == 4:
                raise ComputationError("stopped")
            return super().predict(structure)

    checkpoint = Checkpoint(tmp_path / "shard.h5", "same job")
    with pytest.raises(ComputationError, match="stopped"):
        solved(frames, settings(), checkpoint, Stops())
    crystal = SyntheticCrystal()
    resumed = solved(frames, settings(), checkpoint, crystal)
    assert crystal.calls == 2
    np.testing.assert_array_equal(resumed.projection.weights, solved(frames, settings()).projection.weights)


def test_file_round_trip(tmp_path):
    shard = solved(cut(moving_frames(5), 2, 4), settings("shells", OFF_GAMMA))
    write_shard(tmp_path / "shard.h5", shard)
    read, written = read_shard(tmp_path / "shard.h5").projection, shard.projection
    np.testing.assert_array_equal(read.weights, written.weights)
    assert read.sites.same_as(written.sites)
    np.testing.assert_array_equal(read.sites.structure.positions, written.sites.structure.positions)
    assert read.sites.structure.pbc == (True, True, True)
    assert read.partition == "mulliken"


def test_a_file_without_weights_is_read(tmp_path):
    shard = solved(moving_frames(3), settings("none"))
    assert shard.projection is None
    write_shard(tmp_path / "shard.h5", shard)
    assert read_shard(tmp_path / "shard.h5").projection is None
    with_weights = replace(shard, projection=solved(moving_frames(3), settings()).projection)
    np.testing.assert_array_equal(with_weights.energies, shard.energies)


def test_frames_of_different_cells_have_no_common_weights():
    from n2amd.frames.frame import Frame
    from n2amd.states.of_dataset import project_frames

    crystal = SyntheticCrystal()

    def frame(structure):
        return Frame("here", structure, *crystal.predict(structure), n_electrons=8.0)

    one = moving_frames(2)
    projection, window = project_frames([frame(one[0]), frame(one[1])], crystal.basis, settings("none"))
    direct = solved(one, settings()).projection
    np.testing.assert_allclose(projection.weights, direct.weights[:, 2:6], atol=1e-6)
    assert (window.low, len(window), window.n_occupied) == (2, 4, 4)
    with pytest.raises(InputError, match=r"frame here.*unlike the frames before"):
        project_frames([frame(one[0]), frame(one[0].supercell((2, 1, 1)))], crystal.basis, settings())
    with pytest.raises(InputError, match="no frames"):
        project_frames([], crystal.basis, settings())
