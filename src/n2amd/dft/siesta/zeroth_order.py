"""What H0 needs of a run, from its .ion.xml files, input and log; or why the run gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.schemes import HYBRIDS, hybrid_note
from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.fdf import read_logical, read_number
from n2amd.dft.siesta.ion_xml import Ion
from n2amd.dft.siesta.log import Origin
from n2amd.dft.siesta.log_facts import LogFacts
from n2amd.dft.siesta.occupations import energy_in_rydberg
from n2amd.errors import InputError
from n2amd.frames.ingredients import AtomIngredients, Ingredients
from n2amd.frames.mesh import siesta_mesh
from n2amd.structure import Structure

#: Semilocal functionals by SIESTA's name of them (XC.Authors).
SEMILOCAL = {
    "pbe": "PBE",
    "revpbe": "revPBE",
    "pbesol": "PBEsol",
    "ca": "PZ",
    "pz": "PZ",
    "pw92": "PW92",
}
#: Keys of the input that put into H what H0 does not have.
FOREIGN = {
    "dftuproj": "a Hubbard correction (DFTU.Proj)",
    "ldauproj": "a Hubbard correction (LDAU.Proj)",
    "externalelectricfield": "an external electric field",
    "geometryhartree": "the potential of an external geometry (Geometry.Hartree)",
    "geometrycharge": "the charge of an external geometry (Geometry.Charge)",
}
#: Largest difference of the mesh cutoff in the input and in the log, Ry: the log has 3 decimals.
CUTOFF_TOLERANCE = 1e-3


def ingredients_of_run(
    structure: Structure, ions: Sequence[Ion], origin: Origin, constants: Constants
) -> tuple[Ingredients | None, str]:
    """Put together what H0 needs.

    Parameters
    ----------
    structure, ions, constants
        The run.
    origin
        What its input and log say.

    Returns
    -------
    ingredients
        None where something is missing, or H holds what H0 does not have.
    note
        Why there are none, or what H0 leaves out; empty otherwise.

    Raises
    ------
    InputError
        If the mesh in the log is not that of the cutoff.
    """
    atoms, reason = _atoms(structure, ions)
    functional, note = _functional(origin)
    reason = reason or _foreign(origin) or ("" if functional else note)
    cutoff = _mesh_cutoff(origin, constants)
    if isinstance(cutoff, str):
        reason = reason or cutoff
    else:
        reason = reason or _own_mesh(origin.settings)
    if reason or isinstance(cutoff, str):
        return None, reason
    if origin.facts is not None:
        check_mesh(structure.cell, cutoff, constants, origin.facts)
    found = Ingredients("siesta", functional, cutoff, constants.rydberg, constants.bohr, atoms)
    return found, note


def check_mesh(cell: NDArray[np.float64], cutoff: float, constants: Constants, facts: LogFacts) -> None:
    """Compare the mesh in the log, where it has one, with that of the cutoff (Ry)."""
    expected = siesta_mesh(cell, cutoff, constants.bohr).shape
    if facts.mesh_shape is not None and facts.mesh_shape != expected:
        found, wanted = (" x ".join(map(str, shape)) for shape in (facts.mesh_shape, expected))
        raise InputError(
            f"the mesh is {found}, that of {cutoff:g} Ry in this cell is {wanted}",
            file=facts.path,
            field="InitMesh: MESH",
            remedy="keep the files of one run together: the log is of another cell, cutoff or program",
        )


def _atoms(structure: Structure, ions: Sequence[Ion]) -> tuple[dict[int, AtomIngredients], str]:
    """Ingredients of every element of the structure, or why one has none."""
    if not ions:
        return {}, "there is no .ion.xml file"
    atoms: dict[int, AtomIngredients] = {}
    for ion in ions:
        number = ion.atom.number
        if number not in structure.numbers:
            continue
        if ion.ingredients is None:
            return {}, ion.lacks
        if atoms.setdefault(number, ion.ingredients) != ion.ingredients:
            return {}, f"two species of element {number} have other pseudopotentials"
    return atoms, ""


def _functional(origin: Origin) -> tuple[str, str]:
    """Label of the semilocal functional, empty where it is unknown; and a note."""
    given = origin.provenance.get("functional")
    if given is None:
        kind = origin.settings.get("xcfunctional", "LDA").upper()
        if not origin.settings or kind not in ("LDA", "LSD") or "xcmix" in origin.settings:
            return "", "the functional is unknown"
        given = "CA"  # SIESTA's default
    name = given.lower()
    if "vdw" in origin.settings.get("xcfunctional", "").lower() or "xcmix" in origin.settings:
        return "", f"H0 does not have the functional {given}"
    if (parent := HYBRIDS.get(name)) is not None:
        return parent, hybrid_note(given)
    return SEMILOCAL.get(name, ""), "" if name in SEMILOCAL else f"H0 does not have the functional {given}"


def _foreign(origin: Origin) -> str:
    """Say what H holds and H0 does not have; empty where there is nothing."""
    for key, what in FOREIGN.items():
        if key in origin.settings:
            return f"the run has {what}"
    if read_logical(origin.settings.get("slabdipolecorrection")):
        return "the run has a dipole correction (Slab.DipoleCorrection)"
    terms: Mapping[str, float] = {} if origin.facts is None else origin.facts.terms
    if terms.get("DUext"):
        return "the run has an external electric field"
    if terms.get("Edftu") or terms.get("Eldau"):
        return "the run has a Hubbard correction"
    return ""


def _own_mesh(settings: Mapping[str, str]) -> str:
    """Say what makes the mesh another than that of the cutoff; empty where nothing does."""
    if "meshsizes" in settings:
        return "the mesh is given by its numbers of points (Mesh.Sizes)"
    try:
        if read_number(settings.get("meshsubdivisions", "2").split()[0]) == 2:
            return ""
    except (ValueError, IndexError):
        pass
    return "the mesh has other subdivisions than 2 (MeshSubDivisions)"


def _mesh_cutoff(origin: Origin, constants: Constants) -> float | str:
    """Cutoff of the mesh, Ry: the log's, with the input's digits; or why it is not known."""
    printed = None if origin.facts is None else origin.facts.mesh_cutoff
    given = None
    if (text := origin.settings.get("meshcutoff")) is not None:
        try:
            given = energy_in_rydberg(text, constants.rydberg)
        except (ValueError, IndexError):
            given = None
    if given is not None and (printed is None or abs(given - printed) <= CUTOFF_TOLERANCE):
        return given
    if printed is None:
        return "the mesh cutoff is unknown: there is neither a log nor MeshCutoff in an input"
    return printed
