"""A frame from the folder of a SIESTA or HONPAS run: read, cross-checked, converted to n2amd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import find_frame_folders, frame_name, locate
from n2amd.dft.siesta.basis import basis_of_run, interaction_reach, read_run_ions
from n2amd.dft.siesta.blocks import gather_blocks
from n2amd.dft.siesta.consistency import (
    ONE_RUN,
    check_atoms,
    check_basis,
    check_elements,
    check_energy,
    check_forces,
    check_geometry,
    check_input,
    check_level,
    check_orbitals,
)
from n2amd.dft.siesta.constants import Constants, constants_of_run
from n2amd.dft.siesta.log import Origin, read_origin
from n2amd.dft.siesta.matrices import SparseMatrices
from n2amd.dft.siesta.occupations import smearing_of_run
from n2amd.dft.siesta.run import KINDS, Run, find_run, read_matrices
from n2amd.dft.siesta.spin import held_spin
from n2amd.dft.siesta.supercell import lattice_vectors
from n2amd.dft.siesta.tables import (
    as_spinors,
    read_eigenvalues,
    read_force_stress,
    read_forces,
    read_kpoints,
    read_orbital_table,
    read_xv,
)
from n2amd.dft.siesta.zeroth_order import ingredients_of_run
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical
from n2amd.structure import Structure


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, [f"*.{kind}" for kind in KINDS], "an HSX, TSHS, XV or EIG file")


def read_frame(folder: str | Path, code: Code = "honpas") -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Folder with LABEL.TSHS or LABEL.HSX, XV and, where they exist, EIG, KP, FA, FORCE_STRESS, *.fdf, out;
        LABEL.ORB_INDX and *.ion.xml may stand in the folder above. Every file may be compressed.
    code
        "honpas" or "siesta": both write the same files.

    Returns
    -------
    frame, basis
        The frame and the basis it was computed in, with radial functions where there are .ion.xml files.

    Raises
    ------
    InputError
        If a file is missing or damaged, or two files contradict each other.
    """
    folder = Path(folder)
    run = find_run(folder)
    matrices = read_matrices(run)
    origin = read_origin(folder, run.label)
    moment = held_spin(origin) if len(matrices.hamiltonian) == 2 else None
    fermi_level, energies = None, None
    if (path := run.find("EIG")) is not None:
        fermi_level, energies = read_eigenvalues(path)
        if moment is not None:
            fermi_level = None  # each spin has one of its own, and the file begins with zero
        else:
            check_level(folder, fermi_level, origin.fermi_level)
    constants = constants_of_run(matrices.fermi_level, fermi_level, origin.provenance.get("version", ""))
    structure, velocities, species = read_xv(run.require("XV"), constants)
    table_file = run.find("ORB_INDX", beside=True)
    table = read_orbital_table(table_file) if table_file else None
    check_atoms(folder, matrices, structure, species)
    check_elements(folder, structure, species, origin.elements)
    ions = read_run_ions(run, matrices, table, constants)
    basis = basis_of_run(run, matrices, structure, species, ions)
    check_basis(folder, matrices, structure, species, basis)
    if table is not None:
        check_orbitals(folder, matrices, table, structure, basis, constants)
    check_geometry(folder, matrices, structure, constants)
    if fermi_level is None and moment is None:
        in_rydberg = matrices.fermi_level
        fermi_level = origin.fermi_level if in_rydberg is None else in_rydberg * constants.rydberg
    charge = round(basis.valence_electrons(structure.numbers) - matrices.n_electrons, 6) + 0.0
    check_input(folder, origin.settings, structure, len(matrices.hamiltonian), charge)
    reach = interaction_reach(structure, ions)
    shifts = lattice_vectors(folder, matrices, structure, table, constants, reach)
    hamiltonian, overlap, hermiticity = gather_blocks(matrices, shifts, structure, constants)
    energy, forces, stress = _observables(run, structure, origin, constants)
    provenance = {"code": code, **origin.provenance}
    if not ions:
        provenance["radial_functions"] = "unknown: no .ion.xml file"
    ingredients, note = ingredients_of_run(structure, ions, origin, constants)
    if note:
        provenance["h0"] = note
    if (smearing := smearing_of_run(origin, constants.rydberg)) is not None:
        provenance["smearing"] = smearing
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=to_canonical(hamiltonian, basis, code),
        overlap=to_canonical(overlap, basis, code),
        n_electrons=matrices.n_electrons,
        energy=energy,
        forces=forces,
        stress=stress,
        fermi_level=fermi_level,
        charge=charge,
        spin=moment,
        velocities=velocities,
        bands=None if energies is None else _bands(run, matrices, structure, energies, constants),
        hermiticity_error=hermiticity,
        origin=provenance,
        ingredients=ingredients,
        fixed_moment=moment,
    )
    return frame, basis


def read_geometry(folder: str | Path) -> Structure:
    """Read the structure of a run without its matrices: lengths to 1e-6, the digits of the code's Bohr.

    Raises
    ------
    InputError
        If there is no XV file, or it is damaged.
    """
    run = find_run(Path(folder))
    return read_xv(run.require("XV"), constants_of_run(None, None))[0]


def _bands(
    run: Run,
    matrices: SparseMatrices,
    structure: Structure,
    energies: NDArray[np.float64],
    constants: Constants,
) -> BandReference:
    """Bands of the run with their k points; a run of one k point without LABEL.KP is at Gamma."""
    n_components = len(matrices.hamiltonian)
    if n_components > 2:
        energies = as_spinors(energies, matrices.n_orbitals)
    n_spin = n_components if n_components <= 2 else 1
    if energies.shape[1] != n_spin:
        raise InputError(
            f"{energies.shape[1]} spin components in EIG, {n_spin} in the file of the matrices",
            file=run.folder,
            field="EIG",
            remedy=ONE_RUN,
        )
    kpoints, weights = np.zeros((1, 3)), np.ones(1)
    if len(energies) > 1 or run.find("KP") is not None:
        kpoints, weights = read_kpoints(run.require("KP"), structure.cell, constants)
    if len(kpoints) != len(energies):
        raise InputError(
            f"{len(energies)} k points in EIG, {len(kpoints)} in KP",
            file=run.folder,
            field="KP",
            remedy=ONE_RUN,
        )
    return BandReference(kpoints, weights, energies)


def _observables(
    run: Run, structure: Structure, origin: Origin, constants: Constants
) -> tuple[float | None, NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Energy, forces and stress from FORCE_STRESS, LABEL.FA and the log, as far as they are there."""
    energy, forces, stress = next(iter(origin.energies), None), None, None
    if (path := locate(run.folder, "FORCE_STRESS")) is not None:
        energy, stress, forces = read_force_stress(path, constants)
        check_energy(path, energy, origin.energies)
    # more digits
    if (table := run.find("FA")) is not None:
        rounded, path, forces = forces, table, read_forces(table)
        if rounded is not None:
            check_forces(table, forces, rounded)
    if forces is not None and len(forces) != structure.n_atoms:
        raise InputError(
            f"forces on {len(forces)} atoms, the geometry has {structure.n_atoms}",
            file=path,
            remedy=ONE_RUN,
        )
    return energy, forces, stress
