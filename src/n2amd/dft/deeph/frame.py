"""A frame from a DeepH folder: read, cross-checked, converted to n2amd."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import scipy.linalg

from n2amd.blocks.hermitian import hermitian_halves
from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.dataset.checks import BY_NAME
from n2amd.dataset.frame import Frame
from n2amd.dft.deeph import blocks
from n2amd.dft.deeph.structure import Description, is_present, read_legacy, read_present
from n2amd.dft.files import find_frame_folders, frame_name, require
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical

#: Any of these files makes a folder the folder of a frame.
MARKS = ("hamiltonian.h5", "overlap.h5", "hamiltonians.h5", "overlaps.h5", "orbital_types.dat")
#: Cell vectors up to this length, Angstrom, get three k points where electrons are counted, longer ones one.
SHORT_EDGE = 15.0
#: Electrons given may be off those below the Fermi level, on a small mesh, by 2 and this part of them.
METAL_SLACK = 0.1


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, MARKS, "a Hamiltonian, overlap or orbital_types.dat of DeepH")


def read_frame(
    folder: str | Path, code: Code = "deeph", n_electrons: float | None = None
) -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Present folder (POSCAR, info.json, hamiltonian.h5, overlap.h5) or legacy one (lat.dat,
        site_positions.dat, element.dat, orbital_types.dat, info.json, hamiltonians.h5, overlaps.h5). Every
        file may be compressed.
    code
        "deeph".
    n_electrons
        Electrons in the cell, where the folder does not say.

    Returns
    -------
    frame, basis
        The frame, without the bands of the DFT code, energy and forces, which such folders do not have. The
        electrons are those below the Fermi level where info.json does not give `electrons_quantity`.

    Raises
    ------
    InputError
        If a file is missing or damaged, files contradict each other, or the electrons cannot be counted.
    """
    folder = Path(folder)
    present = is_present(folder)
    description = read_present(folder) if present else read_legacy(folder)
    structure, basis = description.structure, description.basis
    remedy = "convert the run again, with Hamiltonian and overlap"
    listed = []
    for what in ("hamiltonian", "overlap"):
        path = require(folder, f"{what}.h5" if present else f"{what}s.h5", remedy=remedy)
        pairs, chunks = blocks.read_present(path) if present else blocks.read_legacy(path)
        listed.append(blocks.directed_blocks(path, pairs, chunks, structure.numbers, basis))
        if what == "hamiltonian" and (listed[0].n_spin > 1) != description.spinful:
            raise InputError(
                f"{listed[0].n_spin} spin components, info.json says spinful = {description.spinful}",
                file=path,
                field="spinful",
                remedy="keep the files of one run together in a folder",
            )
    overlap = listed[1].map({key: values[:1].real for key, values in listed[1].values.items()})
    imaginary = max(float(np.abs(values.imag).max(initial=0.0)) for values in listed[1].values.values())
    if imaginary > blocks.IMAGINARY:
        raise InputError(
            f"the overlap is complex, up to {imaginary:.3g}", file=path, field="entries", remedy=remedy
        )
    (h, s), hermiticity = hermitian_halves([listed[0], overlap])
    if hermiticity > BY_NAME["hermiticity_error"].high:  # before electrons are counted with such blocks
        raise InputError(
            f"a block of H or S differs from the adjoint of its partner (-R, j, i) by {hermiticity:.3g}",
            file=folder,
            field="atom_pairs",
            remedy="convert the run again, with both (R, i, j) and (-R, j, i) of every pair",
        )
    native: Code = code if present else "openmx"
    h, s = to_canonical(h, basis, native), to_canonical(s, basis, native)
    if description.n_electrons is not None:
        n_electrons = description.n_electrons
    n_electrons = _electrons(folder, description, h, s, n_electrons)
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=h,
        overlap=s,
        n_electrons=n_electrons,
        fermi_level=description.fermi_level,
        hermiticity_error=hermiticity,
        origin={"code": code, "bands": "none"},
    )
    return frame, basis


def _electrons(
    folder: Path,
    description: Description,
    hamiltonian: BlockMatrix,
    overlap: BlockMatrix,
    given: float | None,
) -> float:
    """Electrons of the cell: the number given, which must suit the Fermi level, or those below that."""
    fermi, room = description.fermi_level, 2 * description.n_orbitals
    remedy = 'give the number of electrons in the cell: --electrons, or "electrons_quantity" in info.json'
    if given is None and not fermi:  # converters of molecules write 0.0 for a Fermi level they do not have
        raise InputError(
            f"the number of electrons is not given, nor a Fermi level ({fermi}) to count them by",
            file=folder,
            field="fermi_energy_eV",
            remedy=remedy,
        )
    if fermi and not np.isfinite(fermi):
        raise InputError(f"{fermi} is no energy", file=folder, field="fermi_energy_eV", remedy=remedy)
    counts = _count_electrons(folder, description, hamiltonian, overlap) if fermi else range(1, room)
    least, most = min(counts), max(counts)
    if given is None and least < most:
        raise InputError(
            f"{least} to {most} electrons below the Fermi level: a metal, or not its level",
            file=folder,
            field="fermi_energy_eV",
            remedy=remedy,
        )
    n_electrons = float(least) if given is None else given
    slack = 2 + METAL_SLACK * n_electrons
    if not 0 < n_electrons < room or not least - slack <= n_electrons <= most + slack:
        counted = f"{least}" if least == most else f"{least} to {most}"
        below = f", {counted} below the Fermi level {fermi:g} eV" if fermi else ""
        raise InputError(
            f"{n_electrons:g} electrons in {description.n_orbitals} orbitals{below}",
            file=folder,
            field="electrons",
            remedy="check the number of electrons, and the units of the Fermi level and of H (eV)",
        )
    return n_electrons


def _count_electrons(
    folder: Path, description: Description, hamiltonian: BlockMatrix, overlap: BlockMatrix
) -> set[int]:
    """Count the electrons below the Fermi level at every k point of a small mesh."""
    structure, fermi = description.structure, description.fermi_level
    offsets = description.basis.orbital_offsets(structure.numbers)
    edges = np.linalg.norm(structure.cell, axis=1)
    mesh = list(product(*([0, 1 / 3, -1 / 3] if edge < SHORT_EDGE else [0] for edge in edges)))
    counts = set()
    for k in mesh[: len(mesh) // 2 + 1]:  # the others are partners under time reversal
        s = fold(overlap, offsets, np.array(k))
        if hamiltonian.n_spin == 4:
            parts = [fold(hamiltonian, offsets, np.array(k), spin) for spin in range(4)]
            h, s = np.block([parts[:2], parts[2:]]), np.kron(np.eye(2), s)
            occupied = int((_energies(folder, h, s) < fermi).sum())
        else:
            spins = range(hamiltonian.n_spin)
            bands = [_energies(folder, fold(hamiltonian, offsets, np.array(k), spin), s) for spin in spins]
            occupied = sum(int((band < fermi).sum()) for band in bands) * (2 // len(bands))
        counts.add(occupied)
    return counts


def _energies(folder: Path, h: np.ndarray, s: np.ndarray) -> np.ndarray:
    try:
        return scipy.linalg.eigvalsh(h, s)
    except np.linalg.LinAlgError:
        raise InputError(
            "the overlap is not positive definite",
            file=folder,
            field="overlap",
            remedy="convert the run again",
        ) from None
