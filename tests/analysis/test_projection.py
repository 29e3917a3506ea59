"""Populations and states on groups of sites, against plain sums and closed forms."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_couplings
from typer.testing import CliRunner

from n2amd.analysis.character import character_report, lines_of
from n2amd.analysis.figures.draw import draw
from n2amd.analysis.projection import groups_of, project_run, shares
from n2amd.commands.analysis import app
from n2amd.commands.dynamics import app as dynamics
from n2amd.couplings.store import read_couplings
from n2amd.couplings.store import write_couplings as write_couplings_file
from n2amd.errors import InputError
from n2amd.states.projection import Projection, Sites, participation
from n2amd.storage import open_hdf5
from n2amd.structure import Structure

#: Two layers of Mo and S, two atoms each, 6 A apart.
BILAYER = Structure(
    np.diag([3.2, 3.2, 20.0]),
    np.array([[0, 0, 4.0], [1.6, 1.6, 5.4], [0, 0, 10.0], [1.6, 1.6, 11.4]]),
    np.array([42, 16, 42, 16]),
)
SHELLS = (("4d", 2), ("5s", 0), ("3s", 0), ("3p", 1))


def sites(level: str = "shells", structure: Structure = BILAYER) -> Sites:
    if level == "atoms":
        n = structure.n_atoms
        return Sites(structure, np.arange(n), np.full(n, -1), ("",) * n)
    shells = (SHELLS[:2] if z == 42 else SHELLS[2:] for z in structure.numbers)
    labels = [shell for pair in shells for shell in pair]
    return Sites(
        structure,
        np.repeat(np.arange(structure.n_atoms), 2),
        np.array([l for _, l in labels]),
        tuple(name for name, _ in labels),
    )


def random_weights(frames: int, states: int, where: Sites, seed: int = 0) -> Projection:
    weights = np.random.default_rng(seed).dirichlet(np.ones(len(where.atom)), size=(frames, states))
    return Projection(where, "mulliken", weights.astype(np.float32))


@pytest.fixture
def couplings(tmp_path: Path) -> Path:
    """Five states with random weights on the bilayer's shells."""
    file = write_couplings(tmp_path / "couplings.h5", frames=40, valence=2, conduction=3, gap=0.3, nac=0.03)
    plain = read_couplings(file)
    write_couplings_file(file, replace(plain, projection=random_weights(40, 5, sites())))
    return file


def run_dynamics(couplings: Path, out: Path, carrier: str) -> Path:
    settings = json.dumps(
        {"carrier": carrier, "samples": 3, "trajectories": 40, "duration_fs": 100, "dephasing_time_fs": 5}
    )
    command = ["run", "--couplings", str(couplings), "--out", str(out), "--settings", settings]
    made = CliRunner().invoke(dynamics, [*command, "--method", "dish"])
    assert made.exit_code == 0, made.output
    return out


def by_hand(run: Path, couplings: Path, by_atom: dict[int, str], band_of: str) -> dict[str, np.ndarray]:
    """(samples, T) by group, in plain loops over everything."""
    window = read_couplings(couplings)
    laps = window.n_frames - 1
    with open_hdf5(run, "n2amd/populations") as file:
        population, starts = file["population"][()], file["initial/frame"][()]
        bands, final = file[band_of][()], int(file.attrs["final_state"])
    result = {name: np.zeros(population.shape[:2]) for name in by_atom.values()}
    for sample, start in enumerate(starts):
        frame = int(start)
        for step in range(population.shape[1]):
            if step:
                # after the last frame comes the first interval again, at whose end stands frame 1
                frame = frame + 1 if frame < laps else 1
            for state, band in enumerate(bands):
                if state == final:
                    continue
                column = window.band_index.tolist().index(band)
                for site, atom in enumerate(window.projection.sites.atom):
                    weight = window.projection.weights[frame, column, site]
                    result[by_atom[int(atom)]][sample, step] += population[sample, step, state] * weight
    return result


