"""Every command that reads `couplings.h5`, populations and reports, on files that are damaged field by field.

A damage is either refused by a sentence that names the file, or does not concern what the command does.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import typer
from synthetic import write_couplings, write_populations, write_trajectory
from typer.testing import CliRunner

from edited import SEALS, edited, edited_document
from n2amd.commands import analysis, couplings, dynamics
from n2amd.errors import InputError

FEW = json.dumps({"samples": 2, "trajectories": 2, "duration_fs": 10})
QUICK = json.dumps({"bootstrap": 10})
Change = Callable[[h5py.File], Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("good")
    files = {
        "couplings": write_couplings(folder / "couplings.h5", frames=120),
        "populations": write_populations(folder / "dish.h5", lifetime_fs=2e3, samples=3, duration=100),
        "trajectory": write_trajectory(folder / "trajectory.h5", frames=120),
        "dephasing": folder / "dephasing.json",
        "lifetime": folder / "lifetime.json",
    }
    for name in ("dephasing", "lifetime"):
        app, arguments = commands(files, folder)[name]
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    return files


def commands(files: dict[str, Path], out: Path) -> dict[str, tuple[typer.Typer, list[str]]]:
    """The command of each name on these files, writing into `out`."""
    window, run = ["--couplings", str(files["couplings"])], str(files["populations"])
    reports = ["--dephasing", str(files["dephasing"])]
    few = ["--settings", FEW, "--out", str(out / "run.h5")]
    trajectory = ["--trajectory", str(files["trajectory"]), "--lifetime", str(files["lifetime"])]
    return {
        "dephasing": (analysis.app, ["dephasing", *window, "--out", str(out / "dephasing.json")]),
        "lifetime": (
            analysis.app,
            ["lifetime", *window, *reports, "--settings", QUICK, "--out", str(out / "lifetime.json"), run],
        ),
        "electron": (dynamics.app, ["run", *window, *few, "--method", "dish"]),
        "hole": (dynamics.app, ["run", *window, *few, "--carrier", "hole", "--method", "fssh"]),
        "pair": (dynamics.app, ["run", *window, *few, "--carrier", "pair", "--method", "ehrenfest"]),
        "estimate": (dynamics.app, ["estimate", str(files["couplings"]), "--settings", FEW]),
        "hefei": (couplings.app, ["export", str(files["couplings"]), "--out", str(out / "hefei")]),
        "libra": (
            couplings.app,
            ["export", str(files["couplings"]), "--format", "libra", "--out", str(out / "libra")],
        ),
        "case": (
            analysis.app,
            [
                "case",
                *window,
                *reports,
                *trajectory,
                "--functional",
                "pbe",
                "--out",
                str(out / "c.json"),
                run,
            ],
        ),
        "decay": (analysis.app, ["decay", "--settings", QUICK, run]),
        "populations": (analysis.app, ["populations", run, "--out", str(out / "run.csv")]),
    }


def refused(files: dict[str, Path], out: Path, command: str) -> str | None:
    """The sentence with which a command refuses its input; None if it does its work."""
    app, arguments = commands(files, out)[command]
    done = CliRunner().invoke(app, arguments)
    if done.exit_code == 0:
        return None
    error = done.exception
    assert isinstance(error, InputError), f"{command}: {error!r}"
    sentence = str(error)
    assert "\n" not in sentence
    assert error.remedy
    return sentence


def damaged(source: Path, target: Path, change: Change) -> Path:
    shutil.copy(source, target)
    with edited(target) as file:
        change(file)
    return target


def put(name: str, change: Callable[[np.ndarray], Any]) -> Change:
    def apply(file: h5py.File) -> None:
        values = file[name][()]
        del file[name]
        file[name] = change(values)

    return apply


def put_attribute(name: str, value: object) -> Change:
    def apply(file: h5py.File) -> None:
        file.attrs[name] = value

    return apply


def at_frame(frame: int, change: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    def apply(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[frame] = change(values[frame])
        return values

    return apply


#: All commands that read the states of `couplings.h5`.
WINDOW = ("dephasing", "lifetime", "electron", "hole", "pair", "estimate", "hefei", "libra")
#: Damages of couplings.h5, what is said, and the commands that must refuse them.
WRONG: dict[str, tuple[Change, str, tuple[str, ...]]] = {
    "overlaps times 2.7": (
        put("overlap", at_frame(5, lambda x: 2.7 * x)),
        "frame 5, field 'overlap': a singular value is 2.7",
        WINDOW,
    ),
    "symmetric couplings": (
        put("nac", at_frame(7, np.abs)),
        "frame 7, field 'nac': not anti-Hermitian",
        WINDOW,
    ),
    "couplings in 1/ps": (put("nac", lambda x: 1e3 * x), "field 'nac': a coupling is", WINDOW),
    "a gap that closes": (
        put("energies", at_frame(9, lambda x: np.array([x[0], 1.0, 1.0, x[3]]))),
        "frame 9, field 'energies': the gap",
        ("lifetime", "electron", "hole", "pair", "estimate"),
    ),
    "edges the wrong way round": (
        put("energies", at_frame(11, lambda x: x[::-1])),
        "frame 11, field 'energies': the gap",
        ("lifetime", "electron", "hole", "pair", "estimate"),
    ),
    "edges the wrong way round in every frame": (
        put("energies", lambda x: x[:, ::-1]),
        "field 'energies': the ",
        ("dephasing", "lifetime", "electron", "hole", "pair", "estimate"),
    ),
    "fewer overlaps": (put("overlap", lambda x: x[:-1]), "field 'overlap': has shape (118, 4, 4)", WINDOW),
    "fewer couplings": (put("nac", lambda x: x[:-1]), "field 'nac': has shape (118, 4, 4)", WINDOW),
    "fewer energy columns": (put("energies", lambda x: x[:, :-1]), "has shape (119, 4, 4)", WINDOW),
    "complex energies": (put("energies", lambda x: x + 1j), "field 'energies': the numbers are", WINDOW),
    "NaN in the energies": (
        put("energies", at_frame(3, lambda x: x * np.nan)),
        "frame 3, field 'energies': not a finite number",
        WINDOW,
    ),
    "NaN in the overlaps": (
        put("overlap", at_frame(4, lambda x: x * np.nan)),
        "frame 4, field 'overlap': not a finite number",
        WINDOW,
    ),
    "no frames": (put("energies", lambda x: x[:0]), "0 frames of 4 states", WINDOW),
    "bands that descend": (put("band_index", lambda x: x[::-1]), "field 'band_index': bands [13", WINDOW),
    "a band twice": (put("band_index", lambda x: x // 2), "field 'band_index': bands [5, 5", WINDOW),
    "half a band": (put("band_index", lambda x: x + 0.5), "field 'band_index': the numbers are", WINDOW),
    **{
        f"a step of {value:g} fs": (
            put_attribute("timestep_fs", value),
            "field 'timestep_fs':",
            WINDOW,
        )
        for value in (0.0, -1.0, np.nan, np.inf)
    },
    "a step that is text": (put_attribute("timestep_fs", "1 fs"), "'1 fs' is no number", WINDOW),
    "a valence edge outside": (put_attribute("vbm", 4), "field 'vbm, cbm': band edges are columns 4", WINDOW),
    "edges apart": (put_attribute("cbm", 3), "field 'vbm, cbm': valence edge in column 1", WINDOW),
    "half an edge": (put_attribute("vbm", 0.5), "field 'vbm': 0.5 is not a whole number", WINDOW),
    "an overlap of no kind": (put_attribute("overlap_kind", "none"), "field 'overlap_kind'", WINDOW),
}


@pytest.mark.parametrize("damage", WRONG)
def test_wrong_couplings_are_told_by_every_command(
    good: dict[str, Path], tmp_path: Path, damage: str
) -> None:
    change, said, by = WRONG[damage]
    file = damaged(good["couplings"], tmp_path / "couplings.h5", change)
    for command in WINDOW:
        sentence = refused({**good, "couplings": file}, tmp_path, command)
        if command not in by:
            continue
        assert sentence is not None, f"{command} took it"
        assert said in sentence, command
        assert str(file) in sentence, command


def test_a_scissor_opens_the_gap_before_it_is_judged(good: dict[str, Path], tmp_path: Path) -> None:
    change, said, _ = WRONG["a gap that closes"]
    files = {**good, "couplings": damaged(good["couplings"], tmp_path / "couplings.h5", change)}
    app, arguments = commands(files, tmp_path)["electron"]
    assert said in str(CliRunner().invoke(app, arguments).exception)
    done = CliRunner().invoke(app, [*arguments, "--scissor", '{"gap_eV": 3.0}'])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, [*arguments, "--scissor", '{"gap_eV": 0.01}'])
    assert said.split(":")[0] in str(done.exception)


@pytest.mark.parametrize("times", [0.3, 0.01])
def test_dephasing_far_below_a_step(good: dict[str, Path], tmp_path: Path, times: float) -> None:
    few = json.dumps({**json.loads(FEW), "dephasing_time_fs": times})
    for command in ("electron", "estimate"):
        app, arguments = commands(good, tmp_path)[command]
        error = CliRunner().invoke(app, [few if word == FEW else word for word in arguments]).exception
        assert isinstance(error, InputError)
        assert f"field 'dynamics.dephasing_time_fs': {times:g} fs of dephasing" in str(error)
    report = edited_document(good["dephasing"])
    (tmp_path / "dephasing.json").write_text(json.dumps({**report, "gaussian_fs": times}))
    files = {**good, "dephasing": tmp_path / "dephasing.json"}
    app, arguments = commands(files, tmp_path)["lifetime"]
    error = CliRunner().invoke(app, arguments[:-1]).exception  # a run would have its own
    assert f"{times:g} fs of dephasing between states 0 and 1 is too short" in str(error)


def generic(file: Path) -> Iterator[tuple[str, Change]]:
    """Damages that any file can have, field by field."""
    with h5py.File(file) as source:
        attributes, names = sorted(set(source.attrs) - SEALS), []
        source.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in attributes:
        yield f"no {name}", lambda f, n=name: f.attrs.__delitem__(n)
        yield f"{name} of another kind", put_attribute(name, np.array(["a", "b"], dtype="S1"))
        yield f"{name} not a number", put_attribute(name, np.nan)
    for name in names:
        yield f"no {name}", lambda f, n=name: f.__delitem__(n)
        yield f"{name} a group", lambda f, n=name: (f.__delitem__(n), f.create_group(n))
        yield f"{name} text", put(name, lambda x: "text")
        yield f"{name} a number", put(name, lambda x: 1.0)
        yield f"{name} empty", put(name, lambda x: x[:0])
        yield f"{name} longer", put(name, lambda x: np.concatenate([x, x[-1:]]))
        yield f"{name} complex", put(name, lambda x: x * (1 + 0.5j))
        yield f"{name} below zero", put(name, lambda x: -1 - np.abs(x))
        yield f"{name} not a number", put(name, lambda x: x * np.nan)


READERS = {
    "couplings": (*WINDOW, "case"),
    "populations": ("lifetime", "decay", "populations", "case"),
    "trajectory": ("case",),
}


@pytest.mark.parametrize("kind", READERS)
def test_no_field_that_is_damaged_gives_a_traceback(good: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """`refused` holds the assertions: what is no InputError fails; a field that is missed is named."""
    for number, (name, change) in enumerate(generic(good[kind])):
        file = damaged(good[kind], tmp_path / "damaged.h5", change)
        # readers are shared: one command for each damage, in turn
        command = READERS[kind][number % len(READERS[kind])]
        sentence = refused({**good, kind: file}, tmp_path, command)
        assert sentence is None or str(file) in sentence, (name, command, sentence)


@pytest.mark.parametrize("kind", [*READERS, "dephasing", "lifetime"])
def test_files_cut_short_or_of_another_kind(good: dict[str, Path], tmp_path: Path, kind: str) -> None:
    readers = {**READERS, "dephasing": ("lifetime", "case"), "lifetime": ("case",)}
    data = good[kind].read_bytes()
    wrong = {f"cut at {n}": data[:n] for n in (0, 1, len(data) // 3, len(data) // 2, len(data) - 1)}
    wrong |= {"text": b"nothing of this kind\n", "noise": np.random.default_rng(1).bytes(3000)}
    for name, content in wrong.items():
        file = tmp_path / f"damaged{good[kind].suffix}"
        file.write_bytes(content)
        for command in readers[kind]:
            sentence = refused({**good, kind: file}, tmp_path, command)
            # a file of HDF5 may end in bytes that nothing needs
            assert sentence is not None or name == f"cut at {len(data) - 1}", (name, command)
            assert sentence is None or str(file) in sentence
    others = [good[other] for other in good if other != kind]
    for file in (*others, tmp_path, tmp_path / "absent.h5"):
        for command in readers[kind]:
            if command == "case" and kind == "populations" and file in others:
                continue  # a case takes any files of its stages, in any order
            sentence = refused({**good, kind: file}, tmp_path, command)
            assert sentence is not None, (file, command)
            assert str(file) in sentence


@pytest.mark.parametrize("kind", ["dephasing", "lifetime"])
def test_reports_damaged_key_by_key(good: dict[str, Path], tmp_path: Path, kind: str) -> None:
    document = edited_document(good[kind])
    file = tmp_path / "report.json"
    for key in document:
        for value in (None, "text", {}, float("nan"), ...):
            changed = {k: v for k, v in document.items() if k != key}
            file.write_text(json.dumps(changed if value is ... else {**changed, key: value}))
            for command in ("lifetime", "case") if kind == "dephasing" else ("case",):
                sentence = refused({**good, kind: file}, tmp_path, command)
                assert sentence is None or str(file) in sentence, (key, value, command, sentence)
