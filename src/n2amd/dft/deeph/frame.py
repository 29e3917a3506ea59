"""A frame from a DeepH folder: read, cross-checked, converted to n2amd."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from n2amd.blocks.hermitian import hermitian_halves
from n2amd.dft.deeph import blocks
from n2amd.dft.deeph.electrons import count_electrons
from n2amd.dft.deeph.structure import is_present, read_legacy, read_present
from n2amd.dft.files import find_frame_folders, frame_name, require
from n2amd.errors import InputError
from n2amd.frames.checks import BY_NAME
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code, to_canonical
from n2amd.structure import Structure

#: Any of these files makes a folder the folder of a frame.
MARKS = ("hamiltonian.h5", "overlap.h5", "hamiltonians.h5", "overlaps.h5", "orbital_types.dat")


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
        Electrons in the cell, where the folder does not say; where it does, it must say the same.

    Returns
    -------
    frame, basis
        The frame, without the bands of the DFT code, energy and forces, which such folders do not have. The
        electrons are those of `occupation` in info.json, or those below the Fermi level.

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
    n_electrons = count_electrons(folder, description, h, s, n_electrons)
    frame = Frame(
        name=frame_name(folder),
        structure=structure,
        hamiltonian=h,
        overlap=s,
        n_electrons=n_electrons,
        fermi_level=description.fermi_level or None,  # 0.0 stands for none; see `count_electrons`
        hermiticity_error=hermiticity,
        origin={"code": code, "bands": "none"},
    )
    return frame, basis


def read_geometry(folder: str | Path) -> Structure:
    """Read the structure of a folder without its matrices.

    Raises
    ------
    InputError
        If its files are missing or damaged.
    """
    folder = Path(folder)
    return (read_present(folder) if is_present(folder) else read_legacy(folder)).structure
