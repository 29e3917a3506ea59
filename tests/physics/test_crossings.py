"""Rates where band-edge states swap with their neighbours, against the exact dynamics of a model."""

import json
from pathlib import Path

import numpy as np
import pytest
from crossing_model import CrossingModel, assembled, hop_probability, written
from trajectories import counted_lifetime
from typer.testing import CliRunner

from n2amd.commands import analysis
from n2amd.config.scissor import Scissor
from n2amd.hopping import dish, propagators, renewal
from n2amd.hopping.local_diabatic import local_diabatic
from n2amd.hopping.neighbours import with_neighbours
from n2amd.hopping.path import apply_scissor, read_couplings
from n2amd.units import HBAR_EV_FS

FRAMES, STEPS = 601, 16
SEEDS = range(1, 7)


def rates(file: Path, carrier: str = "electron", scheme: str = "local_diabatic") -> dict[str, float]:
    """P(16 fs) across the gap by what the headline and by what trajectories run on; no path over the end."""
    path = read_couplings(file, carrier)  # type: ignore[arg-type]
    whole = path.whole
    carried = with_neighbours(path, scheme, 20, STEPS - 0.5)  # type: ignore[arg-type]
    found = {}
    for name, part in (("headline", whole), ("trajectories", carried)):
        steps = propagators.build(part, scheme, 20)  # type: ignore[arg-type]
        unit = np.broadcast_to(np.eye(part.states), steps.shape)
        np.testing.assert_allclose(steps @ steps.conj().swapaxes(1, 2), unit, atol=1e-10)
        found[name] = hop_probability(steps, STEPS, part.start, part.final)
    return found


@pytest.mark.parametrize("gap", [1.5, 3.2])
@pytest.mark.parametrize(("seed", "is_complex"), [(seed, False) for seed in SEEDS] + [(1, True), (4, True)])
def test_rates_across_the_gap(tmp_path: Path, gap: float, seed: int, is_complex: bool) -> None:
    """Swaps in 3 to 4 % of the steps; signs and phases of the eigenvectors are random."""
    model = CrossingModel(seed, gap=gap, is_complex=is_complex)
    exact = hop_probability(model.exact(FRAMES), STEPS, 3, 2)
    energies, overlap = model.overlaps(FRAMES, gauge_seed=seed)
    plain = local_diabatic(energies, overlap, 1.0)
    assert hop_probability(plain, STEPS, 3, 2) == pytest.approx(exact, rel=0.003)
    couplings = assembled(energies, overlap, occupied=3)
    assert (couplings.tracking.successor != np.arange(6)).any(axis=1).mean() > 0.02
    found = rates(written(tmp_path / "c.h5", couplings))
    assert found["headline"] == pytest.approx(exact, rel=0.005)
    assert found["trajectories"] == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("carrier", ["electron", "hole"])
def test_a_window_with_margin_gives_the_rate_of_the_kept_states(tmp_path: Path, carrier: str) -> None:
    """One state is kept on each side, and swaps with those of the margin."""
    model = CrossingModel(5, gap=1.5)
    forth = (3, 2) if carrier == "electron" else (2, 3)
    exact = hop_probability(model.exact(FRAMES), STEPS, *forth)
    couplings = assembled(*model.overlaps(FRAMES), occupied=3, valence=1, conduction=1)
    found = rates(written(tmp_path / "c.h5", couplings), carrier)
    assert found["headline"] == pytest.approx(exact, rel=0.005)
    assert found["trajectories"] == pytest.approx(exact, rel=0.03)


def test_trajectories_recombine_as_the_exact_lifetime_says(tmp_path: Path) -> None:
    """Swaps among valence states only; 1,200 arrivals know the lifetime to 3 %.

    Without closed neighbours they recombine 15 to 20 % too fast.
    """
    model = CrossingModel(1, conduction=1, gap=0.8, across=0.06)
    file = written(tmp_path / "c.h5", assembled(*model.overlaps(801), occupied=3))
    path, tau = read_couplings(file, "electron"), 12.3
    whole = path.whole
    exact = renewal.lifetime(whole, propagators.build(whole, "local_diabatic"), tau, 300.0)
    found = {}
    for carried in (path, with_neighbours(path, "local_diabatic", 1, tau)):
        steps = propagators.build(carried, "local_diabatic")
        tables = dish.prepare(carried, steps, tau * (1 - np.eye(carried.states)), 300.0)
        block = dish.run_block(
            tables,
            seed=1,
            sample=0,
            start_frame=0,
            start_state=1,
            steps=40_000,
            stride=100,
            trajectories=range(200),
        )
        # no carrier is ever in a closed state
        assert block.population[:, carried.open_states :].sum() == 0
        found[carried.closed] = counted_lifetime(tables, range(0, 800, 20), 200, 40_000)[0] / exact
    assert found[2] == pytest.approx(1.0, abs=0.09)
    assert found[0] < 0.91


