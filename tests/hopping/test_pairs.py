"""Electron-hole pairs: determinants against their definition, dynamics against what one carrier does."""

import csv
import itertools
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from classical_paths import fluctuating
from typer.testing import CliRunner

from n2amd.commands import analysis, dynamics
from n2amd.config.scissor import Scissor
from n2amd.couplings.store import Couplings, Tracking, write_couplings
from n2amd.errors import InputError
from n2amd.hopping import dephasing, ensemble, pairs, propagators
from n2amd.hopping.methods import METHODS
from n2amd.hopping.parallel import Processes
from n2amd.hopping.path import ClassicalPath, apply_scissor, pair_path, read_couplings
from n2amd.interop import hefei
from n2amd.storage import open_hdf5
from n2amd.units import BOLTZMANN_EV_K, HBAR_EV_FS


def window(valence: int, conduction: int, frames: int = 121, **options: object) -> ClassicalPath:
    """Valence and conduction states around a gap, with overlaps; the across-gap couplings can be zero."""
    given: dict = {"gap": 0.05, "spacing": 0.04, "across": 0.02, "within": 0.02, **options}
    gap = float(given.pop("opened", 0.4))
    path = fluctuating(valence + conduction, frames, **given)
    opened = np.where(np.arange(path.states) < valence, 0.0, gap)
    nac = path.nac.copy()
    if given["across"] == 0:
        nac[:, :valence, valence:] = nac[:, valence:, :valence] = 0
    overlap = propagators.exponential(1j * nac / HBAR_EV_FS)
    return replace(
        path,
        energies=path.energies + opened,
        nac=nac,
        overlap=overlap if np.iscomplexobj(nac) else overlap.real,
        band_index=10 + np.arange(path.states),
        start=valence,
        final=valence - 1,
    )


def electron_of(path: ClassicalPath) -> ClassicalPath:
    return path.part([path.final, *range(path.start, path.states)], start=1, final=0)


def written(file: Path, path: ClassicalPath) -> Path:
    intervals, n = path.intervals, path.states
    none = np.zeros(intervals, int)
    assert path.overlap is not None
    assert path.nac is not None
    couplings = Couplings(
        timestep_fs=1.0,
        n_occupied=10 + path.start,
        vbm=path.final,
        cbm=path.start,
        overlap_kind="exact",
        order="energy",
        kpoint=(0.0, 0.0, 0.0),
        energies=path.energies,
        overlap=path.overlap,
        nac=path.nac,
        band_index=path.band_index,
        tracking=Tracking(
            permutation=np.tile(np.arange(n), (intervals + 1, 1)),
            successor=np.tile(np.arange(n), (intervals, 1)),
            min_overlap=np.ones(intervals),
            n_clusters=none,
            window_leak=np.zeros(intervals),
            edge_clusters=none,
        ),
    )
    write_couplings(file, couplings)
    return file


def random_matrix(n: int, seed: int, is_complex: bool) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n, n)) + (1j * generator.normal(size=(n, n)) if is_complex else 0)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize(("valence", "conduction"), [(1, 1), (1, 3), (2, 2), (3, 2)])
def test_overlaps_are_determinants(valence: int, conduction: int, is_complex: bool) -> None:
    """All permutations of the occupied states, written out."""
    n = valence + conduction
    overlap = random_matrix(n, 4, is_complex)
    chosen = pairs.choose(np.arange(n)[None].astype(float), valence)
    occupied = [list(range(valence))]
    for hole, electron in zip(chosen.hole, chosen.electron):
        occupied.append([electron if state == hole else state for state in range(valence)])
    assert len({tuple(sorted(states)) for states in occupied}) == 1 + valence * conduction

    def plain(bra: list[int], ket: list[int]) -> complex:
        total = 0
        for order in itertools.permutations(range(valence)):
            sign = np.linalg.det(np.eye(valence)[list(order)])
            total += sign * np.prod([overlap[bra[k], ket[order[k]]] for k in range(valence)])
        return total

    expected = np.array([[plain(bra, ket) for ket in occupied] for bra in occupied])
    np.testing.assert_allclose(pairs.determinants(chosen, overlap[None])[0], expected, atol=1e-12)
    # a valence block without an inverse
    overlap[valence - 1, :valence] = 0
    expected = np.array([[plain(bra, ket) for ket in occupied] for bra in occupied])
    found = pairs.determinants(chosen, np.stack([overlap, np.eye(n)]))
    np.testing.assert_allclose(found[0], expected, atol=1e-12)
    np.testing.assert_allclose(found[1], np.eye(len(occupied)), atol=1e-14)


