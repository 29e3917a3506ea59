"""What the log of a run says that H0 is built from and checked against: mesh, smearing, energy terms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from n2amd.units import BOLTZMANN_EV_K

_NUMBER = r"\s*=\s*(-?\d\S*)"
_TERMS = ("Ekin", "Enl", "Eso", "Edftu", "Eldau", "DEna", "DUscf", "DUext", "Exc")
_TERM = re.compile(rf"^siesta:\s+({'|'.join(_TERMS)}){_NUMBER}", re.MULTILINE)
_SHAPE = re.compile(r"^InitMesh: MESH =\s*(\d+)\s*x\s*(\d+)\s*x\s*(\d+)", re.MULTILINE)
_REQUIRED = re.compile(r"^InitMesh: Mesh cutoff \(required, used\) =\s*(\d\S*)", re.MULTILINE)
_ASKED = re.compile(r"^redata: Mesh Cutoff\s*=\s*(\d\S*)\s*Ry", re.MULTILINE)
_HELD = re.compile(
    r"^redata: Fix the spin of the system\s*=\s*T\s*\n"
    r"redata: Total spin of the system \(spin value\)\s*=\s*(-?\d\S*)",
    re.MULTILINE,
)
_TEMPERATURE = re.compile(r"^redata: Electronic Temperature\s*=\s*(\d\S*)\s*K", re.MULTILINE)


@dataclass(frozen=True)
class LogFacts:
    """Figures of a log.

    Attributes
    ----------
    path
        The log.
    mesh_cutoff
        Cutoff that the mesh had to reach, Ry with 3 decimals; None where it is not printed.
    mesh_shape
        The mesh that was made last; None where it is not printed.
    temperature
        Electronic temperature, eV.
    held_spin
        Electrons of spin up less those of spin down that the run held; None where it held none.
    terms
        The code's own energies at the end, eV: Ekin, Enl, DEna, DUscf, Exc, ...
    """

    path: Path
    mesh_cutoff: float | None = None
    mesh_shape: tuple[int, int, int] | None = None
    temperature: float | None = None
    held_spin: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)


def read_log_facts(path: Path, text: str) -> LogFacts:
    """Collect the figures of a log; of several in a row the last counts."""
    cutoffs = _REQUIRED.findall(text) or _ASKED.findall(text)
    shapes = _SHAPE.findall(text)
    kelvin, held = _TEMPERATURE.findall(text), _HELD.findall(text)
    terms: dict[str, float] = {}
    for name, word in _TERM.findall(text):
        try:
            terms[name] = float(word)
        except ValueError:  # stars, or two numbers run together
            terms.pop(name, None)
    return LogFacts(
        path,
        float(cutoffs[-1]) if cutoffs else None,
        (int(shapes[-1][0]), int(shapes[-1][1]), int(shapes[-1][2])) if shapes else None,
        float(kelvin[-1]) * BOLTZMANN_EV_K if kelvin else None,
        float(held[-1]) if held else None,
        terms,
    )


def write_terms(terms: Mapping[str, float]) -> str:
    """Energy terms as an entry of a frame's origin."""
    return json.dumps(dict(terms))


def energy_terms(origin: Mapping[str, str]) -> dict[str, float]:
    """Energy terms of a frame's origin, eV; empty where its log gave none."""
    return dict(json.loads(origin.get("energy_terms", "{}")))
