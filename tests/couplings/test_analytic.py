"""Couplings along the velocities: against vectors, a model solved by hand, and differences of real motion."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from vector_models import md_frame, titania_models

from n2amd.commands import couplings as couplings_command
from n2amd.commands import states as states_command
from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.analytic import couplings_of_motion
from n2amd.couplings.assemble import Joined, assemble, couple
from n2amd.couplings.store import read_couplings
from n2amd.couplings.vectors import nac_vectors
from n2amd.errors import InputError
from n2amd.network import layers, predict
from n2amd.network.hamiltonian_change import hamiltonian_changes
from n2amd.network.predict import HamiltonianPredictor
from n2amd.network.velocity_coupling import ModelVelocityCouplings
from n2amd.orbitals.overlap_fit import LimitedTable, OverlapLimits
from n2amd.states.checkpoint import Checkpoint
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.shards import solve_shard
from n2amd.states.store import ShardInfo, StatesShard, read_shard, write_shard
from n2amd.states.velocity import couplings_of_elements
from n2amd.trajectory.file import FrameBlock, write_trajectory
from n2amd.trajectory.slice import TrajectorySlice
from n2amd.units import HBAR_EV_FS

GAMMA, GENERAL = (0.0, 0.0, 0.0), (0.13, 0.2, -0.31)
VBM = 23
SETTINGS = StatesSettings(valence=2, conduction=2, margin=2)
ANALYTIC, HST = CouplingsSettings(scheme="analytic"), CouplingsSettings()


@pytest.fixture(scope="module")
def models() -> dict[str, HamiltonianPredictor]:
    return titania_models()


def random_velocities() -> np.ndarray:
    return np.random.default_rng(4).normal(scale=0.01, size=(6, 3))


def motion(predictor: HamiltonianPredictor, velocities: np.ndarray, kpoint, kind="exact"):
    """States of a real frame, and their couplings along some velocities."""
    settings, structure = SETTINGS.model_copy(update={"kpoint": kpoint}), md_frame(3)
    solver = FrameSolver.for_structure(predictor, settings, structure)
    states = solver.solve(structure, 0)
    coupler = ModelVelocityCouplings.of(predictor, kind)
    where = (states.energies, states.coefficients, solver.kpoint)
    return solver, coupler.velocity_couplings(structure, velocities, *where)


@pytest.mark.parametrize("kind", ["exact", "electron-translation-free"])
@pytest.mark.parametrize(
    ("model", "kpoint"),
    [("pair", GAMMA), ("atoms", GAMMA), ("density+pair", GAMMA), ("density+pair", GENERAL)],
)
def test_one_pass_forward_is_every_pass_backward(models, model, kpoint, kind):
    """All pairs from one derivative along the velocities: d . v of vectors, each from a pass of its own."""
    velocities = random_velocities()
    solver, found = motion(models[model], velocities, kpoint, kind)
    pairs = [(VBM, VBM + 1), (VBM - 1, VBM + 2)]
    vectors = nac_vectors(models[model], md_frame(3), pairs, StatesSettings(kpoint=kpoint), 0)
    nac = vectors.nac if kind == "exact" else vectors.nac - vectors.riding
    expected = np.einsum("pac,ac->p", nac, velocities)
    low = solver.window.low
    # phases are those of two solutions
    np.testing.assert_allclose([abs(found[i - low, j - low]) for i, j in pairs], np.abs(expected), rtol=1e-9)
    np.testing.assert_allclose(found, -found.conj().T, atol=1e-12)
    assert np.iscomplexobj(found) == (kpoint == GENERAL)


def test_a_mesh_that_goes_with_the_atoms(models):
    """OpenMX' mesh: a common velocity has no effect at all."""
    model = models["density"].model
    scheme = replace(model.zeroth.ingredients, scheme="openmx")
    predictor = replace(
        models["density"], model=replace(model, zeroth=replace(model.zeroth, ingredients=scheme))
    )
    velocities = random_velocities()
    _, found = motion(predictor, velocities, GAMMA, "electron-translation-free")
    _, moved = motion(
        predictor, velocities + np.array([0.01, -0.02, 0.005]), GAMMA, "electron-translation-free"
    )
    np.testing.assert_allclose(np.abs(moved), np.abs(found), atol=1e-11)


