"""Faults that a user meets, each really caused: the rows of docs/faults.md, which `fault_table.py` runs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from springs import Springs, copper, not_finite_from
from synthetic import write_couplings, write_populations
from synthetic_crystal import SyntheticCrystal, in_shards, moving_frames
from test_motion import vibrations, write
from test_shards import write_trajectory

import test_disks
from fault_table import n2amd
from n2amd import leftovers
from n2amd.config.states import StatesSettings
from n2amd.forcefield.calculator import ForceField
from n2amd.network.checkpoint import save_state
from n2amd.states.shards import solve_shard
from n2amd.states.store import write_shard
from n2amd.storage import write_json

ROOT = Path(__file__).resolve().parents[1]
FRAMES = ROOT / "resources/tio2-honpas/TiO2_6_train"
Words = list[str | Path]


@dataclass(frozen=True)
class Fault:
    """What goes wrong, as the page says it.

    Attributes
    ----------
    cause
        Makes it in an empty folder, and returns the command that meets it; stand-ins for a force field
        go through the patch.
    needs_disk
        Whether `disk` in that folder has to be a disk of its own, of 400 kB.
    """

    what: str
    cause: Callable[[Path, pytest.MonkeyPatch], Words]
    needs_disk: bool = False


def configured(change: Callable[[dict], None] = lambda document: None, text: str = "") -> Callable:
    """A configuration file with a change, or with text at its end."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        document = yaml.safe_load((ROOT / "config/test.yaml").read_text())
        (folder / "rutile.vasp").write_text((ROOT / "resources/tio2-honpas/rutile.vasp").read_text())
        material = document["materials"]["TiO2"]
        material["structure"] = "rutile.vasp"
        material["functionals"]["pbe"] = {"code": "honpas", "paths": [str(FRAMES / "frame_000[0-3]")]}
        change(document)
        (folder / "job.yaml").write_text(yaml.safe_dump(document, sort_keys=False) + text)
        patch.chdir(folder)
        return ["config", "check", "job.yaml"]

    return cause


def option(section: str, **values: object) -> Callable:
    return configured(lambda document: document[section].update(values))


def of_material(**values: object) -> Callable:
    return configured(lambda document: document["materials"]["TiO2"].update(values))


def other_element(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    words = configured()(folder, patch)
    cell = folder / "rutile.vasp"
    cell.write_text(cell.read_text().replace("Ti", "Zr"))
    return words


def two_frames(folder: Path) -> Path:
    for name in ("frame_0000", "frame_0001"):
        shutil.copytree(FRAMES / name, folder / "frames" / name)
    return folder / "frames"


def ingested(damage: Callable[[Path], object]) -> Callable:
    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        frames = two_frames(folder)
        damage(frames)
        return ["dataset", "ingest", frames, "--code", "honpas", "--out", folder / "dataset.h5"]

    return cause


def cut_matrices(frames: Path) -> None:
    (file,) = (frames / "frame_0001").glob("*.HSX.xz")
    halve(file)


def same_frame_twice(frames: Path) -> None:
    shutil.rmtree(frames / "frame_0001")
    shutil.copytree(frames / "frame_0000", frames / "frame_0001")


def halve(path: Path) -> None:
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])


def flip(path: Path) -> None:
    """Change one bit in the middle of the energies, which is where a lifetime would change unseen."""
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 8
    path.unlink()
    path.write_bytes(whole)


def hopping(change: Callable[[Path], object], **more: float) -> Callable:
    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        couplings = write_couplings(folder / "couplings.h5", frames=120, **more)
        change(couplings)
        few = json.dumps({"samples": 2, "trajectories": 2, "duration_fs": 10})
        return [
            *("dynamics", "run", "--couplings", couplings, "--method", "dish"),
            *("--settings", few, "--out", folder / "dish.h5"),
        ]

    return cause