@pytest.mark.parametrize("gap", [1.5, 3.2])
def test_rates_without_swaps(tmp_path: Path, gap: float) -> None:
    model = CrossingModel(2, gap=gap, spacing=0.4)
    exact = hop_probability(model.exact(FRAMES), STEPS, 3, 2)
    couplings = assembled(*model.overlaps(FRAMES), occupied=3)
    assert (couplings.tracking.successor == np.arange(6)).all()
    found = rates(written(tmp_path / "c.h5", couplings))
    assert found["headline"] == pytest.approx(exact, rel=0.005)
    assert found["trajectories"] == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("is_complex", [False, True])
def test_rates_with_degenerate_pairs(is_complex: bool) -> None:
    """Every level twice, rotated at random in every frame: both copies together recombine as one does."""
    generator = np.random.default_rng(3)
    model = CrossingModel(1, gap=1.5, valence=2, conduction=2)
    energies, overlap = model.overlaps(301)
    exact = hop_probability(model.exact(301), STEPS, 2, 1)
    # tensor product with a spin that nothing acts on
    energies, overlap = np.repeat(energies, 2, axis=1), np.kron(overlap, np.eye(2))
    turns = np.zeros((301, 8, 8), complex if is_complex else float)
    for frame in range(301):
        for level in range(0, 8, 2):
            block = generator.normal(size=(2, 2)) + (1j * generator.normal(size=(2, 2)) if is_complex else 0)
            turns[frame, level : level + 2, level : level + 2] = np.linalg.qr(block)[0]
    overlap = turns[:-1].conj().swapaxes(1, 2) @ overlap @ turns[1:]
    steps = local_diabatic(energies, overlap, 1.0)
    found = sum(hop_probability(steps, STEPS, 4, final) for final in (2, 3))
    assert found == pytest.approx(exact, rel=0.005)
    couplings = assembled(energies, overlap, occupied=4, first_gauge=turns[0].conj().T)
    again = local_diabatic(couplings.energies, couplings.overlap, 1.0, couplings.window.mixing)
    assert sum(hop_probability(again, STEPS, 4, final) for final in (2, 3)) == pytest.approx(exact, rel=0.005)
    assert hop_probability(again, STEPS, 4, 2) == pytest.approx(exact, rel=0.05)


def test_degenerate_edges_have_the_lifetime_of_either_copy(tmp_path: Path) -> None:
    """Every level twice: rounding decided which copies were the edges, and copies do not couple.

    The hole is in either copy, so that half of the carriers find it.
    """
    model = CrossingModel(1, gap=0.8, across=0.05, valence=2, conduction=2)
    energies, overlap = model.overlaps(201)
    generator, times = np.random.default_rng(3), tmp_path / "dephasing.json"
    double, found = np.kron(overlap, np.eye(2)), []
    for copies in (1, 2, 2):
        if copies == 1:
            couplings = assembled(energies, overlap, occupied=2)
        else:
            noise = 1e-13 * generator.normal(size=(201, 8))
            couplings = assembled(np.sort(np.repeat(energies, 2, axis=1) + noise, axis=1), double, occupied=4)
        file = written(tmp_path / f"{len(found)}.h5", couplings)
        for command in (["dephasing"], ["lifetime", "--dephasing", str(times)]):
            out = str(times if command == ["dephasing"] else tmp_path / "l.json")
            result = CliRunner().invoke(analysis.app, [*command, "--couplings", str(file), "--out", out])
            assert result.exit_code == 0, result.output
        document = json.loads((tmp_path / "l.json").read_text())
        found.append([document["lifetime_ns"]["value"], document["nac"]["rms_meV"]])
    np.testing.assert_allclose(found[1], found[2], rtol=1e-6)
    np.testing.assert_allclose(found[1], np.multiply(found[0], [2, np.sqrt(0.5)]), rtol=0.03)


