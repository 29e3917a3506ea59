"""Train Allegro on a data set through nequip's command line, and put it into one file."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from n2amd import trust
from n2amd.config.forcefield import ForceFieldSettings
from n2amd.device import choose_device
from n2amd.errors import ComputationError, InputError
from n2amd.forcefield.frames import (
    FrameParts,
    gather,
    reference_energies,
    weighted_by_size,
    without_stress,
)
from n2amd.forcefield.presets import ForceFieldPreset, render, resolve
from n2amd.forcefield.subprocesses import run_tool
from n2amd.interop.extxyz import write_extxyz
from n2amd.provenance import sha256_of_config, sha256_of_files
from n2amd.restart import claim, read_or_set_aside
from n2amd.seals import require_sound_archive, seal_archive
from n2amd.sources import digest_of_program
from n2amd.storage import atomic_path, make_folder

log = logging.getLogger(__name__)

#: What a training leaves in its working folder.
_MADE = ("trained", "run", "inductor")
#: Epochs between progress lines.
REPORT_EVERY = 25


def train(
    dataset: Path,
    settings: ForceFieldSettings,
    out: Path,
    workdir: Path,
    further: Sequence[Path] = (),
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, Any], FrameParts]:
    """Train, choose the best epoch, compile or package; return what the report needs of it.

    Parameters
    ----------
    dataset
        `dataset.h5`.
    settings
        The section of the configuration.
    out
        Force-field file to write.
    workdir
        Checkpoints and logs; a killed training goes on from there.
    further
        Extended XYZ files of frames with energies and forces that belong to the data.
    report
        Called with the epochs done and the most there can be.

    Returns
    -------
    facts
        `compiled`, `device`, `cutoff_A`, `species`, `history`, `split`, `preset`.
    parts
        The frames, by what they were for.
    """
    preset, device = resolve(settings), choose_device(settings.device)
    compiled = _wants_compilation(settings, preset)
    parts = gather(dataset, further, settings)
    identity = sha256_of_config(
        [
            digest_of_program("commands/forcefield.py:train", "forcefield/monitor.py", "soap.py"),
            settings.effective(["compile", "device"]),
            vars(preset),
            device,
            sha256_of_files([dataset, *further]),
        ]
    )
    _claim(workdir, identity)
    shifts = reference_energies(parts.train)
    run_dir = workdir / "run"
    best = run_dir / "best.ckpt"
    if not (workdir / "trained").exists():
        _train(parts, preset, shifts, run_dir, device, settings.seed, report)
        with atomic_path(workdir / "trained") as part:
            part.write_text("done\n")
    _export(best, out, workdir, compiled, device)
    facts = {
        "compiled": compiled,
        "device": device,
        "cutoff_A": preset.cutoff_A,
        "species": list(shifts),
        "history": _history(run_dir / "history.jsonl"),
        "split": parts.split,
        "preset": vars(preset),
    }
    return facts, parts


def _claim(workdir: Path, identity: str) -> None:
    """Take over a working folder; a training with other settings or data in it is removed, nothing else.

    Raises
    ------
    InputError
        If the folder has a `run` that is not ours.
    """
    run_dir = workdir / "run"
    if run_dir.exists() and not any(workdir.glob("identity*")):
        raise InputError(
            "the folder exists and is not of a force-field training",
            file=run_dir,
            field="workdir",
            remedy="choose an empty working folder",
        )
    claim(workdir, identity, _MADE)
    if not trust.own_folder(workdir) and (left := [p for name in _MADE for p in workdir.glob(name)]):
        # nequip unpickles checkpoints and runs what an earlier compilation left
        log.warning("%s was not begun here, and its checkpoints could run code: started afresh", workdir)
        for path in left:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if read_or_set_aside(run_dir / "best.ckpt", _sound) is None:
        # without the best weights what was trained is lost
        for name in ("trained", "run/last.ckpt"):
            (workdir / name).unlink(missing_ok=True)


def _train(
    parts: FrameParts,
    preset: ForceFieldPreset,
    shifts: Mapping[str, float],
    run_dir: Path,
    device: Literal["cpu", "cuda"],
    seed: int,
    report: Callable[[int, int], None],
) -> None:
    make_folder(run_dir)
    files = {name: (run_dir / f"{name}.extxyz").resolve() for name in ("train", "validation")}
    write_extxyz(files["train"], map(without_stress, weighted_by_size(parts.train)))
    write_extxyz(files["validation"], map(without_stress, parts.validation))
    document = render(
        preset, energy_shifts=shifts, files=files, run_dir=run_dir.resolve(), device=device, seed=seed
    )
    with atomic_path(run_dir / "config.yaml") as part:
        part.write_text(yaml.safe_dump(document, sort_keys=False))
    arguments = [
        "-cp",
        str(run_dir.resolve()),
        "-cn",
        "config",
        f"hydra.run.dir={run_dir.resolve() / 'hydra'}",
    ]
    last = read_or_set_aside(run_dir / "last.ckpt", _sound)
    if last is not None:
        arguments.append(f"++ckpt_path={last.resolve()}")
    else:
        (run_dir / "history.jsonl").unlink(missing_ok=True)
    shown = [-1]

    def watch() -> None:
        epochs = _history(run_dir / "history.jsonl")["epoch"]
        if epochs:
            report(epochs[-1] + 1, preset.max_epochs)
        if epochs and (
            epochs[-1] >= shown[0] + REPORT_EVERY or epochs[-1] == preset.max_epochs - 1 > shown[0]
        ):
            shown[0] = epochs[-1]
            mae = _history(run_dir / "history.jsonl")["validation_force_mae_meV_per_A"][-1]
            log.info(
                "force field: epoch %d/%d, validation force MAE %.1f meV/A",
                epochs[-1] + 1,
                preset.max_epochs,
                mae,
            )

    run_tool("nequip-train", arguments, run_dir / "train.log", _threads(), watch)
    if not (run_dir / "best.ckpt").exists():
        raise ComputationError(f"nequip-train wrote no best.ckpt; see {run_dir / 'train.log'}")


def _sound(checkpoint: Path) -> Path:
    """Return a checkpoint that is whole: a kill may have hit its writing."""
    if not checkpoint.exists():
        raise FileNotFoundError(checkpoint)
    require_sound_archive(checkpoint, "train again")
    return checkpoint


def _history(file: Path) -> dict[str, list]:
    """Validation errors by epoch; a resumed epoch replaces the line of the one that was lost."""
    lines: dict[int, dict[str, float]] = {}
    if file.exists():
        for text in file.read_text().splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue  # the line that a kill cut short
            lines[int(line["epoch"])] = line
    ordered = [lines[epoch] for epoch in sorted(lines)]
    return {
        "epoch": [int(line["epoch"]) for line in ordered],
        "validation_force_mae_meV_per_A": [1e3 * line["force_mae_eV_A"] for line in ordered],
        "validation_energy_mae_meV_per_atom": [1e3 * line["energy_mae_eV_per_atom"] for line in ordered],
    }


def _wants_compilation(settings: ForceFieldSettings, preset: ForceFieldPreset) -> bool:
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if settings.compile == "always" and compiler is None:
        raise InputError(
            "ahead-of-time compilation needs a C++ compiler and none was found",
            field="forcefield.compile",
            remedy="install g++ or set compile to never",
        )
    return settings.compile == "always" or (
        settings.compile == "auto" and preset.compile_by_default and compiler is not None
    )


def _export(best: Path, out: Path, workdir: Path, compiled: bool, device: str) -> None:
    """Write the one model file; nequip insists on its own suffixes, so it writes beside and we move."""
    made = workdir / ("model.nequip.pt2" if compiled else "model.nequip.zip")
    made.unlink(missing_ok=True)
    paths = [str(best.resolve()), str(made.resolve())]
    environment = {**_threads(), "TORCHINDUCTOR_CACHE_DIR": str((workdir / "inductor").resolve())}
    if compiled:
        mode = ["--mode", "aotinductor", "--device", device, "--target", "ase"]
        run_tool("nequip-compile", [*paths, *mode], workdir / "compile.log", environment)
    else:
        run_tool("nequip-package", ["build", *paths], workdir / "package.log", environment)
    with atomic_path(out) as part:
        shutil.move(made, part)
        seal_archive(part)
        trust.remember(part, out)


def _threads() -> dict[str, str]:
    count = os.environ.get("OMP_NUM_THREADS", "1")
    return {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