def test_all_atoms_together(models):
    """A common velocity leaves H as it is: only riding orbitals couple; a fixed mesh adds its egg box."""
    velocities = np.broadcast_to(np.array([0.006, -0.005, 0.0062]), (6, 3))
    for model, kpoint in (("pair", GAMMA), ("pair", GENERAL)):
        free = motion(models[model], velocities, kpoint, "electron-translation-free")[1]
        exact = motion(models[model], velocities, kpoint)[1]
        assert np.abs(free).max() < 1e-12
        assert np.abs(exact).max() > 1e-4
    coarse, fine = (
        np.abs(motion(predictor, velocities, GAMMA, "electron-translation-free")[1][3:5, 3:5]).max()
        for predictor in (models["density"], models["density"].refined(1.6))
    )
    riding = np.abs(motion(models["density"], velocities, GAMMA)[1][3:5, 3:5]).max()
    assert 0 < fine < coarse / 3
    assert coarse < 0.1 * riding


def test_networks_in_single_precision_are_refused(models):
    model = models["pair"].model
    single = replace(models["pair"], model=replace(model, pair=model.pair.float()))
    try:
        with pytest.raises(ValueError, match="float32"):
            hamiltonian_changes(single, md_frame(3), random_velocities(), np.ones((96, 1)), np.zeros(3))
    finally:
        model.pair.double()


def test_bonds_in_parts(models, monkeypatch):
    """Of a large cell a part of the bonds follows the other."""
    whole = motion(models["density+pair"], random_velocities(), GAMMA)[1]
    monkeypatch.setattr(layers, "BONDS", 100)
    parts = motion(models["density+pair"], random_velocities(), GAMMA)[1]
    np.testing.assert_allclose(parts, whole, rtol=0, atol=1e-12 * np.abs(whole).max())


def turning(count: int, timestep: float, rate: float, signs: bool = True) -> Joined:
    """Two states, 1 eV apart, that turn by `rate` rad a fs, and a third; eigenvectors of random sign."""
    rng, times = np.random.default_rng(1), timestep * np.arange(count)
    energies, slopes = np.array([0.0, 1.0, 1.7]), np.zeros((count, 3, 3))
    turned = np.tile(np.eye(3), (count, 1, 1))
    for k, t in enumerate(times):
        c, s = np.cos(rate * t), np.sin(rate * t)
        turned[k, :2, :2] = [[c, -s], [s, c]]
        turn = rate * np.array([[-s, -c], [c, -s]])
        h = np.zeros((3, 3))
        h[:2, :2] = turn @ np.diag(energies[:2]) @ turned[k, :2, :2].T
        slopes[k] = h + h.T
    turned = turned * (rng.choice([-1.0, 1.0], size=(count, 1, 3)) if signs else 1.0)
    zero = np.zeros((3, 3))
    along = [couplings_of_elements(energies, v.T @ slope @ v, zero, zero) for v, slope in zip(turned, slopes)]
    info = ShardInfo(0, count - 1, 1, 3, timestep, 1, 2, "exact")
    overlap = turned[:-1].swapaxes(1, 2) @ turned[1:]
    shown = np.tile(energies, (count, 1))
    return Joined(info, shown, np.arange(3), overlap, np.eye(3), velocity_couplings=np.array(along))


