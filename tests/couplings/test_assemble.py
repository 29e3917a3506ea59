from dataclasses import replace

import numpy as np
import pytest
from synthetic_crystal import SyntheticCrystal, in_shards, moving_frames
from test_shards import write_trajectory

from edited import edited
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.shards import check_trajectory, read_shards
from n2amd.couplings.store import read_couplings, write_couplings
from n2amd.errors import InputError
from n2amd.states.shards import solve_shard
from n2amd.states.store import write_shard

FRAMES = moving_frames(13)
GAMMA = (0.0, 0.0, 0.0)
GENERAL = (0.1, 0.3, -0.2)


def states_settings(kpoint=GAMMA):
    return StatesSettings(valence=2, conduction=2, margin=2, kpoint=kpoint)


def solve(shards, kpoint=GAMMA, kind="exact"):
    crystal = SyntheticCrystal()
    settings = states_settings(kpoint)
    return [solve_shard(part, crystal, crystal.overlap, settings, kind) for part in in_shards(FRAMES, shards)]


def couplings_of(shards, kpoint=GAMMA, kind="exact", **settings):
    chosen = CouplingsSettings(overlap=kind, **settings)
    return assemble(shards, chosen, states_settings(kpoint))


def random_unitary(n, rng, complex_):
    x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if complex_ else 0)
    return np.linalg.qr(x)[0]


def scramble(shard, rng):
    """Other signs and phases of every eigenvector, and rotations inside degenerate levels."""
    complex_ = np.iscomplexobj(shard.overlap)
    n_frames, w = shard.energies.shape
    gauges = np.zeros((n_frames, w, w), dtype=shard.overlap.dtype)
    for t in range(n_frames):
        starts = np.flatnonzero(np.diff(shard.energies[t], prepend=-np.inf) > 1e-9)
        for start, stop in zip(starts, [*starts[1:], w]):
            gauges[t, start:stop, start:stop] = random_unitary(stop - start, rng, complex_)
    return replace(
        shard,
        overlap=gauges[:-1].conj().swapaxes(1, 2) @ shard.overlap @ gauges[1:],
        first_coefficients=shard.first_coefficients @ gauges[0],
        last_coefficients=shard.last_coefficients @ gauges[-1],
        last_overlap_coefficients=shard.last_overlap_coefficients @ gauges[-1],
    )


def assert_same(one, other, atol=1e-9):
    for name in ("energies", "overlap", "nac"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=atol, err_msg=name)
    np.testing.assert_array_equal(one.tracking.successor, other.tracking.successor)
    np.testing.assert_array_equal(one.band_index, other.band_index)


@pytest.mark.parametrize("kpoint", [GAMMA, GENERAL])
@pytest.mark.parametrize("kind", ["exact", "electron-translation-free"])
def test_any_number_of_shards_in_any_gauge_gives_the_same_couplings(kpoint, kind):
    rng = np.random.default_rng(0)
    whole = couplings_of(solve(1, kpoint, kind), kpoint, kind)
    assert np.iscomplexobj(whole.nac) == (kpoint is GENERAL)
    for count in (2, 3, 5):
        shards = [scramble(shard, rng) for shard in solve(count, kpoint, kind)]
        assert_same(couplings_of(shards, kpoint, kind), whole)


@pytest.mark.parametrize("order", ["energy", "character"])
def test_a_perfect_crystal_has_no_couplings_whatever_the_eigensolver_chose(order):
    """Threefold levels of atoms that hardly move: only transport leaves nothing behind."""
    frames = moving_frames(8, amplitude=0.0)
    crystal = SyntheticCrystal()
    shard = solve_shard(frames, crystal, crystal.overlap, states_settings(), "exact")
    assert np.ptp(shard.energies[:, 1:4], axis=1).max() < 1e-9  # the VBM is threefold
    mixed = scramble(shard, np.random.default_rng(4))
    assert np.abs(mixed.overlap - mixed.overlap.swapaxes(1, 2)).max() > 0.5
    assert np.abs(couplings_of([mixed], order=order).nac).max() < 1e-8


def test_a_nearly_perfect_crystal_needs_transport():
    frames = moving_frames(20, amplitude=3e-3)
    crystal = SyntheticCrystal()
    shard = solve_shard(frames, crystal, crystal.overlap, states_settings(), "exact")
    triple = slice(0, 2)  # two of the three valence states are kept
    signs_only = couplings_of([shard], degeneracy_meV=0.0, order="character")
    transported = couplings_of([shard], degeneracy_meV=5.0, order="character")
    assert np.abs(signs_only.nac[:, triple, triple]).max() > 5e-3
    assert np.abs(transported.nac[:, triple, triple]).max() < 1e-4


def test_couplings_say_what_their_columns_are(tmp_path):
    couplings = couplings_of(solve(3))
    assert (couplings.vbm, couplings.cbm, couplings.n_occupied) == (1, 2, 4)
    np.testing.assert_array_equal(couplings.band_index, [2, 3, 4, 5])
    single = solve(1)[0]
    np.testing.assert_allclose(couplings.gap, single.energies[:, 4] - single.energies[:, 3], atol=2.6e-3)
    np.testing.assert_allclose(couplings.nac, -couplings.nac.conj().swapaxes(1, 2), atol=1e-14)
    assert couplings.overlap.shape == (12, 4, 4)
    assert couplings.tracking.window_leak.max() < 0.2
    write_couplings(tmp_path / "couplings.h5", couplings)
    read = read_couplings(tmp_path / "couplings.h5")
    assert_same(read, couplings, atol=0)
    assert (read.vbm, read.cbm, read.timestep_fs, read.kpoint, read.order) == (1, 2, 1.0, GAMMA, "energy")
    np.testing.assert_array_equal(read.tracking.min_overlap, couplings.tracking.min_overlap)


