"""What H0 needs of a run, from its .vps and .pao files and input; or why the run gives none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ase.data import atomic_numbers

from n2amd.baseline.schemes import NO_POTENTIALS, openmx_scheme
from n2amd.dft.openmx.keywords import RunInput, parse_numbers
from n2amd.dft.openmx.tables import find_table
from n2amd.dft.openmx.vps import read_atom
from n2amd.errors import InputError
from n2amd.frames.ingredients import AtomIngredients, Ingredients

#: Keywords that put into H what H0 does not have, where they are on.
FOREIGN = {
    "scf.hubbard.u": "a Hubbard correction (scf.Hubbard.U)",
    "scf.spinorbit.coupling": "spin-orbit coupling",
    "scf.constraint.nc.spin": "constrained spins",
}
#: Keywords that make the mesh another than that of the cutoff.
OWN_MESH = ("scf.ngrid", "scf.fixed.grid")


def ingredients_of_run(folder: Path, path: Path, run: RunInput) -> tuple[Ingredients | None, str]:
    """Put together what H0 needs.

    Parameters
    ----------
    folder
        Of the frame; .vps files are looked for as .pao files are.
    path
        File of the input, for messages.
    run
        The input.

    Returns
    -------
    ingredients
        None where something is missing, or H holds what H0 does not have.
    note
        Why there are none; empty otherwise.
    """
    scheme, reason = scheme_of_run(path, run)
    if scheme is None:
        return None, reason
    atoms: dict[int, AtomIngredients] = {}
    for species in sorted(set(run.species), key=lambda entry: entry.name):
        number = atomic_numbers[species.element]
        data = run.values.get("data.path")
        vps = find_table(folder, species.potential, "vps", data)
        pao = find_table(folder, species.table, "pao", data)
        if vps is None or pao is None:
            return None, f"{NO_POTENTIALS} of {species.potential}" if vps is None else "no .pao file"
        atom = read_atom(number, vps, pao)
        if atoms.setdefault(number, atom) != atom:
            return None, f"two species of element {number} have other pseudopotentials"
    return replace(scheme, atoms=atoms), ""


def scheme_of_run(path: Path, run: RunInput) -> tuple[Ingredients | None, str]:
    """Functional, mesh and units of a run, without atoms; or why H0 cannot be made for it."""
    functional = run.values.get("scf.xctype", "LDA")
    [cutoff] = parse_numbers(path, run.values, "scf.energycutoff", "150.0")
    scheme = openmx_scheme(functional, cutoff)
    if scheme is None:
        return None, f"H0 does not have the functional {functional}"
    for keyword, what in FOREIGN.items():
        if run.values.get(keyword, "off").lower() == "on":
            return None, f"the run has {what}"
    if any(_numbers(run.values.get("scf.electric.field", ""))):
        return None, "the run has an external electric field"
    if any(keyword in run.values for keyword in OWN_MESH):
        return None, "the mesh is given by hand (scf.Ngrid, scf.fixed.grid)"
    return scheme, ""


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        raise InputError(f"{text!r} where numbers belong", field="scf.Electric.Field") from None