@pytest.mark.parametrize("order", ["energy", "character"])
def test_states_that_turn_evenly(order):
    """The coupling of a rotation is its speed at every step; differences see its sine."""
    rate, timestep = 0.2, 2.0
    joined = turning(6, timestep, rate)
    exact = couple(joined, timestep, 0.005, order, "analytic").nac
    differences = couple(joined, timestep, 0.005, order).nac
    np.testing.assert_allclose(np.abs(exact[:, 0, 1]), HBAR_EV_FS * rate, rtol=1e-12)
    sine = HBAR_EV_FS * np.sin(rate * timestep) / timestep
    np.testing.assert_allclose(np.abs(differences[:, 0, 1]), sine, rtol=1e-12)
    # in one gauge, so that signs are those of the differences
    np.testing.assert_array_equal(np.sign(exact[:, 0, 1]), np.sign(differences[:, 0, 1]))
    np.testing.assert_allclose(exact, -exact.swapaxes(1, 2), atol=1e-15)
    assert np.abs(exact[:, 2]).max() == 0.0


def test_states_transported_together_do_not_couple():
    """A level that splits by 0.01 meV and turns at will: zero inside, and to others as the gauge says."""
    rng, count = np.random.default_rng(3), 5
    angle = rng.uniform(-np.pi, np.pi, count)
    turn = np.tile(np.eye(3), (count, 1, 1))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 1, 0], turn[:, 0, 1] = np.sin(angle), -np.sin(angle)
    fixed = np.zeros((3, 3))
    fixed[:2, 2], fixed[2, :2] = (0.003, -0.002), (-0.003, 0.002)
    along = turn.swapaxes(1, 2) @ fixed @ turn
    along[:, 0, 1], along[:, 1, 0] = 400.0, -400.0  # a coupling over next to no gap
    energies = np.tile([0.0, 1e-5, 1.0], (count, 1))
    info = ShardInfo(0, count - 1, 2, 3, 1.0, 2, 1, "exact")
    overlap = turn[:-1].swapaxes(1, 2) @ turn[1:]
    joined = Joined(info, energies, np.arange(3), overlap, np.eye(3), velocity_couplings=along)
    nac = couple(joined, 1.0, 0.005, "character", "analytic").nac / HBAR_EV_FS
    assert np.abs(nac[:, :2, :2]).max() < 1e-12
    np.testing.assert_allclose(np.linalg.norm(nac[:, :2, 2], axis=1), np.hypot(0.003, 0.002), rtol=1e-9)
    np.testing.assert_allclose(nac, np.tile(nac[:1], (count - 1, 1, 1)), atol=1e-12)
    with pytest.raises(InputError, match=r"states 0 and 1 .* more than half a turn in 1 fs"):
        couple(joined, 1.0, 0.0, "character", "analytic")


def real_path() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of the quartic through five frames of a DFT trajectory, 1 fs apart, and its slope's."""
    frames = np.array([md_frame(k).positions.ravel() for k in range(1, 6)])
    coefficients = np.polynomial.polynomial.polyfit(np.arange(-2, 3), frames, 4)
    return coefficients, np.polynomial.polynomial.polyder(coefficients)


def slice_of(times: np.ndarray, start: int = 0) -> TrajectorySlice:
    path, speed = (np.polynomial.polynomial.polyval(times, c).T.reshape(-1, 6, 3) for c in real_path())
    return TrajectorySlice(start, float(times[1] - times[0]), md_frame(3), path, path[0], speed)


def solved(
    predictor: HamiltonianPredictor, frames: TrajectorySlice, kpoint=GAMMA, checkpoint=None, **options
):
    settings = SETTINGS.model_copy(update={"kpoint": kpoint})
    kind = "exact"
    coupler = ModelVelocityCouplings.of(predictor, kind)
    cross = predictor.cross_overlap(kind)
    return solve_shard(frames, predictor, cross, settings, kind, checkpoint, coupler=coupler, **options)


@pytest.mark.parametrize(
    ("model", "steps", "slack"), [("pair", (0.4, 0.2, 0.1), 0.05), ("density", (4.0, 2.0, 1.0), 0.2)]
)
def test_differences_come_closer_as_the_square_of_the_step(models, model, steps, slack):
    """On the motion of real titania, all pairs of the kept states through the whole chain."""
    errors, size = [], 0.0
    for timestep in steps:
        shard = solved(models[model], slice_of(np.array([-timestep / 2, timestep / 2])))
        exact, differences = (assemble([shard], s, SETTINGS).nac for s in (ANALYTIC, HST))
        errors.append(np.linalg.norm(exact - differences))
        size = np.linalg.norm(differences)
    np.testing.assert_allclose(np.diff(-np.log2(errors)), 2.0, atol=slack)
    assert errors[-1] < 0.03 * size