@pytest.mark.parametrize("scheme", ["local_diabatic", "hst"])
@pytest.mark.parametrize(("coupling", "sweep"), [(5e-4, 1e-5), (1e-3, 2e-5), (2.4e-3, 2e-3), (1e-4, 1e-3)])
def test_landau_zener_inside_a_band(tmp_path: Path, coupling: float, sweep: float, scheme: str) -> None:
    """Closer than `degeneracy_meV`, passages that the step resolves and others; stays adiabatic by formula.

    Landau, Phys. Z. Sowjetunion 2, 46 (1932); Zener, Proc. R. Soc. A 137, 696 (1932).
    """
    frames = min(4001, 2 * int(40 * max(coupling, np.sqrt(HBAR_EV_FS * sweep) / 2) / sweep / 2) + 401)
    time = np.arange(frames) - (frames - 1) / 2 + 0.3
    h = np.zeros((frames, 3, 3))
    h[:, 0, 0] = -1.0
    h[:, 1, 1], h[:, 2, 2] = sweep * time / 2, -sweep * time / 2
    h[:, 1, 2] = h[:, 2, 1] = coupling
    energies, vectors = np.linalg.eigh(h)
    vectors *= np.random.default_rng(0).choice([-1, 1], (frames, 1, 3))
    couplings = assembled(energies, vectors[:-1].swapaxes(1, 2) @ vectors[1:], occupied=1)
    path = read_couplings(written(tmp_path / "c.h5", couplings), "electron")
    moved = propagators.cumulative(propagators.build(path, scheme, 10))[-1]  # type: ignore[arg-type]
    stays = 1 - np.exp(-2 * np.pi * coupling**2 / (HBAR_EV_FS * sweep))
    # hst sees an unresolved passage as the sine of its rotation
    tolerance = 0.01 if scheme == "local_diabatic" or sweep < 1e-4 else 0.35
    assert abs(moved[1, 1]) ** 2 == pytest.approx(stays, abs=tolerance)


def test_a_swap_by_symmetry_at_the_edge_of_the_window_goes_on() -> None:
    """The outermost state leaves, another enters, with no overlap at all: the others do not notice."""
    frames = 40
    energies = np.tile([0.0, 1.5, 2.0], (frames, 1))
    angle = 2e-3
    small = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    overlap = np.tile(small, (frames - 1, 1, 1))
    whole = local_diabatic(energies, overlap, 1.0)
    overlap[20, 2, 2] = 0.0
    left = local_diabatic(energies, overlap, 1.0)
    np.testing.assert_allclose(np.abs(left[:, :2, :2]), np.abs(whole[:, :2, :2]), atol=1e-12)
    np.testing.assert_allclose(np.abs(left[:, 2, 2]), 1.0, atol=1e-12)


def test_the_state_that_leaves_does_not_double_the_couplings_of_the_others() -> None:
    """Loewdin alone turns the rest by the sum of both small elements as the diagonal one vanishes."""
    angle = 1e-3
    for diagonal in (1.0, 0.6, 0.1, 1e-9, 0.0):
        overlap = np.array([[[1.0, angle], [-angle, diagonal]]])
        energies = np.tile([0.0, 1.5], (2, 1))
        found = abs(local_diabatic(energies, overlap, 1.0)[0, 0, 1])
        expected = abs(local_diabatic(energies, np.array([[[1.0, angle], [-angle, 1.0]]]), 1.0)[0, 0, 1])
        assert found == pytest.approx(expected, rel=0.26)


@pytest.mark.parametrize("timestep", [0.5, 2.0])
def test_other_time_steps(timestep: float) -> None:
    model = CrossingModel(3, gap=1.5)
    count, steps = int(1000 / timestep) + 1, int(STEPS / timestep)
    exact = hop_probability(model.exact(count, timestep), steps, 3, 2)
    found = local_diabatic(*model.overlaps(count, timestep), timestep)
    assert hop_probability(found, steps, 3, 2) == pytest.approx(exact, rel=0.005)


