"""A frame from the folder of an OpenMX run: read, cross-checked, converted to n2amd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from n2amd.baseline.smearing import Smearing
from n2amd.dft.files import find_frame_folders, frame_name, locate, read_text, require
from n2amd.dft.openmx.blocks import gather_blocks
from n2amd.dft.openmx.consistency import check_electrons, check_positions, check_species
from n2amd.dft.openmx.keywords import RunInput, parse_input, parse_numbers
from n2amd.dft.openmx.observables import read_observables
from n2amd.dft.openmx.pao import read_basis
from n2amd.dft.openmx.scfout import Scfout, read_scfout
from n2amd.dft.openmx.zeroth_order import ingredients_of_run
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical
from n2amd.structure import Structure
from n2amd.units import BOLTZMANN_EV_K, OPENMX_BOHR_ANGSTROM

#: Any of these files makes a folder the folder of a frame; a head ends after the overlap matrix.
MARKS = ("*.scfout", "*.scfout_head")
#: Keywords that are kept as the origin of the data.
ORIGIN = {
    "scf.xctype": "functional",
    "scf.kgrid": "k_mesh",
    "scf.energycutoff": "mesh_cutoff",
    "scf.spinpolarization": "spin",
    "scf.spinorbit.coupling": "spin_orbit",
}


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, MARKS, "a .scfout file")


def read_frame(folder: str | Path, code: Code = "openmx") -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Folder with LABEL.scfout (or its first part, LABEL.scfout_head, with LABEL.dat or LABEL.out) and,
        where they exist, LABEL.out, LABEL.md, LABEL.Band; LABEL.dat, .out and .md may stand in the folder
        above. .pao files are looked for by `n2amd.dft.openmx.pao.read_basis`. Every file may be compressed.
    code
        Always "openmx".

    Returns
    -------
    frame, basis
        The frame and the basis it was computed in, radial functions included where the .pao files are found.

    Raises
    ------
    InputError
        If a file is missing or damaged, or two files contradict each other.
    """
    folder = Path(folder)
    path = locate(folder, MARKS[0]) or require(
        folder, MARKS[1], remedy="copy LABEL.scfout from the run, or run the frame again (HS.fileout on)"
    )
    label = path.name.split(".scfout")[0]
    contents = read_scfout(path)
    run = _input(folder, label, path, contents)
    check_species(path, contents, run)
    numbers = np.array([atomic_numbers[species.element] for species in run.species])
    structure = Structure(
        contents.cell * OPENMX_BOHR_ANGSTROM, contents.positions * OPENMX_BOHR_ANGSTROM, numbers
    )
    check_positions(path, structure, run)
    basis = read_basis(folder, run)
    n_electrons = sum(run.valence) - run.charge
    if contents.tail is not None:
        n_electrons = contents.tail.n_electrons
        check_electrons(path, n_electrons, run)
    observed = read_observables(folder, label, contents, structure, n_electrons)
    hamiltonian, overlap, hermiticity = gather_blocks(path, contents, numbers)
    origin = {name: run.values[key] for key, name in ORIGIN.items() if key in run.values}
    origin["smearing"] = _smearing(path, run)
    ingredients, note = ingredients_of_run(folder, path, run)
    if note:
        origin["h0"] = note
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=to_canonical(hamiltonian, basis, code),
        overlap=to_canonical(overlap, basis, code),
        n_electrons=n_electrons,
        energy=observed.energy,
        forces=observed.forces,
        fermi_level=observed.fermi_level,
        charge=round(sum(run.valence) - n_electrons, 6) + 0.0,
        bands=observed.bands,
        hermiticity_error=hermiticity,
        origin={"code": code, **observed.origin, **origin},
        ingredients=ingredients,
    )
    return frame, basis


def _smearing(path: Path, run: RunInput) -> str:
    """Occupation of the levels, in the words of `n2amd.baseline.smearing`."""
    [kelvin] = parse_numbers(path, run.values, "scf.ElectronicTemperature", "300.0")
    return str(Smearing(kelvin * BOLTZMANN_EV_K))


def _input(folder: Path, label: str, path: Path, contents: Scfout) -> RunInput:
    """Read the input from the echo in the file, or for a head from LABEL.dat or the echo in LABEL.out."""
    if contents.tail is not None:
        return parse_input(path, contents.tail.input)
    for name in (f"{label}.dat", f"{label}.out"):
        if (source := locate(folder, name, beside=True)) is not None:
            return parse_input(source, read_text(source))
    raise InputError(
        f"the file ends after the overlap matrix, and {label}.dat and {label}.out are neither here nor in "
        "the folder above: species and electrons are unknown",
        file=path,
        field="input",
        remedy=f"put {label}.dat or {label}.out beside it",
    )