def short_trajectory(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    window = ["--couplings", write_couplings(folder / "couplings.h5", frames=30)]
    run = write_populations(folder / "dish.h5", lifetime_fs=2e3, samples=3, duration=100)
    report = folder / "dephasing.json"
    assert n2amd(["analysis", "dephasing", *window, "--out", report])[0] == 0
    return ["analysis", "lifetime", *window, "--dephasing", report, "--out", folder / "lifetime.json", run]


def edited_report(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    couplings = write_couplings(folder / "couplings.h5", frames=120)
    report = folder / "dephasing.json"
    write_json(report, {"dephasing_time_fs": 14.2})
    report.write_text(report.read_text().replace("14.2", "41.2"))
    return [
        *("analysis", "lifetime", "--couplings", couplings, "--dephasing", report),
        *("--out", folder / "lifetime.json"),
    ]


SETTINGS = '{"valence": 2, "conduction": 2, "margin": 2}'


def gathered(damage: Callable[[list[Path], Path], object]) -> Callable:
    """Two shards of a trajectory, to be joined."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        crystal, frames = SyntheticCrystal(), moving_frames(6)
        trajectory = folder / "trajectory.h5"
        write_trajectory(trajectory, frames)
        files = []
        for number, part in enumerate(in_shards(frames, 2)):
            chosen = StatesSettings.model_validate_json(SETTINGS)
            files.append(folder / f"shard_{number}.h5")
            write_shard(files[-1], solve_shard(part, crystal, crystal.overlap, chosen, "exact"))
        damage(files, trajectory)
        return [
            *("couplings", "assemble", *files, "--trajectory", trajectory),
            *("--states-settings", SETTINGS, "--out", folder / "couplings.h5"),
        ]

    return cause


def other_geometries(files: list[Path], trajectory: Path) -> None:
    frames = moving_frames(6)
    frames.positions[4:] += 0.01
    trajectory.unlink()
    write_trajectory(trajectory, frames)


def solved(change: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Callable:
    """States of a trajectory that is not whole; it is read before the model."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        trajectory = write(folder / "trajectory.h5", *change(*vibrations()))
        (folder / "hamiltonian.pt").write_bytes(b"not read")
        return [
            *("states", "solve", "--trajectory", trajectory, "--model", folder / "hamiltonian.pt"),
            *("--out", folder / "shard.h5"),
        ]

    return cause


def with_network(damage: Callable[[Path], object]) -> Callable:
    """A model file of which something is damaged, and a structure to use it on."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        cell, model = folder / "Cu.vasp", folder / "hamiltonian.pt"
        copper(1).to_ase().write(cell)
        save_state(model, {"format": "n2amd/hamiltonian"})
        damage(model)
        return ["hamiltonian", "predict", model, cell, "--out", folder / "matrices.npz"]

    return cause


def jump(positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positions[20:, 2, 0] += 0.2
    return positions, velocities


def missing_frames(positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.delete(positions, slice(20, 22), axis=0), np.delete(velocities, slice(20, 22), axis=0)


MD = {"equilibration_steps": 20, "frames": 12, "timestep_fs": 2.0, "checkpoint_every": 5}


def moved(folder: Path, patch: pytest.MonkeyPatch, then: Callable | None = None, **settings: float) -> Words:
    """A trajectory of copper, with springs for a force field."""
    cell = folder / "Cu.vasp"
    if not cell.exists():
        copper(1).to_ase().write(cell)
        (folder / "forcefield.model").write_bytes(b"springs")
    loaded = ForceField(Springs(copper(), then), ("Cu",), 3.0, "packaged", "cpu")
    patch.setattr("n2amd.forcefield.calculator.load_forcefield", lambda path: loaded)
    return [
        *("trajectory", "run", "--structure", cell, "--supercell", "2x2x2"),
        *("--forcefield", folder / "forcefield.model", "--settings", json.dumps(MD | settings)),
        *("--out", folder / "trajectory.h5", "--workdir", folder / "work"),
    ]


def moved_again(damage: Callable[[Path], object], **settings: float) -> Callable:
    """A trajectory that is there with its restart data, of which something is damaged, is made again."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        first = n2amd(moved(folder, patch))
        assert first[0] == 0, first
        (folder / "trajectory.h5").unlink()
        damage(folder / "work")
        return moved(folder, patch, **settings)

    return cause


def without_block(work: Path) -> None:
    (work / "frames_0000005.npz").unlink()


def blown_up(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    return moved(folder, patch, not_finite_from(30))


def unknown_element(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    words = moved(folder, patch)
    cell = folder / "Cu.vasp"
    cell.write_text(cell.read_text().replace("Cu", "Ag"))
    return words


def untrusted(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    (folder / "Cu.vasp").write_text("Cu\n1.0\n3 0 0\n0 3 0\n0 0 3\nCu\n1\nDirect\n0 0 0\n")
    with zipfile.ZipFile(folder / "forcefield.model", "w") as archive:
        archive.writestr("model/package_metadata.txt", "{}")
    return [
        *("trajectory", "run", "--structure", folder / "Cu.vasp", "--supercell", "2x2x2"),
        *("--forcefield", folder / "forcefield.model", "--out", folder / "trajectory.h5"),
        *("--workdir", folder / "work"),
    ]


def exported(out: str, prepare: Callable[[Path], object] = lambda folder: None) -> Callable:
    """A trajectory as text; what `prepare` does comes after it was made."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> Words:
        trajectory = test_disks.write_trajectory(folder / "trajectory.h5")
        prepare(folder)
        return ["trajectory", "export", trajectory, "--out", folder / out]

    return cause


def nearly_full(folder: Path) -> None:
    (folder / "disk/finished").write_bytes(bytes(300_000))


def read_only(folder: Path) -> None:
    (folder / "disk/finished").write_text("kept")
    subprocess.run(["mount", "-o", "remount,ro", str(folder / "disk")], check=True)


def killed_writer(folder: Path) -> None:
    (folder / "out").mkdir()
    process = test_disks.writer(folder / "out")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    leftovers._seen.clear()


def without_program(folder: Path, patch: pytest.MonkeyPatch) -> Words:
    patch.setenv("PATH", str(folder))
    copper(1).to_ase().write(folder / "cells.extxyz")
    return [
        *("dft", "run", "--engine", "cp2k", "--structures", folder / "cells.extxyz"),
        *("--out", folder / "frames"),
    ]


FAULTS = (
    Fault("an option that does not exist", option("trajectory", temprature_K=300)),
    Fault("the same key twice in the configuration", configured(text="supercells: [2x2x2]\n")),
    Fault("a bracket that is not closed", configured(text="notes: [unfinished\n")),
    Fault("a negative seed", option("dynamics", seeds=[-1])),
    Fault("a seed twice", option("dynamics", seeds=[1, 1])),
    Fault(
        "a supercell in two numbers",
        configured(lambda document: document.update(supercells=["2x2"])),
    ),
    Fault(
        "a number with a 0 before it",
        configured(lambda document: document.pop("trajectory"), text="trajectory: {frames: 0500}\n"),
    ),
    Fault(
        "results in a place that holds no files",
        configured(lambda document: document.update(results="/proc/results")),
    ),
    Fault("a structure file that is not there", of_material(structure="rutil.vasp")),
    Fault("an element of the structure that is in no frame", other_element),
    Fault("a DFT output that is cut short", ingested(cut_matrices)),
    Fault("a DFT frame that is there twice", ingested(same_frame_twice)),
    Fault("a bit of `couplings.h5` that flipped", hopping(flip)),
    Fault("`couplings.h5` that is half there", hopping(halve)),
    Fault("a text file under the name of an HDF5 file", hopping(lambda path: path.write_text("notes"))),
    Fault("a network file that is half there", with_network(halve)),
    Fault("a gap that closes", hopping(lambda path: None, gap=0.02)),
    Fault("a trajectory too short for a dephasing time", short_trajectory),
    Fault("a number in a JSON report changed by hand", edited_report),
    Fault("a shard of states that is missing", gathered(lambda files, _: files.pop(0).unlink())),
    Fault("a shard of states that is half there", gathered(lambda files, _: halve(files[0]))),
    Fault("shards of another trajectory", gathered(other_geometries)),
    Fault("a trajectory with a jump", solved(jump)),
    Fault("a trajectory that lacks two frames", solved(missing_frames)),
    Fault(
        "restart data of MD that lack a block",
        moved_again(lambda work: (work / "frames_0000005.npz").unlink()),
    ),
    Fault("restart data of MD that are half there", moved_again(lambda work: halve(work / "checkpoint.npz"))),
    Fault("restart data of another job", moved_again(lambda work: None, temperature_K=250.0)),
    Fault("a force field that does not know an element", unknown_element),
    Fault("MD that blows up", blown_up),
    Fault("a force field package from elsewhere", untrusted),
    Fault("a disk that gets full", exported("disk/t.extxyz", nearly_full), needs_disk=True),
    Fault("a read-only disk", exported("disk/t.extxyz", read_only), needs_disk=True),
    Fault(
        "a file in the place of the results folder",
        exported("results/t.extxyz", lambda folder: (folder / "results").write_text("notes")),
    ),
    Fault("a command that was killed before (kill -9)", exported("out/t.extxyz", killed_writer)),
    Fault("a DFT program that is not installed", without_program),
)
