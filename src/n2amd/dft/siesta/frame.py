"""A frame from the folder of a SIESTA or HONPAS run: read, cross-checked, converted to n2amd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from n2amd.dataset.frame import BandReference, Frame
from n2amd.dft.files import find_frame_folders, frame_name, locate, require
from n2amd.dft.siesta.blocks import gather_blocks
from n2amd.dft.siesta.consistency import ONE_RUN, check_bonds, check_orbitals, check_species
from n2amd.dft.siesta.hsx import read_hsx
from n2amd.dft.siesta.ion_xml import read_basis
from n2amd.dft.siesta.log import read_origin
from n2amd.dft.siesta.tables import (
    read_eigenvalues,
    read_energy_stress,
    read_forces,
    read_kpoints,
    read_orbital_table,
    read_xv,
)
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical

#: Any of these files makes a folder the folder of a frame.
MARKS = ("*.HSX", "*.XV", "*.EIG")


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, MARKS, "an HSX, XV or EIG file")


def read_frame(folder: str | Path, code: Code = "honpas") -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Folder with LABEL.HSX, XV, EIG, KP and, where they exist, FA, FORCE_STRESS, *.fdf, out;
        LABEL.ORB_INDX and *.ion.xml may stand in the folder above. Every file may be compressed.
    code
        "honpas" or "siesta": both write the same files.

    Returns
    -------
    frame, basis
        The frame and the basis it was computed in (radial functions included).

    Raises
    ------
    InputError
        If a file is missing or damaged, or two files contradict each other.
    """
    folder = Path(folder)
    rerun = "copy it from the run (SaveHS .true.), or run the frame again"
    matrices = read_hsx(require(folder, "*.HSX", remedy=rerun))
    structure, velocities, species_index = read_xv(require(folder, "*.XV", remedy=rerun))
    table = read_orbital_table(require(folder, "*.ORB_INDX", remedy=rerun, beside=True))
    basis = read_basis(folder)
    check_species(folder, matrices, structure, species_index, basis)
    check_orbitals(folder, matrices, table, structure, basis)
    check_bonds(folder, matrices, structure, table)
    fermi_level, energies = read_eigenvalues(require(folder, "*.EIG", remedy=rerun))
    kpoints, weights = read_kpoints(require(folder, "*.KP", remedy=rerun), structure.cell)
    if len(kpoints) != len(energies):
        raise InputError(
            f"{len(energies)} k points in EIG, {len(kpoints)} in KP", file=folder, remedy=ONE_RUN
        )
    if energies.shape[1] != len(matrices.hamiltonian):
        raise InputError(
            f"{energies.shape[1]} spin components in EIG, {len(matrices.hamiltonian)} in HSX",
            file=folder,
            remedy=ONE_RUN,
        )
    forces_file, stress_file = locate(folder, "*.FA"), locate(folder, "FORCE_STRESS")
    forces = read_forces(forces_file) if forces_file else None
    if forces is not None and len(forces) != structure.n_atoms:
        raise InputError(
            f"forces on {len(forces)} atoms, the geometry has {structure.n_atoms}",
            file=forces_file,
            remedy=ONE_RUN,
        )
    energy, stress = read_energy_stress(stress_file) if stress_file else (None, None)
    hamiltonian, overlap, hermiticity = gather_blocks(matrices, table, structure)
    used = Basis({z: basis[z] for z in sorted({int(z) for z in structure.numbers})})
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=to_canonical(hamiltonian, used, code),
        overlap=to_canonical(overlap, used, code),
        n_electrons=matrices.n_electrons,
        energy=energy,
        forces=forces,
        stress=stress,
        fermi_level=fermi_level,
        charge=round(used.valence_electrons(structure.numbers) - matrices.n_electrons, 6) + 0.0,
        velocities=velocities,
        bands=BandReference(kpoints, weights, energies),
        hermiticity_error=hermiticity,
        origin={"code": code, **read_origin(folder)},
    )
    return frame, used