@pytest.mark.parametrize("kpoint", [GAMMA, GENERAL])
def test_shards_restarts_and_files_change_nothing(models, tmp_path, kpoint):
    times = np.arange(5) * 0.5 - 1.0
    settings = SETTINGS.model_copy(update={"kpoint": kpoint})
    whole = solved(models["pair"], slice_of(times), kpoint)
    parts = [
        solved(models["pair"], replace(slice_of(times[a:]), start=a), kpoint)
        if a
        else solved(models["pair"], slice_of(times[:3]), kpoint)
        for a in (0, 2)
    ]
    one, two = (assemble(shards, ANALYTIC, settings) for shards in ([whole], parts))
    np.testing.assert_allclose(two.nac, one.nac, atol=1e-10)
    write_shard(tmp_path / "shard.h5", whole)
    again = read_shard(tmp_path / "shard.h5")
    np.testing.assert_array_equal(again.velocity_couplings, whole.velocity_couplings)
    stopped = Checkpoint(tmp_path / "other.h5", "job")

    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise StopError

    with pytest.raises(StopError):
        solved(models["pair"], slice_of(times), kpoint, stopped, checkpoint_seconds=0, report=stop)
    resumed = solved(models["pair"], slice_of(times), kpoint, stopped)
    np.testing.assert_array_equal(resumed.velocity_couplings, whole.velocity_couplings)


def test_default_shards_hold_none_and_cannot_be_assembled(models):
    predictor, frames = models["pair"], slice_of(np.arange(3) * 0.5)
    plain = solve_shard(frames, predictor, predictor.cross_overlap("exact"), SETTINGS, "exact")
    assert plain.velocity_couplings is None
    with pytest.raises(InputError, match="hold no couplings along the velocities"):
        assemble([plain], ANALYTIC, SETTINGS)
    along = solved(predictor, frames)
    for name in ("energies", "overlap", "first_coefficients"):
        np.testing.assert_array_equal(getattr(along, name), getattr(plain, name))


def test_limits_of_the_overlap(models):
    """Radial functions recovered from overlaps do not tell how orbitals ride on their atoms."""
    limits = OverlapLimits(0, 0.0, 0.0, 0.0, {}, {8: 1e-3, 22: 0.0}, {8: 0.01, 22: 1.0})
    table = LimitedTable(models["pair"].table, limits)
    limited = replace(models["pair"], table=table)
    with pytest.raises(InputError, match="displaced"):
        ModelVelocityCouplings.of(limited, "exact")
    kind, velocities, structure = "electron-translation-free", random_velocities(), md_frame(3)
    solver, expected = motion(models["pair"], velocities, GAMMA, kind)
    states = solver.solve(structure, 0)
    coupler = ModelVelocityCouplings.of(limited, kind)
    where = (states.energies, states.coefficients, solver.kpoint)
    np.testing.assert_array_equal(coupler.velocity_couplings(structure, velocities, *where), expected)


def trajectory(path: Path, velocities: np.ndarray | None = None) -> Path:
    frames = slice_of(np.arange(5) * 0.5 - 1.0)
    zeros = np.zeros(5)
    moving = frames.velocities if velocities is None else velocities
    block = FrameBlock(frames.positions, moving, zeros, zeros, zeros)
    attributes = {"timestep_fs": 0.5, "temperature_K": 300.0}
    write_trajectory(path, frames.structure, [block], attributes=attributes, config={}, inputs=[])
    return path