@pytest.mark.parametrize("scheme", ["local_diabatic", "hst"])
@pytest.mark.parametrize("is_complex", [False, True])
def test_propagators_are_those_of_independent_particles(scheme: str, is_complex: bool) -> None:
    """All determinants of the window, propagated by brute force, against minors of one electron's."""
    path = window(2, 2, opened=1.0, across=0.003, within=0.003, complex_couplings=is_complex)
    pair = pair_path(path)
    one = propagators.build(path, scheme, 4)  # type: ignore[arg-type]
    assert pair.source is not None
    assert pair.source.pairs is not None
    occupied = [[0, 1]] + [
        [e if v == h else v for v in range(2)]
        for h, e in zip(pair.source.pairs.hole, pair.source.pairs.electron)
    ]
    expected = np.array(
        [[[np.linalg.det(u[np.ix_(bra, ket)]) for ket in occupied] for bra in occupied] for u in one]
    )
    found = propagators.build(pair, scheme, 4)  # type: ignore[arg-type]
    # unitary but for what goes into the one double excitation
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert np.abs(found[:, 0, 1]).max() > 1e-4


def test_states_are_sorted_and_labelled(tmp_path: Path) -> None:
    path = window(3, 2)
    file = written(tmp_path / "c.h5", path)
    pair = read_couplings(file, "pair")
    assert pair.hole_band is not None
    assert (pair.carrier, pair.start, pair.final, pair.sign, pair.states) == ("pair", 1, 0, 1.0, 7)
    assert (pair.band_index[0], pair.hole_band[0]) == (-1, -1)
    assert (pair.band_index[1], pair.hole_band[1]) == (13, 12)
    mean = pair.energies.mean(axis=0)
    assert mean[0] == 0
    assert (np.diff(mean[1:]) > 0).all()
    for state in range(1, 7):
        e, h = pair.band_index[state] - 10, pair.hole_band[state] - 10
        np.testing.assert_array_equal(pair.energies[:, state], path.energies[:, e] - path.energies[:, h])
    few = read_couplings(file, "pair", 4)
    np.testing.assert_array_equal(few.energies, pair.energies[:, :4])
    steps = propagators.build(pair, "local_diabatic")
    np.testing.assert_allclose(
        np.abs(propagators.build(few, "local_diabatic")), np.abs(steps[:, :4, :4]), atol=0.02
    )


def test_rounding_does_not_order_pairs_of_the_same_energy() -> None:
    energies = np.tile([-0.3, -0.3, 0.0, 0.0, 1.0, 1.0, 1.2, 1.2], (11, 1))
    plain = pairs.choose(energies, 4, 9)
    for seed in range(5):
        noise = 1e-13 * np.random.default_rng(seed).normal(size=energies.shape)
        found = pairs.choose(energies + noise, 4, 9)
        np.testing.assert_array_equal(found.hole, plain.hole)
        np.testing.assert_array_equal(found.electron, plain.electron)


def test_scissor_moves_the_pairs(tmp_path: Path) -> None:
    pair = read_couplings(written(tmp_path / "c.h5", window(2, 2)), "pair")
    moved, shift = apply_scissor(pair, Scissor(gap_eV=2.0))
    assert moved.energies[:, 1].mean() == pytest.approx(2.0)
    assert (moved.energies[:, 0] == 0).all()
    np.testing.assert_allclose((moved.energies - pair.energies)[:, 1:], shift)


