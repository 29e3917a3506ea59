"""A frame from the folder of a CP2K single point: read, cross-checked, converted to n2amd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.cp2k.bands import read_bands
from n2amd.dft.cp2k.csr import find_matrices, read_matrix
from n2amd.dft.cp2k.inputs import (
    Section,
    read_cell,
    read_coordinates,
    read_periodicity,
    read_sections,
)
from n2amd.dft.cp2k.log import Log, read_log
from n2amd.dft.cp2k.radial import add_radial_functions
from n2amd.dft.cp2k.zeroth_order import ingredients_of_run
from n2amd.dft.files import DECOMPRESSORS, find_frame_folders, frame_name, locate, read_text
from n2amd.dft.folded import Wording, check_one_image, unfold
from n2amd.dft.orbital_matrices import gather_blocks
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical
from n2amd.structure import Structure

#: Any of these files makes a folder the folder of a frame.
MARKS = ("*-KS_SPIN_1*.csr", "*-S_SPIN_1*.csr", "*.bs")
#: Largest difference between the input and the log: the cell is printed with 3 decimals, atoms with 6.
CELL_TOLERANCE, POSITION_TOLERANCE = 6e-4, 2e-6
#: CP2K counts R between atoms wrapped into fractional [-1/2, 1/2).
WRAP_ORIGIN = -0.5
ONE_RUN = "keep the files of one run together"
FOLDED = Wording(
    cause="no &KPOINTS",
    field="KPOINTS",
    again="run the frame again with &KPOINTS (and REAL_SPACE T)",
    basis_file="basis file",
    basis_field="BASIS_SET_FILE_NAME",
    basis_remedy="copy the basis file of the run beside it, or set CP2K_DATA_DIR",
)


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, MARKS, "a CSR file of H or S, or a band file of CP2K")


def read_frame(folder: str | Path, code: Code = "cp2k") -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Folder with the main output (*.out), the input (*.inp) or restart file, the CSR files of H and S, and
        where it exists the band file (*.bs, or what the input says). Every file may be compressed. A run
        without &KPOINTS leaves sums over images, which are taken apart where the cell is large enough.
    code
        "cp2k".

    Returns
    -------
    frame, basis
        The frame and its shells, with radial functions where the basis file of the run is found.

    Raises
    ------
    InputError
        If a file is missing or damaged, or two files contradict each other.
    """
    folder = Path(folder)
    log = read_log(_find_log(folder))
    root, structure = _geometry(folder, log)
    basis, missing = add_radial_functions(folder, root, Basis(log.atoms))
    n_orbitals = int(basis.orbital_counts(structure.numbers).sum())
    files = find_matrices(folder)
    spins = sorted(spin for what, spin in files if what == "KS")
    if spins != [*range(1, log.n_spin + 1)]:
        raise InputError(
            f"CSR files of spins {spins}, the log has {log.n_spin} spin states", file=folder, remedy=ONE_RUN
        )
    hamiltonian = [
        read_matrix(files["KS", spin], log.images["KS"], n_orbitals, "KS").scaled(log.hartree)
        for spin in spins
    ]
    overlap = read_matrix(files["S", 1], log.images["S"], n_orbitals, "S")
    origin: float | None = WRAP_ORIGIN
    if 0 in files["S", 1]:
        images, origin = check_one_image(folder, structure, basis, FOLDED), None
        *hamiltonian, overlap = (
            unfold(part, images, basis, structure.numbers) for part in (*hamiltonian, overlap)
        )
    h, s, hermiticity = gather_blocks(hamiltonian, overlap, structure, basis, origin)
    ingredients, note = ingredients_of_run(folder, root, structure, log.setup, log.hartree)
    if missing and ingredients is not None:
        ingredients, note = None, f"the radial functions are {missing}"
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=to_canonical(h, basis, code),
        overlap=to_canonical(s, basis, code),
        n_electrons=log.n_electrons,
        spin=log.spin,
        energy=log.energy,
        forces=log.forces,
        stress=log.stress,
        fermi_level=log.fermi_level,
        charge=log.charge,
        bands=_bands(folder, root, log),
        hermiticity_error=hermiticity,
        origin={
            "code": code,
            **log.origin,
            **({"radial_functions": missing} if missing else {}),
            **({"h0": note} if note else {}),
        },
        ingredients=ingredients,
    )
    return frame, basis


def _find_log(folder: Path) -> Path:
    """Find the one main output of CP2K, *.out or *.log, beside those of other programs."""
    ends = [f"{name}{end}" for name in ("*.out", "*.log") for end in ("", *DECOMPRESSORS)]
    files = sorted({path for end in ends for path in folder.glob(end)})
    logs = [path for path in files if len(files) == 1 or " CP2K| " in read_text(path)]
    if len(logs) != 1:
        raise InputError(
            f"{len(logs)} main outputs: {', '.join(path.name for path in logs)}"
            if logs
            else "no main output *.out or *.log (plain or compressed)",
            file=folder,
            field="log",
            remedy="keep the one of the run that wrote the matrices (cp2k -o NAME.out)",
        )
    return logs[0]


def _geometry(folder: Path, log: Log) -> tuple[Section, Structure]:
    """Cell and positions with the digits of the input, checked against the log."""
    path = locate(folder, "*.inp") or locate(folder, "*-1.restart")
    if path is None:
        raise InputError(
            "neither an input *.inp nor *-1.restart: the log has the cell with 3 decimals only",
            file=folder,
            field="CELL",
            remedy="copy the input of the run",
        )
    root = read_sections(path)
    cell = read_cell(path, root)
    _check(path, "CELL", cell, log.cell, CELL_TOLERANCE)
    positions = read_coordinates(path, root, cell)
    if positions is None:
        positions = log.positions
    _check(path, "COORD", positions, log.positions, POSITION_TOLERANCE)
    pbc = read_periodicity(path, root) if log.pbc is None else log.pbc
    return root, Structure(cell, positions, log.numbers, pbc)


def _check(
    path: Path, field: str, ours: NDArray[np.float64], log: NDArray[np.float64], tolerance: float
) -> None:
    if ours.shape != log.shape:
        problem = f"{len(ours)} atoms, the log has {len(log)}"
    elif (difference := float(np.abs(ours - log).max())) > tolerance:
        problem = f"differs from the log by {difference:.2g} A"
    else:
        return
    raise InputError(problem, file=path, field=field, remedy=ONE_RUN)


def _bands(folder: Path, root: Section, log: Log) -> BandReference | None:
    section = root.find("FORCE_EVAL", "DFT", "PRINT", "BAND_STRUCTURE")
    named = section.value("FILE_NAME") if section else None
    path = locate(folder, named) if named else None
    path = path or locate(folder, "*.bs")
    if path is None and log.eigenvalues is not None and not root.find("FORCE_EVAL", "DFT", "KPOINTS"):
        return BandReference(np.zeros((1, 3)), np.ones(1), log.eigenvalues[None])
    return read_bands(path, log.n_spin) if path else None
