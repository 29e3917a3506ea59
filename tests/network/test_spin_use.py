"""A network with collinear spins used: bands, densities of states, and from a trajectory to a lifetime."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.linalg
from ase.io import write
from scipy.special import erf
from test_model_use import run, told
from typer.testing import CliRunner

from n2amd.analysis.figures.draw import draw
from n2amd.blocks.matrix import fold
from n2amd.commands import analysis, couplings, dynamics, states
from n2amd.config.states import CHANNELS
from n2amd.couplings.store import read_couplings
from n2amd.dataset.store import read_frames
from n2amd.errors import InputError
from n2amd.network.predict import load_predictor
from n2amd.storage import create_hdf5, read_json
from n2amd.structure import Structure


def test_bands_of_each_channel(ions, tmp_path):
    """Bands of the network and of DFT, each channel with its own filling; a table and a figure of both."""
    out = tmp_path / "bands.json"
    arguments = ["bands", ions / "model.pt", "--on", ions / "d.h5", "--frame", "ion 1", "--path", "GX"]
    said = run(*arguments, "--points", 3, "--out", out, "--figure", tmp_path / "bands.svg")
    assert "spin up, network: " in said
    assert "spin down, DFT: " in said
    document = json.loads(out.read_text())
    assert [document["channels"][name]["n_occupied"] for name in CHANNELS] == [4, 3]
    frame = list(read_frames(ions / "d.h5"))[1]
    offsets = load_predictor(ions / "model.pt").basis.orbital_offsets(frame.structure.numbers)
    for spin, name in enumerate(CHANNELS):
        for k, energies in zip(document["kpoints"], document["channels"][name]["dft_eV"]):
            at_k = np.array(k)
            h, s = fold(frame.hamiltonian, offsets, at_k, spin), fold(frame.overlap, offsets, at_k)
            expected = scipy.linalg.eigvalsh(h, s) - document["zero_eV"]
            np.testing.assert_allclose(energies, expected, atol=1e-8)
    assert max(np.max(document["channels"][n]["dft_eV"], axis=0)[3 - k] for k, n in enumerate(CHANNELS)) == 0
    assert "spin up" in (tmp_path / "bands.svg").read_text()
    draw("bands", [out], tmp_path / "again.svg")
    # of a structure, as a table
    write(tmp_path / "ion.extxyz", frame.structure.to_ase())
    arguments = ["bands", ions / "model.pt", tmp_path / "ion.extxyz", "--path", "GX", "--points", 3]
    assert "spin down: " in run(*arguments, "--out", tmp_path / "bands.csv")
    header = (tmp_path / "bands.csv").read_text().splitlines()[0].split(",")
    n = int(offsets[-1])
    assert header[5::n] == ["up_model_0_eV", "down_model_0_eV"]
    assert "H has 2 spin components already" in told(*arguments, "--spin-orbit", "--out", out)


def test_densities_of_states_of_each_channel(ions, tmp_path):
    write(tmp_path / "ion.extxyz", next(read_frames(ions / "d.h5")).structure.to_ase())
    out, cube = tmp_path / "dos.json", tmp_path / "vbm.cube"
    arguments = ["dos", ions / "model.pt", tmp_path / "ion.extxyz", "--kpoints", 2, 1, 1, "--width", 0.02]
    files = ["--states", tmp_path / "states.csv", "--figure", tmp_path / "dos.svg", "--out", out]
    said = run(*arguments, "--project", "orbital", *files)
    assert "spin up: 4 filled bands, gap" in said
    assert "spin down, VBM: band 2 at" in said
    document = json.loads(out.read_text())
    energy = np.array(document["energy_eV"])
    rows = list(csv.DictReader((tmp_path / "states.csv").read_text().splitlines()))
    assert [sum(row["spin"] == name for row in rows) for name in CHANNELS] == [len(rows) // 2] * 2
    for name in CHANNELS:
        channel = document["channels"][name]
        mine = [(float(row["energy_eV"]), float(row["weight"])) for row in rows if row["spin"] == name]
        below = energy < channel["zero_eV"] - document["zero_eV"]
        counted = np.trapezoid(np.array(channel["total"])[below], energy[below])
        # states of one electron each, broadened
        expected = sum(w * (1 + erf((energy[below][-1] - e) / 0.02 / np.sqrt(2))) / 2 for e, w in mine)
        assert counted == pytest.approx(expected, abs=1e-3)
        parts = sum(np.array(part) for part in channel["projected"].values())
        np.testing.assert_allclose(parts, channel["total"], atol=1e-4)
    draw("dos", [out], tmp_path / "again.svg")
    assert "down below" in (tmp_path / "again.svg").read_text()
    run(*arguments, "--out", tmp_path / "dos.csv")
    assert (tmp_path / "dos.csv").read_text().startswith("energy_eV,up_total_per_eV,down_total_per_eV\n")
    assert "no spin channel is chosen" in told(*arguments, "--cube", cube)
    assert "no file for its charge" in told(*arguments, "--spin", "up")
    assert "spin down, band 2" in run(*arguments, "--cube", cube, "--spin", "down", "--spacing", 0.3)


def trajectory(path: Path, structure: Structure, frames: int) -> np.ndarray:
    """Write vibrations of 0.08 A; n2amd.states reads no more of a trajectory than this."""
    t = np.arange(frames)[:, None, None]
    phase = np.random.default_rng(1).uniform(0, 2 * np.pi, structure.positions.shape)
    positions = structure.positions + 0.08 * np.sin(0.1 * t + phase)
    with create_hdf5(path, "n2amd/trajectory", config={}, inputs=()) as file:
        file.attrs.update(n_frames=frames, timestep_fs=1.0)
        file["positions"], file["numbers"] = positions, structure.numbers
        file["cell"], file["pbc"] = structure.cell, np.array(structure.pbc)
    return positions


APPS = {
    "states": states.app,
    "couplings": couplings.app,
    "dynamics": dynamics.app,
    "analysis": analysis.app,
}


def command(stage: str, *arguments: object) -> str:
    done = CliRunner().invoke(APPS[stage], [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def refused(stage: str, *arguments: object) -> str:
    error = CliRunner().invoke(APPS[stage], [str(a) for a in arguments]).exception
    assert isinstance(error, InputError), error
    return str(error)


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_channel_from_the_network_to_a_lifetime(ions, tmp_path, channel):
    """The commands of the rules one after the other: states in two shards, couplings, dynamics, lifetime."""
    structure = next(read_frames(ions / "d.h5")).structure
    positions = trajectory(tmp_path / "trajectory.h5", structure, 40)
    window = {"valence": 1, "conduction": 1, "margin": 1, "spin": channel, "doubt_stride": 5}
    settings = json.dumps(window)
    shards = [tmp_path / "a.h5", tmp_path / "b.h5"]
    moving = ("--trajectory", tmp_path / "trajectory.h5")
    for shard, part in zip(shards, ("000000-000019", "000020-000039")):
        model = ("--model", ions / "model.pt", "--settings", settings)
        said = command("states", "solve", *moving, *model, "--frames", part, "--out", shard)
        assert f"spin {channel}" in said
    coupled = tmp_path / "couplings.h5"
    command("couplings", "assemble", *shards, *moving, "--states-settings", settings, "--out", coupled)
    found = read_couplings(coupled)
    occupied = {"up": 4, "down": 3}[channel]
    assert (found.spin, found.n_occupied, found.n_frames) == (channel, occupied, 40)
    assert len(found.doubt.frame) >= 4
    predictor = load_predictor(ions / "model.pt")
    offsets = predictor.basis.orbital_offsets(structure.numbers)
    h, s = predictor.predict(structure.with_positions(positions[7]))
    at, spin = np.zeros(3), CHANNELS.index(channel)
    levels = scipy.linalg.eigvalsh(fold(h, offsets, at, spin), fold(s, offsets, at))
    np.testing.assert_allclose(found.energies[7], levels[occupied - 1 : occupied + 1], atol=1e-6)
    populations, dephasing = tmp_path / "populations.h5", tmp_path / "dephasing.json"
    given = ("--couplings", coupled)
    hops = json.dumps({"samples": 2, "trajectories": 4, "duration_fs": 100.0, "dephasing_time_fs": 5.0})
    command("dynamics", "run", *given, "--settings", hops, "--method", "dish", "--out", populations)
    with h5py.File(populations) as file:
        np.testing.assert_allclose(file["population"][...].sum(axis=-1), 1.0)
    command("analysis", "dephasing", *given, "--out", dephasing)
    out = tmp_path / "lifetime.json"
    runs = ("--dephasing", dephasing, "--dynamics", populations)
    command("analysis", "lifetime", *given, *runs, "--out", out)
    lifetime = read_json(out)
    assert lifetime["gap"]["mean_eV"] == pytest.approx(found.gap.mean(), abs=1e-9)
    assert lifetime["lifetime_ns"]["value"] > 0
    assert lifetime["model_doubt"]["gap_meV"]["spread"] > 0


def test_the_other_channel_is_another_run(ions, tmp_path):
    structure = next(read_frames(ions / "d.h5")).structure
    trajectory(tmp_path / "trajectory.h5", structure, 3)
    settings = {"valence": 1, "conduction": 1, "margin": 1}
    common = ("states", "solve", "--trajectory", tmp_path / "trajectory.h5", "--model", ions / "model.pt")
    shard = tmp_path / "states.h5"
    command(*common, "--settings", json.dumps({**settings, "spin": "up"}), "--out", shard)
    down = json.dumps({**settings, "spin": "down"})
    other = ("--states-settings", down, "--out", tmp_path / "c.h5")
    assert "'up', the settings say 'down'" in refused("couplings", "assemble", shard, *other)
    assert "do not fill whole bands" in refused(*common, "--out", shard)
