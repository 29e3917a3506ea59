"""The force-field file as an ASE calculator, whether compiled ahead of time or packaged."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from n2amd.errors import InputError
from n2amd.seals import require_sound_archive
from n2amd.trust import require_known

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

Kind = Literal["compiled", "packaged"]


@dataclass(frozen=True)
class ForceField:
    """A loaded force field.

    Attributes
    ----------
    calculator
        ASE calculator: energy, forces, stress.
    species
        Elements it was trained on.
    cutoff_A
        Neighbour cutoff, Angstrom.
    kind
        Compiled ahead of time for one device, or packaged weights and code for any.
    device
        Where it runs.
    """

    calculator: Calculator
    species: tuple[str, ...]
    cutoff_A: float
    kind: Kind
    device: str


def file_kind(path: str | Path) -> Kind:
    """Tell a compiled from a packaged model; both are zip archives and share one file name.

    Raises
    ------
    InputError
        If the file is missing or neither.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except FileNotFoundError:
        raise InputError(
            "the force field does not exist", file=path, remedy="make it with `n2amd forcefield train`"
        ) from None
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, remedy="pass a file that you may read"
        ) from error
    except zipfile.BadZipFile:
        names = []
    else:
        require_sound_archive(path, "train it again, or copy it again")
    if any("/aotinductor/" in name for name in names):
        return "compiled"
    if any(name.endswith("package_metadata.txt") for name in names):
        return "packaged"
    raise InputError(
        "not a force field (neither a compiled nor a packaged nequip model)",
        file=path,
        remedy="pass the file that `n2amd forcefield train` wrote",
    )


def load_forcefield(path: str | Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> ForceField:
    """Load a force field.

    Torch runs on OMP_NUM_THREADS threads, by default one, so that a trajectory can be repeated to the same
    bits.

    Parameters
    ----------
    path
        A compiled or packaged model.
    device
        `auto`: the device a compiled model was made for; a GPU, where there is one, for a packaged model.

    Raises
    ------
    InputError
        If the file is no force field, was neither made here nor trusted (it holds code), or the device is
        not there or not the one it was compiled for.
    """
    kind = file_kind(path)
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1").split(",")[0]))
    wanted = _device(path, kind, device, torch.cuda.is_available())
    require_known(path)
    from nequip.integrations.ase import NequIPCalculator

    suffix, load = {
        "compiled": (".nequip.pt2", NequIPCalculator.from_compiled_model),
        "packaged": (".nequip.zip", NequIPCalculator._from_saved_model),
    }[kind]
    # nequip goes by the suffix, which the one output file of the stage does not have
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"model{suffix}"
        link.symlink_to(Path(path).resolve())
        calculator = load(str(link), device=wanted, chemical_species_to_atom_type_map=True)
    mapper, neighbours = calculator.transforms[:2]
    return ForceField(calculator, tuple(mapper.model_type_names), float(neighbours.r_max), kind, wanted)


def _device(path: str | Path, kind: Kind, device: str, has_gpu: bool) -> str:
    made_for = _compiled_device(path) if kind == "compiled" else None
    wanted = (made_for or ("cuda" if has_gpu else "cpu")) if device == "auto" else device
    if made_for not in (None, wanted):
        raise InputError(
            f"the model was compiled for {made_for}, not {wanted}",
            file=path,
            field="device",
            remedy=f"use device {made_for}, or train again with forcefield.compile: never",
        )
    if wanted == "cuda" and not has_gpu:
        raise InputError("there is no CUDA device", file=path, field="device", remedy="use device cpu")
    return wanted


def _compiled_device(path: str | Path) -> str:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("_metadata.json"):
                return str(json.loads(archive.read(name)).get("AOTI_DEVICE_KEY", "cpu"))
    return "cpu"


def require_species(forcefield: ForceField, symbols: Sequence[str], file: str | Path) -> None:
    """Refuse a structure with elements that the force field has never seen.

    Raises
    ------
    InputError
        Naming the element and what the force field knows.
    """
    if unknown := sorted(set(symbols) - set(forcefield.species)):
        raise InputError(
            f"the force field does not know {unknown[0]} (it knows {', '.join(forcefield.species)})",
            file=file,
            field="species",
            remedy="train the force field on data with this element",
        )