@pytest.mark.parametrize("carrier", ["electron", "hole", "pair"])
def test_populations_on_layers_are_the_sum_over_states_head_to_tail(carrier, couplings, tmp_path):
    run = run_dynamics(couplings, tmp_path / "run.h5", carrier)
    found = project_run(run, couplings, "layer")
    layers = {0: "layer 1", 1: "layer 1", 2: "layer 2", 3: "layer 2"}
    particles = (
        {"electron ": "electron_band", "hole ": "hole_band"} if carrier == "pair" else {"": "band_index"}
    )
    first = "ground state" if carrier == "pair" else "recombined"
    assert found.names == (first, *(f"{p}layer {k}" for p in particles for k in (1, 2)))
    with open_hdf5(run, "n2amd/populations") as file:
        final = int(file.attrs["final_state"])
        gone = file["population"][()][:, :, final]
    assert 0.05 < gone[:, -1].mean() < 0.999
    np.testing.assert_allclose(found.populations[:, 0], gone.mean(axis=0), atol=1e-12)
    column = 1
    for band_of in particles.values():
        for values in by_hand(run, couplings, layers, band_of).values():
            np.testing.assert_allclose(found.populations[:, column], values.mean(axis=0), atol=1e-6)
            error = values.std(axis=0, ddof=1) / np.sqrt(3)
            np.testing.assert_allclose(found.errors[:, column], error, atol=1e-6)
            column += 1
        np.testing.assert_allclose(
            found.populations[:, [0, column - 2, column - 1]].sum(axis=1), 1, atol=1e-6
        )


def test_groups_name_what_they_are(couplings):
    projection = read_couplings(couplings).projection
    assert groups_of(projection, "species").names == ("Mo", "S")
    assert groups_of(projection, "atom").names == ("Mo 0", "S 1", "Mo 2", "S 3")
    assert groups_of(projection, "orbital").names == ("Mo d", "Mo s", "S s", "S p")
    assert groups_of(projection, "shell").names == ("Mo 4d", "Mo 5s", "S 3s", "S 3p")
    named = groups_of(projection, "layer", {"donor": ["0-1"], "acceptor": [2, 3]})
    assert named.names == ("donor", "acceptor")
    for by in ("species", "atom", "orbital", "shell", "layer"):
        share = shares(projection, groups_of(projection, by))
        np.testing.assert_allclose(share.sum(axis=2), 1, atol=1e-6)
    summed = shares(projection, groups_of(projection, "orbital"))
    np.testing.assert_allclose(summed[3, 2, 0], projection.weights[3, 2, [0, 4]].sum(), rtol=1e-6)


def test_orbitals_of_whole_atoms_are_refused():
    projection = random_weights(2, 2, sites("atoms"))
    with pytest.raises(InputError, match=r"states\.projections.*whole atoms only; set it to shells"):
        groups_of(projection, "orbital")
    assert groups_of(projection, "species").names == ("Mo", "S")


def chain(n: int, impurity: float) -> np.ndarray:
    """Ground state of a ring of n sites, hopping -1, with one site lowered."""
    hamiltonian = -(np.eye(n, k=1) + np.eye(n, k=-1) + np.eye(n, k=n - 1) + np.eye(n, k=1 - n))
    hamiltonian[0, 0] -= impurity
    return np.linalg.eigh(hamiltonian)[1][:, 0]


def on_atoms(state: np.ndarray) -> Projection:
    structure = Structure(50 * np.eye(3), np.zeros((len(state), 3)), np.full(len(state), 14))
    return Projection(sites("atoms", structure), "mulliken", (state**2)[None, None].astype(np.float32))


def test_participation_of_extended_and_bound_states():
    """An even state covers all atoms; one bound to an impurity falls off as lambda^|n| (Koster, Slater)."""
    assert participation(on_atoms(chain(60, 0.0)))[0, 0] == pytest.approx(60, rel=1e-5)
    for depth in (0.5, 2.0, 10.0):
        ratio = (np.sqrt(depth**2 + 4) - depth) / 2
        ipr = (1 + ratio**4) * (1 - ratio**2) / (1 + ratio**2) ** 3
        assert participation(on_atoms(chain(200, depth)))[0, 0] == pytest.approx(1 / ipr, rel=1e-4)
    single = np.zeros(8)
    single[3] = 1
    assert participation(on_atoms(single))[0, 0] == pytest.approx(1)
    # shells of an atom are summed first: two of four atoms, whatever their shells
    weights = np.array([0.1, 0.4, 0.5, 0, 0, 0, 0, 0], dtype=np.float32)[None, None]
    assert participation(Projection(sites(), "mulliken", weights))[0, 0] == pytest.approx(2)


