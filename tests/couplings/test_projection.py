"""Weights of columns: through shards, ordering and tracking."""

import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, in_shards, moving_frames

from edited import edited
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.projection import carried
from n2amd.couplings.store import read_couplings, write_couplings
from n2amd.errors import InputError
from n2amd.states.shards import solve_shard

FRAMES = moving_frames(13)


def settings(projections="shells"):
    return StatesSettings(valence=2, conduction=2, margin=2, projections=projections)


def solve(shards, projections="shells"):
    crystal = SyntheticCrystal()
    return [
        solve_shard(part, crystal, crystal.overlap, settings(projections), "exact")
        for part in in_shards(FRAMES, shards)
    ]


@pytest.mark.parametrize(("order", "degeneracy"), [("energy", 0.0), ("energy", 50.0), ("character", 0.0)])
def test_a_column_has_the_weights_of_the_state_in_it(order, degeneracy):
    """In energy order columns are eigenstates, whatever is transported together for the couplings."""
    shard = solve(1)[0]
    chosen = CouplingsSettings(degeneracy_meV=degeneracy, order=order)
    couplings = assemble([shard], chosen, settings())
    first = couplings.n_occupied - int(shard.band_index[0]) - 2
    for frame in range(13):
        for column in range(4):
            state = int(couplings.tracking.permutation[frame, column]) + first
            np.testing.assert_allclose(
                couplings.projection.weights[frame, column],
                shard.projection.weights[frame, state],
                atol=1e-6,
            )


def test_any_number_of_shards_gives_the_same_weights(tmp_path):
    whole = assemble(solve(1), CouplingsSettings(), settings()).projection
    assert whole.weights.shape == (13, 4, 16)
    for shards in (2, 3, 5):
        parts = assemble(solve(shards), CouplingsSettings(), settings())
        np.testing.assert_allclose(parts.projection.weights, whole.weights, atol=1e-5)
    write_couplings(tmp_path / "couplings.h5", parts)
    read = read_couplings(tmp_path / "couplings.h5").projection
    np.testing.assert_array_equal(read.weights, parts.projection.weights)
    assert read.sites.same_as(whole.sites)


def test_transported_groups_share_their_weights():
    projection = solve(1)[0].projection
    angle = 0.6
    gauge = np.tile(np.eye(8, 4, -2), (13, 1, 1))
    gauge[:, 2:4, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    mixed = carried([projection], gauge * np.exp(0.3j)).weights
    own = projection.weights
    wanted = np.cos(angle) ** 2 * own[:, 2] + np.sin(angle) ** 2 * own[:, 3]
    np.testing.assert_allclose(mixed[:, 0], wanted, atol=1e-6)
    np.testing.assert_allclose(mixed[:, :2].sum(axis=1), own[:, 2:4].sum(axis=1), atol=1e-6)
    np.testing.assert_array_equal(mixed[:, 2:], own[:, 4:6])
    np.testing.assert_allclose(mixed.sum(axis=2), 1, atol=1e-6)


def test_a_shard_without_weights_among_others_is_named():
    one, two = solve(2), solve(2, "none")
    with pytest.raises(InputError, match=r"projections'?: shard 1 holds no weights"):
        assemble([one[0], two[1]], CouplingsSettings(), settings())
    assert assemble(two, CouplingsSettings(), settings("none")).projection is None


def test_files_of_an_older_version_are_read(tmp_path):
    write_couplings(tmp_path / "couplings.h5", assemble(solve(1), CouplingsSettings(), settings()))
    with edited(tmp_path / "couplings.h5") as file:
        del file["projection"]
        file.attrs["format_version"] = "1.0"
    assert read_couplings(tmp_path / "couplings.h5").projection is None
