"""What H0 needs of a CP2K run, from its log and input; or why the run gives none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ase.data import chemical_symbols

from n2amd.baseline.pseudo_atom import gth_ingredients
from n2amd.baseline.schemes import hybrid_note
from n2amd.baseline.smearing import FERMI_DIRAC
from n2amd.dft.cp2k.inputs import Section
from n2amd.dft.cp2k.radial import candidates
from n2amd.dft.cp2k.setup import Setup
from n2amd.dft.files import read_text
from n2amd.frames.ingredients import Ingredients
from n2amd.structure import Structure

#: PBE's parametrisations by CP2K's name.
PARAMETRISATIONS = {"ORIG": "PBE", "REVPBE": "revPBE", "PBESOL": "PBEsol"}
#: Sections of &DFT that put into H what H0 does not have.
FOREIGN = {
    "EFIELD": "an external field",
    "PERIODIC_EFIELD": "an external field",
    "EXTERNAL_POTENTIAL": "an external potential",
    "EXTERNAL_DENSITY": "an external density",
    "SCCS": "a solvent model",
}
#: Words in the entry of a pseudopotential for parts that H0 does not have, and the log does not print.
PARTS = {"NLCC": "a non-linear core correction (NLCC)", "LPOT": "an extended local part", "LSD": "spin"}
#: Largest difference of the cutoff in the input and in the log, Ry.
CUTOFF_TOLERANCE = 0.11


def ingredients_of_run(
    folder: Path, root: Section, structure: Structure, setup: Setup, hartree: float
) -> tuple[Ingredients | None, str]:
    """Put together what H0 needs.

    Parameters
    ----------
    folder
        Of the frame: potential files are looked for as basis files are.
    root, setup
        Input and log of the run.
    structure
        Atoms.
    hartree
        CP2K's Hartree, eV.

    Returns
    -------
    ingredients
        None where something is missing, or H holds what H0 does not have.
    note
        Why there are none, or what H0 leaves out; empty otherwise.
    """
    functional, note = functional_of(root)
    reason = "" if functional else note
    reason = reason or _foreign(root, structure, setup) or _unknown(setup)
    reason = reason or _parts_of_potentials(folder, root, setup)
    if reason:
        return None, reason
    scheme = Ingredients("cp2k", functional, _cutoff(root, setup), hartree / 2, setup.bohr)
    mesh = scheme.mesh_of(structure.cell).shape
    if setup.mesh_shape != mesh:
        found, wanted = (" x ".join(map(str, shape or ("unknown",))) for shape in (setup.mesh_shape, mesh))
        return None, f"the finest grid is {found}, that of {scheme.mesh_cutoff:g} Ry is {wanted}"
    atoms = {z: gth_ingredients(z, potential, scheme) for z, potential in setup.potentials.items()}
    return replace(scheme, atoms=atoms), note


def functional_of(root: Section) -> tuple[str, str]:
    """Label of the semilocal functional, empty where H0 has none; and a note."""
    section = root.find("FORCE_EVAL", "DFT", "XC", "XC_FUNCTIONAL")
    exact = root.find("FORCE_EVAL", "DFT", "XC", "HF") is not None
    if section is None:
        return "", "the functional is unknown"
    parts = section.sections
    names = {section.parameter.upper(), *parts} - {"", "NO_SHORTCUT"}
    if exact and "PBE" in names and names <= {"PBE", "XWPBE"}:
        hybrid = "HSE06" if "XWPBE" in names else "PBE0"
        return "PBE", hybrid_note(hybrid)
    van_der_waals = root.find("FORCE_EVAL", "DFT", "XC", "VDW_POTENTIAL", "NON_LOCAL") is not None
    if names != {"PBE"} or exact or van_der_waals:
        return "", f"H0 does not have the functional {' + '.join(sorted(names)) or 'of this run'}"
    own = parts["PBE"][0] if "PBE" in parts else Section()
    label = PARAMETRISATIONS.get((own.value("PARAMETRIZATION") or "ORIG").upper(), "")
    if not label or any(own.value(scale) for scale in ("SCALE_X", "SCALE_C")):
        return "", "H0 does not have this form of PBE"
    return label, ""


def _foreign(root: Section, structure: Structure, setup: Setup) -> str:
    """Say what H holds and H0 does not have; empty where there is nothing."""
    dft = root.find("FORCE_EVAL", "DFT")
    for name, what in FOREIGN.items():
        if dft is not None and name in dft.sections:
            return f"the run has {what} (&{name})"
    subsystem = root.find("FORCE_EVAL", "SUBSYS")
    kinds = subsystem.sections.get("KIND", []) if subsystem else []
    if any("DFT_PLUS_U" in kind.sections for kind in kinds):
        return "the run has a Hubbard correction (&DFT_PLUS_U)"
    if not all(structure.pbc):
        return "the cell is not periodic in three directions"
    return setup.unusual


def _unknown(setup: Setup) -> str:
    """Say what the log does not tell; empty where everything is there."""
    if setup.others:
        symbols = ", ".join(chemical_symbols[z] for z in sorted(setup.others))
        return f"the log does not have one GTH pseudopotential of {symbols}"
    if not setup.k_points:
        return "the log does not list all k points of the SCF cycle"
    if not setup.smearing.startswith(FERMI_DIRAC):
        return f"the levels are occupied by {setup.smearing}"
    if setup.cutoff is None:
        return "the log does not have the cutoff of the grid"
    return ""


def _parts_of_potentials(folder: Path, root: Section, setup: Setup) -> str:
    """Say which pseudopotential has a part that the log does not print; empty where none is known to."""
    dft = root.find("FORCE_EVAL", "DFT")
    named = [value for word, value in dft.keywords if word == "POTENTIAL_FILE_NAME"] if dft else []
    for number, potential in setup.potentials.items():
        words = {word for word in PARTS if word in potential.name.upper()}
        for path in candidates(folder, named or ["POTENTIAL"]):
            if path.is_file():
                words |= _words_of_entry(path, chemical_symbols[number], potential.name)
                break
        for word in sorted(words):
            return f"{potential.name} of {chemical_symbols[number]} has {PARTS[word]}, which H0 does not have"
    return ""


def _words_of_entry(path: Path, symbol: str, name: str) -> set[str]:
    """Words of `PARTS` in the entry of a potential file."""
    inside, found = False, set()
    for line in read_text(path).splitlines():
        words = line.split("#")[0].split()
        if words and words[0].isalpha() and words[0].upper() not in PARTS:
            inside = words[0].upper() == symbol.upper() and name.upper() in (w.upper() for w in words[1:])
        elif inside and words:
            found |= PARTS.keys() & {words[0].upper()}
    return found


def _cutoff(root: Section, setup: Setup) -> float:
    """Cutoff, Ry: the log's, with the digits of the input where it is the same."""
    assert setup.cutoff is not None
    section = root.find("FORCE_EVAL", "DFT", "MGRID")
    given = (section.value("CUTOFF") if section else None) or ""
    try:
        wanted = float(given.split()[-1])
    except (ValueError, IndexError):
        return setup.cutoff
    return wanted if abs(wanted - setup.cutoff) <= CUTOFF_TOLERANCE else setup.cutoff