def test_character_names_the_edges(couplings, tmp_path):
    out = tmp_path / "character.json"
    made = CliRunner().invoke(app, ["character", "--couplings", str(couplings), "--out", str(out)])
    assert made.exit_code == 0, made.output
    report = json.loads(out.read_text())
    assert [state["state"] for state in report["states"]] == ["VBM-1", "VBM", "CBM", "CBM+1", "CBM+2"]
    window = read_couplings(couplings)
    cbm = window.projection.weights[:, window.cbm]
    state = report["states"][2]
    assert state["band"] == window.band_index[window.cbm]
    assert state["orbital_share"]["Mo d"] == pytest.approx(cbm[:, [0, 4]].sum(axis=1).mean(), rel=1e-5)
    assert sum(state["species_share"].values()) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(
        report["edges"]["CBM"]["participation"], participation(window.projection)[:, 2], atol=1e-5
    )
    assert "CBM (band 12)" in made.output
    draw("character", [out], tmp_path / "character.svg")
    assert "CBM on Mo" in (tmp_path / "character.svg").read_text()


def test_weights_that_mean_nothing_are_told():
    projection = random_weights(3, 4, sites("atoms"))
    fine = character_report(projection, np.arange(4), 1)
    assert not [line for line in lines_of(fine) if "warning" in line]
    projection.weights[1, 2] += np.array([0.9, -0.9, 0, 0], dtype=np.float32)
    told = lines_of(character_report(projection, np.arange(4), 1))
    assert "set states.partition to loewdin" in told[-1]


def test_projected_table_of_the_command_line(couplings, tmp_path):
    run, out = run_dynamics(couplings, tmp_path / "run.h5", "electron"), tmp_path / "layers.csv"
    command = ["populations", str(run), "--couplings", str(couplings), "--out", str(out), "--project"]
    settings = '{"layers": {"donor": ["Mo"], "acceptor": [1]}}'
    made = CliRunner().invoke(app, [*command, "layer", "--settings", settings])
    assert made.exit_code == 0, made.output
    rows = list(csv.DictReader(out.open()))
    groups = ["recombined", "donor", "acceptor", "rest"]
    assert list(rows[0]) == ["time_fs", *groups, *(f"{name} error" for name in groups)]
    for row in rows:
        assert sum(float(row[name]) for name in groups) == pytest.approx(1, abs=1e-6)
    whole = project_run(run, couplings, "species")
    assert float(rows[7]["donor"]) == pytest.approx(whole.populations[7, 1], abs=1e-6)


def test_what_is_missing_is_told(couplings, tmp_path):
    run = run_dynamics(couplings, tmp_path / "run.h5", "electron")
    out = ["--out", str(tmp_path / "x.csv"), "--project", "species"]

    def problem(*arguments: str) -> str:
        made = CliRunner().invoke(app, ["populations", str(run), *out, *arguments])
        assert isinstance(made.exception, InputError)
        return str(made.exception)

    assert "pass --couplings" in problem()
    plain = write_couplings(tmp_path / "plain.h5", frames=40)
    said = problem("--couplings", str(plain))
    assert "plain.h5" in said
    assert "set states.projections to shells (or atoms) and make states and couplings again" in said
    other = tmp_path / "other.h5"
    write_couplings_file(other, replace(read_couplings(plain), projection=random_weights(40, 4, sites())))
    assert "was not made from" in problem("--couplings", str(other))
    made = CliRunner().invoke(app, ["character", "--couplings", str(plain), "--out", str(tmp_path / "c")])
    assert "no weights on atoms or orbitals" in str(made.exception)
    assert not (tmp_path / "x.csv").exists()