def test_commands(models, tmp_path, monkeypatch):
    """From trajectory.h5 to couplings.h5 by the commands that the rules call, in two shards."""
    monkeypatch.setattr(predict, "load_predictor", lambda path, device="cpu": models["density+pair"])
    model, source = tmp_path / "model.pt", trajectory(tmp_path / "trajectory.h5")
    model.write_bytes(b"read elsewhere")
    states = '{"valence": 2, "conduction": 2, "margin": 2, "frames_per_shard": 2}'
    fixed = ["solve", "--trajectory", str(source), "--model", str(model), "--settings", states]

    def run(app, arguments):
        return CliRunner().invoke(app, arguments, catch_exceptions=False)

    shards = []
    for part in ("0-2", "3-4"):
        shards.append(str(tmp_path / f"{part}.h5"))
        scheme = ["--couplings-settings", '{"scheme": "analytic"}', "--frames", part, "--out", shards[-1]]
        done = run(states_command.app, [*fixed, *scheme])
        assert done.exit_code == 0, done.output
    found = {}
    for scheme in ("analytic", "hst"):
        out = tmp_path / f"{scheme}.h5"
        chosen = ["--settings", f'{{"scheme": "{scheme}"}}', "--states-settings", states]
        rest = ["--trajectory", str(source), "--out", str(out)]
        done = run(couplings_command.app, ["assemble", *shards, *chosen, *rest])
        assert done.exit_code == 0, done.output
        found[scheme] = read_couplings(out)
        assert found[scheme].scheme == scheme
    exact, differences = (found[scheme].nac for scheme in ("analytic", "hst"))
    assert 0 < np.linalg.norm(exact - differences) < 0.05 * np.linalg.norm(exact)
    np.testing.assert_array_equal(found["analytic"].overlap, found["hst"].overlap)

    still = trajectory(tmp_path / "still.h5", np.zeros((5, 6, 3)))
    scheme = ["--couplings-settings", '{"scheme": "analytic"}', "--out", str(tmp_path / "x.h5")]
    arguments = [str(still) if a == str(source) else a for a in [*fixed, *scheme]]
    with pytest.raises(InputError, match="no velocities"):
        run(states_command.app, arguments)
    changed = trajectory(source, 1.01 * slice_of(np.arange(5) * 0.5 - 1.0).velocities)
    rest = ["--trajectory", str(changed), "--out", str(tmp_path / "y.h5"), "--states-settings", states]
    with pytest.raises(InputError, match="of other geometries"):
        run(couplings_command.app, ["assemble", *shards, *rest])


def test_parity_with_dft_is_refused(tmp_path):
    arguments = ["--dataset", "none.h5", "--model", "none.pt", "--out", "none.json"]
    with pytest.raises(InputError, match="no derivative of H"):
        CliRunner().invoke(
            couplings_command.app,
            ["parity", *arguments, "--settings", '{"scheme": "analytic"}'],
            catch_exceptions=False,
        )


def test_shards_that_are_not_anti_hermitian_are_refused(models, tmp_path):
    from n2amd.couplings.shards import read_shards

    shard: StatesShard = solved(models["pair"], slice_of(np.arange(3) * 0.5))
    wrong = shard.velocity_couplings.copy()
    wrong[1, 0, 1] += 0.01
    write_shard(tmp_path / "shard.h5", replace(shard, velocity_couplings=wrong))
    with pytest.raises(InputError, match="not anti-Hermitian") as caught:
        read_shards([tmp_path / "shard.h5"])
    assert caught.value.frame == 1


def test_a_gap_that_closes_at_the_first_frame():
    """The first frame's cluster is seen from the second: its coupling over no gap does not enter."""
    apart = np.zeros((2, 2, 2))
    apart[0, 0, 1], apart[0, 1, 0] = 1e3, -1e3
    gauge = np.tile(np.eye(2), (2, 1, 1))
    together, alone = np.array([[0, 0], [0, 1]]), np.array([[0, 1], [0, 1]])
    assert not couplings_of_motion(apart, gauge, together, 1.0).any()
    with pytest.raises(InputError, match="half a turn"):
        couplings_of_motion(apart, gauge, alone, 1.0)