def test_dephasing_is_that_of_the_differences() -> None:
    path = window(2, 2, frames=400)
    pair = pair_path(path)
    tau = dephasing.matrix(pair.energies, 1.0)
    electron, hole = pair.band_index - 10, pair.hole_band - 10  # type: ignore[operator]
    gap = path.energies[:, electron[2]] - path.energies[:, hole[2]]
    assert tau[0, 2] == pytest.approx(dephasing.of_gap(gap, 1.0).gaussian_fs)
    same = next(k for k in range(2, 5) if electron[k] == electron[1])
    between = path.energies[:, hole[same]] - path.energies[:, hole[1]]
    assert tau[1, same] == pytest.approx(dephasing.of_gap(between, 1.0).gaussian_fs)


def plan(path: ClassicalPath, method: str, **changes: object) -> ensemble.Plan:
    options: dict = {
        "method": method,
        "scheme": "local_diabatic",
        "temperature": 300.0,
        "dephasing_time": 9.3 * (1 - np.eye(path.states)),
        "start_frames": np.array([3, 70]),
        "start_states": np.array([1, 1]),
        "trajectories": 60,
        "steps": 300,
    }
    return ensemble.Plan(**options | changes)


def run(path: ClassicalPath, method: str, folder: Path, **changes: object) -> ensemble.Result:
    result = ensemble.run(path, plan(path, method, **changes), folder / method, Processes())
    assert result is not None
    return result


@pytest.mark.parametrize("scheme", ["local_diabatic", "hst"])
@pytest.mark.parametrize("method", METHODS)
def test_with_one_valence_state_a_pair_is_its_electron(tmp_path: Path, method: str, scheme: str) -> None:
    """|0> is the electron in the VBM; all energies are counted from the VBM's, which is one common phase."""
    weak = method == "dish_renewal"
    path = window(1, 1, across=0.008) if weak else window(1, 3)
    electron = electron_of(path)
    pair = pair_path(path)
    order = [0, *(1 + np.argsort(pair.band_index[1:]))]
    pair = pair.part(order, start=1, final=0)
    for steps in zip(*(propagators.build(each, scheme) for each in (electron, pair))):  # type: ignore[arg-type]
        np.testing.assert_allclose(np.abs(steps[0]), np.abs(steps[1]), atol=1e-12)
    length = {"scheme": scheme, "steps": 2000 if weak else 300}
    one = run(electron, method, tmp_path / "electron", **length)
    other = run(pair, method, tmp_path / "pair", **length)
    np.testing.assert_allclose(one.population, other.population, atol=1e-10)
    np.testing.assert_array_equal(one.hops, other.hops)
    np.testing.assert_array_equal(one.arrival_step, other.arrival_step)
    assert other.population[:, -1, 1].max() < 0.99


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("scheme", ["local_diabatic", "hst"])
def test_without_coupling_across_the_gap_electron_and_hole_are_independent(
    scheme: str, is_complex: bool
) -> None:
    """Amplitudes of |h,e> are products; a hole's are those of an electron in valence states, conjugated."""
    path = window(3, 2, frames=61, across=0.0, complex_couplings=is_complex)
    pair = pair_path(path)

    def evolve(of: ClassicalPath) -> np.ndarray:
        return propagators.cumulative(propagators.build(of, scheme, 4))  # type: ignore[arg-type]

    electron = evolve(path.part([3, 4], 0, 0))[:, :, 0]
    hole = evolve(path.part([0, 1, 2], 0, 0))[:, :, 2].conj()
    together = evolve(pair)[:, :, 1]
    assert pair.hole_band is not None
    product = electron[:, pair.band_index[1:] - 13] * hole[:, pair.hole_band[1:] - 10]
    np.testing.assert_allclose(np.abs(together[:, 1:]) ** 2, np.abs(product) ** 2, atol=1e-10)
    np.testing.assert_allclose(together[:, 0], 0, atol=1e-12)
    # and the phases between them, up to that of the filled valence states
    turn = together[:, 1] * product[:, 0].conj()
    np.testing.assert_allclose(together[:, 1:], product * (turn / np.abs(turn))[:, None], atol=1e-10)
    assert np.abs(product[-1, 0]) ** 2 < 0.9


