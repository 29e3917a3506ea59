"""What the input file and the log of a run say about how it was computed, and its energy."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from n2amd.dft.files import DECOMPRESSORS, read_text
from n2amd.dft.siesta.fdf import find_input, read_fdf
from n2amd.dft.siesta.kmesh import k_mesh
from n2amd.dft.siesta.log_facts import LogFacts, read_log_facts, write_terms
from n2amd.errors import InputError

_VERSION = re.compile(r"^\s*(?:Siesta )?Version\s*:\s*(?:siesta-)?(\S+)", re.MULTILINE | re.IGNORECASE)
_PROGRAM = re.compile(r"^Siesta Version|WELCOME TO SIESTA|^siesta:", re.MULTILINE)
_LABEL = re.compile(r"^reinit: System Label:\s*(\S+)", re.MULTILINE)
_END = re.compile(r"^>> End of run:|^Job completed", re.MULTILINE)
#: The free energy is that of FORCE_STRESS, whose derivatives the forces are.
_ENERGIES = [re.compile(rf"^siesta:\s+{name}\s*=\s*(\S+)", re.MULTILINE) for name in ("FreeEng", "Total")]
_FERMI = re.compile(r"^siesta:\s+Fermi\s*=\s*(\S+)", re.MULTILINE)
_AUTHORS = re.compile(r"^\s*xc[-_.]?authors\s+(\w\S*)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """Where a frame comes from.

    Attributes
    ----------
    provenance
        version, functional, k_mesh, mesh_cutoff, energy_terms where the files tell them.
    energies
        Free and total energy at the end of the log, as far as they are there, eV.
    fermi_level
        Fermi level there, eV.
    elements
        Atomic number of each species (from 0) in the input; empty where there is none.
    settings
        Keys of the input; empty where there is none.
    facts
        Figures of the log; None where there is none.
    """

    provenance: dict[str, str] = field(default_factory=dict)
    energies: tuple[float, ...] = ()
    elements: dict[int, int] = field(default_factory=dict)
    fermi_level: float | None = None
    settings: dict[str, str] = field(default_factory=dict)
    facts: LogFacts | None = None


def read_origin(folder: Path, label: str) -> Origin:
    """Collect provenance from the fdf input and the log (out, *.out or *.log) of the run `label`.

    Raises
    ------
    InputError
        If there are several logs of the run, or its log says that it did not end, that its SCF cycle did
        not converge, or that it was computed with another functional than the input names.
    """
    provenance: dict[str, str] = {}
    elements: dict[int, int] = {}
    fdf: dict[str, str] = {}
    inputs = find_input(folder, label)
    if len(inputs) == 1:
        fdf = read_fdf(inputs[0])
        elements = _elements(inputs[0], fdf.get("chemicalspecieslabel", ""))
        if "xcauthors" in fdf:
            provenance["functional"] = fdf["xcauthors"]
        if (mesh := k_mesh(inputs[0], fdf)) is not None:
            provenance["k_mesh"] = mesh
        if "meshcutoff" in fdf:
            provenance["mesh_cutoff"] = fdf["meshcutoff"]
    logs = _find_logs(folder, label)
    if len(logs) > 1:
        raise InputError(
            f"{len(logs)} logs of the run {label}: {', '.join(path.name for path in logs)}",
            file=folder,
            field="log",
            remedy="leave the log of the run that wrote the matrices",
        )
    if not logs:
        return Origin(provenance, (), elements, settings=fdf)
    ((path, text),) = logs.items()
    if found := _VERSION.search(text):
        provenance["version"] = found.group(1)
    outcomes = re.findall(r"SCF cycle converged|SCF_NOT_CONV", text)
    if not outcomes or outcomes[-1] == "SCF_NOT_CONV":
        raise InputError(
            "the log does not end with a converged SCF cycle",
            file=path,
            field="SCF",
            remedy="run the frame again to convergence",
        )
    if not _END.search(text):
        raise InputError(
            "the log ends in the middle: the run was killed, or the file is cut",
            file=path,
            field="log",
            remedy="copy it again from the run; of a killed run, remove the log if its matrices are whole",
        )
    if found := _AUTHORS.search(text):  # the log repeats the input
        named = provenance.setdefault("functional", found.group(1))
        if named.lower() != found.group(1).lower():
            raise InputError(
                f"the run was computed with the functional {found.group(1)}, its input names {named}",
                file=path,
                field="XC.Authors",
                remedy="keep the files of one run together",
            )
    energies = tuple(x for pattern in _ENERGIES if (x := _last(path, pattern, text)) is not None)
    facts = read_log_facts(path, text)
    if facts.terms:
        provenance["energy_terms"] = write_terms(facts.terms)
    return Origin(provenance, energies, elements, _last(path, _FERMI, text), fdf, facts)


def _last(path: Path, pattern: re.Pattern[str], text: str) -> float | None:
    """Return the last number that a pattern finds; None where it finds none."""
    found = pattern.findall(text)
    try:
        return float(found[-1]) if found else None
    except ValueError:
        raise InputError(
            f"{found[-1]!r} is no energy", file=path, field="log", remedy="run the frame again to convergence"
        ) from None


def _elements(path: Path, block: str) -> dict[int, int]:
    """Atomic number of each species, counted from 0, in %block ChemicalSpeciesLabel (index, Z, label)."""
    try:
        return {int(index) - 1: int(z) for index, z, *_ in map(str.split, block.splitlines())}
    except ValueError as error:
        raise InputError(
            f"not a list of species ({error})",
            file=path,
            field="ChemicalSpeciesLabel",
            remedy="copy the input again from the run",
        ) from None


def _find_logs(folder: Path, label: str) -> dict[Path, str]:
    """Return the logs of SIESTA in a folder with their text, those of other labels left out."""
    names = ("out", "*.out", "*.log")
    paths = {path for name in names for end in ("", *DECOMPRESSORS) for path in folder.glob(name + end)}
    logs: dict[Path, str] = {}
    for path in sorted(paths):
        text = read_text(path)
        labels = set(_LABEL.findall(text))
        if _VERSION.search(text) and _PROGRAM.search(text) and labels <= {label}:
            logs[path] = text
    return logs
