"""Spin-orbit coupling from states to dynamics: spinors, and spin states, of made-up relativistic atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import scipy.linalg
from relativistic_atoms import BASIS, CRYSTAL, INGREDIENTS
from typer.testing import CliRunner

from n2amd.analysis.populations import read_run
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import projector_table
from n2amd.baseline.spin_orbit import SpinOrbit
from n2amd.blocks.matrix import fold_spinor
from n2amd.blocks.pair_codes import lay_out
from n2amd.commands.couplings import app as couplings_app
from n2amd.commands.dynamics import app as dynamics_app
from n2amd.commands.states import app as states_app
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import assemble
from n2amd.couplings.store import in_kramers_pairs, read_couplings, write_couplings
from n2amd.dataset.store import create_dataset
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.hopping import propagators, renewal
from n2amd.hopping.path import path_of
from n2amd.network.spinors import WithSpinOrbit
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.shards import solve_shard
from n2amd.states.store import read_shard, write_shard
from n2amd.trajectory.slice import TrajectorySlice

ELECTRONS, FRAMES = 4.0, 40
TABLE = OverlapTable.from_basis(BASIS)
PROJECTORS = projector_table(BASIS, INGREDIENTS)
WINDOW = {"valence": 2, "conduction": 4, "margin": 2}


@dataclass
class ScalarCrystal:
    """H without spin: projectors, and a level for every atom."""

    basis = BASIS
    n_spin = 1

    def predict(self, structure):
        h = nonlocal_matrix(PROJECTORS, BASIS, structure)
        s = lay_out(overlap(TABLE, structure), h)
        on_site = {key: -2.0 * key[1] / 42 * blocks for key, blocks in s.values.items()}
        return h.map({key: 3 * blocks + on_site[key] for key, blocks in h.values.items()}), s

    def electrons_in(self, structure, spin):
        return ELECTRONS

    def cross_overlap(self, kind):
        return lambda bra, ket: overlap(TABLE, bra, ket)


def moving(n_frames=FRAMES):
    time, generator = np.arange(n_frames)[:, None, None], np.random.default_rng(2)
    frequency, phase = generator.uniform(0.1, 0.5, (3, 3)), generator.uniform(0, 6, (3, 3))
    positions = CRYSTAL.positions + 0.04 * np.sin(frequency * time + phase)
    return TrajectorySlice(0, 1.0, CRYSTAL, positions)


def model(*, spinors, strength=1.0):
    coupling = SpinOrbit.of(BASIS, INGREDIENTS)
    between = {z: strength * elements for z, elements in coupling.between.items()}
    return WithSpinOrbit(ScalarCrystal(), replace(coupling, between=between), spinors)


def solve(predictor, frames=None, **more):
    chosen = StatesSettings(**{**WINDOW, **more})
    frames, cross = frames or moving(), predictor.cross_overlap("exact")
    elements = predictor if chosen.spin_orbit == "spin_states" else None
    return solve_shard(frames, predictor, cross, chosen, "exact", spin_orbit=elements), chosen


def test_spinors_are_those_of_the_whole_matrix_and_fill_one_electron_a_band(tmp_path):
    spinors = model(spinors=True)
    shard, chosen = solve(spinors, moving(3), spin_orbit="spinors", projections="atoms")
    assert (shard.info.spin, shard.info.n_occupied, shard.info.n_orbitals) == ("spinors", 4, 32)
    offsets = BASIS.orbital_offsets(CRYSTAL.numbers)
    h, s = (fold_spinor(m, offsets, np.zeros((1, 3)))[0] for m in spinors.predict(moving(3)[1]))
    levels = scipy.linalg.eigvalsh(h, s)
    np.testing.assert_allclose(shard.energies[1], levels[shard.band_index], atol=1e-9)
    np.testing.assert_allclose(shard.energies[:, ::2], shard.energies[:, 1::2], atol=1e-9)
    np.testing.assert_allclose(shard.projection.weights.sum(axis=2), 1, atol=1e-5)
    write_shard(tmp_path / "s.h5", shard)
    assert read_shard(tmp_path / "s.h5").info == shard.info
    with pytest.raises(InputError, match=r"states.spin_orbit.*made with 'spinors', the settings say 'none'"):
        assemble([shard], CouplingsSettings(), chosen.model_copy(update={"spin_orbit": None}))


def test_without_coupling_spinors_are_the_closed_shell():
    """Edges, lifetime and couplings of pairs are those of the doubly filled states."""
    closed, settings = solve(ScalarCrystal(), valence=1, conduction=2, margin=1)
    pairs, of_pairs = solve(model(spinors=True, strength=0.0), spin_orbit="spinors")
    np.testing.assert_allclose(pairs.energies[:, ::2], closed.energies, atol=1e-9)
    lives = []
    both = ((closed, settings), (pairs, of_pairs))
    couplings = [assemble([shard], CouplingsSettings(), chosen) for shard, chosen in both]
    np.testing.assert_allclose(couplings[1].edge_coupling, couplings[0].edge_coupling, atol=1e-8)
    for found in couplings:
        whole = path_of(found, "electron").whole
        lives.append(renewal.lifetime(whole, propagators.build(whole, "local_diabatic"), 5.0, 300.0))
    assert np.isfinite(lives[0])
    assert lives[1] == pytest.approx(lives[0], rel=1e-6)


def test_spin_states_are_the_scalar_ones_with_what_couples_them(tmp_path):
    """With all orbitals in the window, states and coupling together have the levels of the spinors."""
    everything = {"valence": 2, "conduction": 14, "margin": 0}
    shard, chosen = solve(model(spinors=False), moving(4), spin_orbit="spin_states", **everything)
    plain, _ = solve(ScalarCrystal(), moving(4), **everything)
    np.testing.assert_array_equal(shard.energies, plain.energies)
    np.testing.assert_array_equal(shard.overlap, plain.overlap)
    elements = shard.spin_orbit
    assert elements.shape == (4, 3, 16, 16)
    np.testing.assert_allclose(elements, elements.conj().swapaxes(2, 3), atol=1e-12)
    np.testing.assert_allclose(elements.real, 0, atol=1e-12)
    write_shard(tmp_path / "s.h5", shard)
    np.testing.assert_array_equal(read_shard(tmp_path / "s.h5").spin_orbit, elements)
    write_couplings(tmp_path / "c.h5", assemble([shard], CouplingsSettings(), chosen))
    window = path_of(read_couplings(tmp_path / "c.h5"), "electron").source.window
    matrix = window.mixing[2] + np.diag(window.energies[2])
    spinors = model(spinors=True)
    offsets = BASIS.orbital_offsets(CRYSTAL.numbers)
    h, s = (fold_spinor(m, offsets, np.zeros((1, 3)))[0] for m in spinors.predict(moving(4)[2]))
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), scipy.linalg.eigvalsh(h, s), atol=1e-9)


@pytest.mark.parametrize("picture", ["spinors", "spin_states"])
def test_from_states_to_populations(picture, tmp_path):
    window = WINDOW if picture == "spinors" else {"valence": 1, "conduction": 2, "margin": 1}
    predictor, frames = model(spinors=picture == "spinors"), moving()
    files = []
    for first, last in ((0, 20), (20, 39)):
        part = replace(frames, start=first, positions=frames.positions[first : last + 1])
        shard, chosen = solve(predictor, part, spin_orbit=picture, **window)
        files.append(tmp_path / f"frames_{first}.h5")
        write_shard(files[-1], shard)
    out, run, settings = tmp_path / "couplings.h5", tmp_path / "dish.h5", chosen.model_dump_json()
    made = CliRunner().invoke(
        couplings_app, ["assemble", *map(str, files), "--out", str(out), "--states-settings", settings]
    )
    assert made.exit_code == 0, made.output
    assert in_kramers_pairs(read_couplings(out)) == (picture == "spinors")
    hopping = "{samples: 4, trajectories: 40, duration_fs: 400.0, dephasing_time_fs: 5.0}"
    arguments = ["run", "--couplings", str(out), "--out", str(run), "--settings", hopping]
    made = CliRunner().invoke(dynamics_app, [*arguments, "--method", "dish"])
    assert made.exit_code == 0, made.output
    found = read_run(run)
    spins = ("VBM up", "CBM up", "CBM down", "CBM+1 up", "CBM+1 down")
    assert found.names == (("VBM", "CBM", "CBM+1") if picture == "spinors" else spins)
    np.testing.assert_allclose(found.populations.sum(axis=1), 1)
    made = CliRunner().invoke(dynamics_app, [*arguments, "--method", "fssh"])
    assert ("fssh hops between single states" in str(made.exception)) == (picture == "spinors")
    exported = ["export", str(out), "--out", str(tmp_path / "hefei")]
    made = CliRunner().invoke(couplings_app, exported)
    assert "hefei-dev knows no" in str(made.exception)


def test_spinors_of_a_data_set(tmp_path):
    spinors, frames = model(spinors=True), moving(4)
    path, out = tmp_path / "dataset.h5", tmp_path / "states.h5"
    with create_dataset(path, code="openmx", timestep_fs=1.0) as writer:
        for t in range(4):
            frame = Frame(f"frame_{t}", frames[t], *spinors.predict(frames[t]), ELECTRONS)
            writer.append(frame, BASIS, {})
    chosen = StatesSettings(**WINDOW, spin_orbit="spinors")
    arguments = ["of-dataset", str(path), "--out", str(out), "--settings"]
    made = CliRunner().invoke(states_app, [*arguments, chosen.model_dump_json()])
    assert made.exit_code == 0, made.output
    assert "spinors, frames 0..3" in made.output
    wanted, _ = solve(spinors, frames, spin_orbit="spinors")
    np.testing.assert_allclose(read_shard(out).energies, wanted.energies, atol=1e-9)
    found = assemble([read_shard(out)], CouplingsSettings(), chosen)
    same = assemble([wanted], CouplingsSettings(), chosen)
    np.testing.assert_allclose(found.nac, same.nac, atol=1e-8)
    for picture, said in (
        ("spin_states", "do not tell their spin-orbit coupling apart"),
        (None, "the Hamiltonian has 4 spin components, and no spinors are asked for"),
    ):
        settings = StatesSettings(spin_orbit=picture, valence=2, conduction=2, margin=0).model_dump_json()
        refused = CliRunner().invoke(states_app, [*arguments, settings])
        assert said in str(refused.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"spin": "up"}, "couples the channels, so that there is no spin up"),
        ({"valence": 3}, "valence = 3 spinors cut a pair of degenerate ones: give an even number"),
        ({"solver": "block_si"}, "block_si solves no spinors"),
        ({"defect": {"edge": "filled"}}, "told without spin-orbit coupling"),
    ],
)
def test_what_does_not_go_with_it_is_one_sentence(options, said):
    with pytest.raises(ValueError, match=said):
        StatesSettings(**{"spin_orbit": "spinors", **options})


def test_what_has_no_such_coupling_is_one_sentence():
    with pytest.raises(InputError, match="the Hamiltonian has 1 spin component, and spinors are asked for"):
        solve(ScalarCrystal(), moving(2), spin_orbit="spinors")