def test_both_schemes_are_unitary_and_agree() -> None:
    path = window(2, 3, opened=1.0, within=0.005, across=0.005, complex_couplings=True)
    pair = pair_path(path)
    found = [propagators.build(pair, scheme) for scheme in ("local_diabatic", "hst")]
    one = np.broadcast_to(np.eye(7), found[0].shape)
    for steps in found:
        np.testing.assert_allclose(steps @ steps.conj().swapaxes(1, 2), one, atol=1e-12)
    populations = [np.abs(propagators.cumulative(steps)[-1, :, 1]) ** 2 for steps in found]
    np.testing.assert_allclose(*populations, atol=0.02)
    assert populations[0][1] < 0.95


def test_dish_of_pairs_keeps_detailed_balance(tmp_path: Path) -> None:
    """Two holes, two electrons and a gap of 50 meV: five states that are all reached."""
    path = window(2, 2, 1001, opened=0.02, gap=0, spacing=0.03, sigma=0.004, within=0.01, seed=3, across=0.01)
    pair = pair_path(path)
    found = run(
        pair,
        "dish",
        tmp_path,
        dephasing_time=10.3 * (1 - np.eye(5)),
        trajectories=200,
        steps=10_000,
        stride=50,
        absorbing=False,
    ).population[:, 60:]
    expected = np.exp(-pair.energies.mean(axis=0) / (BOLTZMANN_EV_K * 300))
    np.testing.assert_allclose(found.mean(axis=(0, 1)), expected / expected.sum(), rtol=0.15)


@pytest.mark.parametrize("method", METHODS)
def test_phases_of_the_one_electron_states_do_not_matter(tmp_path: Path, method: str) -> None:
    path = (
        window(1, 1, across=0.008, complex_couplings=True)
        if method == "dish_renewal"
        else window(2, 2, complex_couplings=True)
    )
    phase = np.exp(2j * np.pi * np.random.default_rng(1).random(path.energies.shape))
    turned = replace(path, overlap=phase[:-1].conj()[:, :, None] * path.overlap * phase[1:][:, None, :])
    one = run(pair_path(path), method, tmp_path / "one")
    other = run(pair_path(turned), method, tmp_path / "other")
    np.testing.assert_allclose(one.population, other.population, atol=1e-9)
    np.testing.assert_array_equal(one.hops, other.hops)
    np.testing.assert_allclose(one.population.sum(axis=2), 1, atol=1e-12)


def test_a_large_window() -> None:
    path = window(10, 10, frames=6, within=0.01)
    pair = pair_path(path)
    assert pair.states == 101
    chosen = pairs.choose(path.energies, 10)
    overlap = path.overlap
    assert overlap is not None
    occupied = np.arange(10)
    occupied[chosen.hole[57]] = chosen.electron[57]
    other = np.arange(10)
    other[chosen.hole[80]] = chosen.electron[80]
    expected = np.linalg.det(overlap[3][np.ix_(occupied, other)])
    assert pairs.determinants(chosen, overlap)[3, 58, 81] == pytest.approx(expected, abs=1e-14)
    steps = propagators.build(pair, "local_diabatic")
    one = np.broadcast_to(np.eye(101), steps.shape)
    np.testing.assert_allclose(steps @ steps.conj().swapaxes(1, 2), one, atol=1e-11)


def invoke(app: object, *arguments: object) -> str:
    done = CliRunner().invoke(app, list(map(str, arguments)))  # type: ignore[arg-type]
    if done.exception:
        raise done.exception
    return done.output