@pytest.fixture
def shard_files(tmp_path):
    paths = []
    for shard in solve(3):
        paths.append(tmp_path / f"frames_{shard.info.start}.h5")
        write_shard(paths[-1], shard)
    return paths


def test_shards_are_read_in_any_order(shard_files):
    found = read_shards([shard_files[k] for k in (2, 0, 1)])
    assert [file for file, _ in found] == shard_files
    assert [(shard.info.start, shard.info.stop) for _, shard in found] == [(0, 4), (4, 9), (9, 12)]


def test_a_missing_shard_is_named(shard_files):
    remedy = "run `n2amd states solve --frames {}` and pass its file too"
    for given, first, last in (([0, 2], 5, 9), ([1, 2], 0, 4)):
        with pytest.raises(
            InputError, match=f"a shard with the frames {first} to {last} is missing"
        ) as error:
            read_shards([shard_files[k] for k in given])
        assert remedy.format(f"{first}-{last}") in str(error.value)


def test_shards_are_held_against_the_trajectory(shard_files, tmp_path):
    """They end with it, and are of the geometries that it holds now."""
    trajectory = tmp_path / "trajectory.h5"
    write_trajectory(trajectory, FRAMES)
    check_trajectory(read_shards(shard_files), trajectory)
    with pytest.raises(InputError, match="frames 10 to 12 is missing"):
        check_trajectory(read_shards(shard_files[:2]), trajectory)
    longer = moving_frames(16)
    write_trajectory(trajectory, longer)
    with pytest.raises(InputError, match="frames 13 to 15 is missing"):
        check_trajectory(read_shards(shard_files), trajectory)
    moved = FRAMES.positions.copy()
    moved[7, 2, 1] += 1e-9
    write_trajectory(trajectory, replace(FRAMES, positions=moved))
    with pytest.raises(
        InputError, match=r"frames 4 to 9 are of other geometries than .*; delete the file and"
    ):
        check_trajectory(read_shards(shard_files), trajectory)
    moved[12, 2, 1] += 1e-9
    write_trajectory(trajectory, replace(FRAMES, positions=moved))
    said = r"frames 4 to 9, as those of 1 more shards, are of .*; delete .*/frames_\*\.h5 and run again"
    with pytest.raises(InputError, match=said):
        check_trajectory(read_shards(shard_files), trajectory)


def test_a_shard_given_twice_is_refused(shard_files):
    with pytest.raises(InputError, match="frames 4 to 9 were already given in"):
        read_shards([shard_files[0], shard_files[1], shard_files[1]])


def test_a_half_written_shard_is_refused(shard_files):
    with edited(shard_files[1]) as file:
        del file.attrs["complete"]
    with pytest.raises(InputError, match="not written to its end"):
        read_shards(shard_files)


def test_shards_of_different_runs_are_refused(shard_files):
    other = solve(3, GENERAL)[1]
    write_shard(shard_files[1], other)
    with pytest.raises(InputError, match="kpoint"):
        read_shards(shard_files)
    write_shard(shard_files[1], solve(2)[1])
    with pytest.raises(InputError, match="frames 5 to 6 is missing"):
        read_shards(shard_files)
    write_shard(shard_files[1], solve(2)[0])
    with pytest.raises(InputError, match="frames 0 to 4 were already given"):
        read_shards(shard_files)


def test_no_shards_at_all():
    with pytest.raises(InputError, match="no shards"):
        read_shards([])


def test_shards_of_different_models_do_not_join():
    shards = solve(2)
    moved = replace(shards[1], energies=shards[1].energies + 0.01)
    with pytest.raises(InputError, match=r"frame 6 shared by two shards.*levels differ by 1\.0e-02"):
        couplings_of([shards[0], moved])
    turned = replace(shards[1], first_coefficients=0.5 * shards[1].first_coefficients)
    with pytest.raises(InputError, match=r"norm 0\.500"):
        couplings_of([shards[0], turned])


def test_settings_that_differ_from_the_shards_are_refused():
    shards = solve(2)
    with pytest.raises(InputError, match=r"couplings\.overlap"):
        assemble(shards, CouplingsSettings(overlap="electron-translation-free"), states_settings())
    with pytest.raises(InputError, match=r"states\.valence"):
        assemble(shards, CouplingsSettings(), StatesSettings(valence=1, conduction=2, margin=3))


def test_shards_of_two_networks_are_not_joined(tmp_path):
    """The trajectory may have grown between two shards, the network may not be another one."""
    for name in ("short", "long", "network", "other"):
        (tmp_path / name).write_text(name)
    files = [tmp_path / f"shard_{k}.h5" for k in range(2)]
    for file, shard, trajectory in zip(files, solve(2), ("short", "long")):
        write_shard(file, shard, inputs=(tmp_path / trajectory, tmp_path / "network"))
    assert len(read_shards(files)) == 2
    write_shard(files[1], solve(2)[1], inputs=(tmp_path / "long", tmp_path / "other"))
    with pytest.raises(InputError, match=r"shard_1\.h5, .*solved with another network than .*shard_0\.h5"):
        read_shards(files)
