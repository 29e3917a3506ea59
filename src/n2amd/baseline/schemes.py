"""Functionals that H0 has or has the parent of; mesh and units of a run as its frames remember them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from n2amd.frames.ingredients import Ingredients
from n2amd.structure import Structure
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

#: Semilocal functionals by OpenMX' name of them (scf.XcType).
OPENMX_FUNCTIONALS = {"gga-pbe": "PBE", "lda": "PZ", "lsda-ca": "PZ", "lsda-pw": "PW92"}
#: Hybrid functionals and what they are without exact exchange.
HYBRIDS = {"hse06": "PBE", "pbe0": "PBE"}
#: Begin of the note of a frame that lacks nothing but the pseudopotential files.
NO_POTENTIALS = "no .vps file"
#: Frames that ingredients are fitted to, and the atoms that one of them may have: columns fill memory.
FRAMES, LARGEST = 2, 32


def hybrid_note(functional: str) -> str:
    """Say what H0 leaves out of a hybrid functional."""
    parent = HYBRIDS[functional.lower()]
    return f"that of {parent}: the exact exchange of {functional} is not part of it"


def openmx_scheme(functional: str, cutoff: float) -> Ingredients | None:
    """Ingredients without atoms of an OpenMX run; None where H0 does not have the functional.

    Parameters
    ----------
    functional
        Value of scf.XcType.
    cutoff
        Value of scf.energycutoff, Ry.
    """
    label = OPENMX_FUNCTIONALS.get(functional.lower())
    if label is None:
        return None
    return Ingredients("openmx", label, cutoff, OPENMX_HARTREE_EV / 2, OPENMX_BOHR_ANGSTROM)


def scheme_of_origin(origin: Mapping[str, str]) -> Ingredients | None:
    """Ingredients without atoms of a frame whose pseudopotentials alone are unknown; else None."""
    if origin.get("code") != "openmx" or not origin.get("h0", "").startswith(NO_POTENTIALS):
        return None
    return openmx_scheme(origin.get("functional", "LDA"), float(origin.get("mesh_cutoff", "150")))


def frames_for_fit(structures: Sequence[Structure]) -> list[int]:
    """Places of the frames that ingredients are fitted to: the first small ones that hold every element.

    Empty where one would be too large.
    """
    missing = {int(z) for s in structures for z in s.numbers}
    by_size = np.argsort([s.n_atoms for s in structures], kind="stable")
    chosen: list[int] = []
    for k in map(int, by_size):
        new = missing & {int(z) for z in structures[k].numbers}
        if structures[k].n_atoms <= LARGEST and (new or len(chosen) < FRAMES):
            chosen.append(k)
            missing -= new
    return sorted(chosen) if not missing else []