def test_commands_from_couplings_to_lifetimes(tmp_path: Path) -> None:
    """Two holes and three electrons: run, lifetime, table by band, figure, estimate."""
    couplings = written(tmp_path / "c.h5", window(2, 3, frames=301, opened=0.5))
    settings = json.dumps(
        {"samples": 4, "trajectories": 100, "duration_fs": 600, "output_stride": 10, "carrier": "pair"}
    )
    common = ("--settings", settings)
    out = tmp_path / "dish.h5"
    invoke(dynamics.app, "run", "--couplings", couplings, *common, "--out", out)
    with open_hdf5(out, "populations") as source:
        assert source.attrs["carrier"] == "pair"
        assert "band_index" not in source
        assert source["electron_band"][()].tolist()[:2] == [-1, 12]
        assert source["hole_band"][()].tolist()[:2] == [-1, 11]
        assert source["population"].shape == (4, 61, 7)
        assert source["energy"][0] == pytest.approx(
            np.mean([read_couplings(couplings, "pair").energies[f, 1] for f in source["initial/frame"][()]])
        )
        population = source["mean_population"][()]
        electron = source["electron_band"][()]
    assert "ground state, electron CBM, electron CBM+1, electron CBM+2, hole VBM, hole VBM-1" in invoke(
        analysis.app, "populations", out, "--out", tmp_path / "bands.csv"
    )
    with open(tmp_path / "bands.csv", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 61
    last = {name: float(value) for name, value in rows[-1].items()}
    for particle in ("electron", "hole"):
        total = sum(v for name, v in last.items() if name.startswith(particle) and "error" not in name)
        assert total + last["ground state"] == pytest.approx(1)
    assert last["electron CBM+1"] == pytest.approx(population[-1, electron == 13].sum())
    assert 0 < last["ground state"] < 1
    invoke(analysis.app, "dephasing", "--couplings", couplings, "--out", tmp_path / "dephasing.json")
    common_analysis = ("--couplings", couplings, "--dephasing", tmp_path / "dephasing.json")
    invoke(analysis.app, "lifetime", *common_analysis, "--dynamics", out, "--out", tmp_path / "lifetime.json")
    report = json.loads((tmp_path / "lifetime.json").read_text())
    assert report["carrier"] == "pair"
    assert report["fits"]["dish, seed 1"]["arrivals"]["hops"] > 10
    figure = tmp_path / "populations.svg"
    files = (out, tmp_path / "lifetime.json")
    invoke(analysis.app, "figures", *files, "--what", "populations", "--out", figure)
    assert "hole VBM-1" in figure.read_text()
    assert "600 fs" in invoke(dynamics.app, "estimate", couplings, *common)
    shprop = ("--shprop", tmp_path / "shprop")
    few = json.dumps(json.loads(settings) | {"pair_states": 3, "samples": 1})
    invoke(dynamics.app, "run", "--couplings", couplings, "--settings", few, "--out", out, *shprop)
    with h5py.File(out) as source:
        assert source["population"].shape[2] == 3
        expected = source["population"][0]
    (file,) = (tmp_path / "shprop").glob("SHPROP.*")
    np.testing.assert_allclose(hefei.read_shprop(file)[2], expected, atol=1e-6)


def test_a_renewal_names_the_pair_that_matters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"most .* in pair of hole band 1\d and electron band 1\d"):
        run(pair_path(window(2, 2)), "dish_renewal", tmp_path)


def test_hefei_folders_hold_no_pairs(tmp_path: Path) -> None:
    path = pair_path(window(1, 2))
    with pytest.raises(InputError, match="no pairs"):
        hefei.write(tmp_path, path, np.array([0]), np.ones((3, 3)), hefei.Namelist())
    with pytest.raises(InputError, match="no pairs"):
        hefei.read(tmp_path, "pair")