def test_hst_off_gamma_does_not_depend_on_the_phases_of_the_first_frame(tmp_path: Path) -> None:
    """Where states swap in energy order, only signs were mended: the rest of the phase stayed in the NAC."""
    model = CrossingModel(4, gap=1.5, is_complex=True)
    energies, overlap = model.overlaps(301)
    generator = np.random.default_rng(8)
    first = np.diag(np.exp(2j * np.pi * generator.random(6)))
    one, other = (
        assembled(energies, overlap, occupied=3, first_gauge=gauge) for gauge in (np.eye(6) + 0j, first)
    )
    diagonal = np.diagonal(one.nac, axis1=1, axis2=2)
    assert np.abs(diagonal).max() < 0.01
    np.testing.assert_allclose(np.abs(one.nac), np.abs(other.nac), atol=1e-12)
    # the same but for a phase of each column, constant in time
    turn = np.exp(1j * np.angle(np.diagonal(one.overlap[:1], axis1=1, axis2=2)))
    assert turn.shape == (1, 6)
    populations = [
        np.abs(
            propagators.cumulative(
                propagators.build(read_couplings(written(tmp_path / f"{k}.h5", each), "electron"), "hst", 10)
            )[:, :, 1]
        )
        for k, each in enumerate((one, other))
    ]
    np.testing.assert_allclose(populations[0], populations[1], atol=1e-9)


@pytest.mark.parametrize("seed", range(1, 9))
def test_scissor_and_edges_of_columns_that_follow_their_character(tmp_path: Path, seed: int) -> None:
    """Conduction columns are those on the conduction side, whatever their rank was in the first frame."""
    model = CrossingModel(seed, gap=0.6, spacing=0.02, sigma=0.04)
    couplings = assembled(*model.overlaps(400), occupied=3, order="character")
    file = written(tmp_path / "c.h5", couplings)
    path = read_couplings(file, "electron")
    moved, shift = apply_scissor(path, Scissor(gap_eV=2.0))
    np.testing.assert_allclose(moved.energies[:, 1:] - path.energies[:, 1:], shift)
    np.testing.assert_array_equal(moved.energies[:, 0], path.energies[:, 0])
    window = moved.whole
    expected = np.tile(shift * np.array([0, 0, 0, 1, 1, 1.0]), (400, 1))
    np.testing.assert_allclose(window.energies - path.whole.energies, expected, atol=1e-12)
    times = tmp_path / "dephasing.json"
    for command in (
        ["dephasing", "--couplings", str(file), "--out", str(times)],
        ["lifetime", "--couplings", str(file), "--dephasing", str(times), "--out", str(tmp_path / "l.json")],
    ):
        result = CliRunner().invoke(analysis.app, command)
        assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "l.json").read_text())
    assert document["gap"]["mean_eV"] > 0.3


def test_the_lifetime_takes_scheme_and_substeps(tmp_path: Path) -> None:
    model = CrossingModel(2, gap=3.2)
    file = written(tmp_path / "c.h5", assembled(*model.overlaps(400), occupied=3))
    times = tmp_path / "dephasing.json"
    CliRunner().invoke(analysis.app, ["dephasing", "--couplings", str(file), "--out", str(times)])
    found = {}
    for options in (("local_diabatic", 10), ("hst", 2), ("hst", 20)):
        out = tmp_path / f"{options[0]}{options[1]}.json"
        command = ["lifetime", "--couplings", str(file), "--dephasing", str(times), "--out", str(out)]
        command += ["--scheme", options[0], "--substeps", str(options[1])]
        result = CliRunner().invoke(analysis.app, command)
        assert result.exit_code == 0, result.output
        document = json.loads(out.read_text())
        assert document["scheme"] == options[0]
        found[options] = document["exact"]["exponential_waiting_ns"]
    # two sub-steps across 3.2 eV make hst five times too slow
    assert found["hst", 2] > 3 * found["hst", 20]
    path = read_couplings(file, "electron").whole
    tau = json.loads(times.read_text())["gaussian_fs"]
    exact = renewal.lifetime(path, propagators.build(path, "local_diabatic"), tau, 300.0)
    document = json.loads((tmp_path / "local_diabatic10.json").read_text())
    assert document["exact"]["lifetime_ns"]["value"] == pytest.approx(1e-6 * exact, rel=0.1)
