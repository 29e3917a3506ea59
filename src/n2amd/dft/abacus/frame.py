"""A frame from the folder of an ABACUS single point: read, cross-checked, converted to n2amd."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from n2amd.dft.abacus.bands import read_eigenvalues
from n2amd.dft.abacus.csr import RealSpaceMatrix, read_matrix
from n2amd.dft.abacus.log import RYDBERG_EV, Log, read_log
from n2amd.dft.abacus.orbital_file import read_orbitals, shell_label
from n2amd.dft.abacus.output import (
    MARKS,
    ONE_RUN,
    find_eigenvalues,
    find_log,
    find_matrices,
    find_output_folder,
)
from n2amd.dft.abacus.stru import Stru, read_stru
from n2amd.dft.files import find_frame_folders, frame_name, locate, read_text, require
from n2amd.dft.folded import Wording, check_one_image, unfold
from n2amd.dft.orbital_matrices import Elements, gather_blocks, split_spinor
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.orbitals.conventions import Code, to_canonical

#: Largest difference between STRU and the log, A; a length is also allowed what 6 digits leave of it.
CELL_TOLERANCE, POSITION_TOLERANCE, SIX_DIGITS = 1e-4, 1e-5, 1e-5
#: ABACUS counts R between atoms wrapped into fractional [0, 1).
WRAP_ORIGIN = 0.0
FOLDED = Wording(
    cause="gamma_only 1",
    field="gamma_only",
    again="run the frame again with gamma_only 0 (and Gamma alone in KPT)",
    basis_file="orbital files",
    basis_field="NUMERICAL_ORBITAL",
    basis_remedy="copy the .orb files that STRU names beside it, or run the frame again with gamma_only 0",
)


def find_frames(paths: Sequence[str | Path]) -> list[Path]:
    """List the frame folders under the paths; see `find_frame_folders`."""
    return find_frame_folders(paths, MARKS, "OUT.* with a log, matrices or eigenvalues of ABACUS")


def read_frame(folder: str | Path, code: Code = "abacus") -> tuple[Frame, Basis]:
    """Read one frame.

    Parameters
    ----------
    folder
        Run folder with STRU and one OUT.SUFFIX, in which running_scf.log, the matrices of out_mat_hs2 and the
        eigenvalues lie; the orbital files that STRU names give the radial functions, where they are found
        (here, in the folder above, or where STRU and orbital_dir point). Every file may be compressed.
    code
        "abacus".

    Returns
    -------
    frame, basis
        The frame and the basis it was computed in.

    Raises
    ------
    InputError
        If a file is missing or damaged, or two files contradict each other.
    """
    folder = Path(folder)
    out = find_output_folder(folder)
    settings = _settings(folder, out)
    log = read_log(find_log(out))
    stru_path = require(folder, settings.get("stru_file", "STRU"), remedy="copy STRU of the run")
    stru = read_stru(stru_path, settings.get("latname", "none"))
    _check_geometry(stru_path, stru, log)
    basis = _basis(folder, stru, log, settings.get("orbital_dir", ""))
    n_orbitals = int(basis.orbital_counts(stru.structure.numbers).sum()) * (2 if log.n_spin == 4 else 1)
    paths, overlap_path = find_matrices(out, log.n_spin)
    matrices = [read_matrix(path, n_orbitals) for path in (*paths, overlap_path)]
    *hamiltonian, overlap = (matrix.elements for matrix in matrices)
    hamiltonian = [part.scaled(RYDBERG_EV) for part in hamiltonian]
    if log.n_spin == 4:
        hamiltonian, overlap = split_spinor(hamiltonian[0]), _spinless(split_spinor(overlap)[0])
    origin: float | None = WRAP_ORIGIN
    if wording := _folded(matrices, settings):
        images, origin = check_one_image(folder, stru.structure, basis, wording), None
        *hamiltonian, overlap = (
            unfold(part, images, basis, stru.structure.numbers) for part in (*hamiltonian, overlap)
        )
    h, s, hermiticity = gather_blocks(hamiltonian, overlap, stru.structure, basis, origin)
    valence = basis.valence_electrons(stru.structure.numbers)
    n_electrons = _electrons(out, log, settings, valence)
    frame = Frame(
        name=frame_name(folder),
        structure=stru.structure,
        hamiltonian=to_canonical(h, basis, code),
        overlap=to_canonical(s, basis, code),
        n_electrons=n_electrons,
        energy=log.energy,
        forces=log.forces,
        stress=log.stress,
        fermi_level=log.fermi_level,
        charge=round(valence - n_electrons, 6) + 0.0,
        bands=_bands(out, log),
        hermiticity_error=hermiticity,
        origin={"code": code, **log.origin, **_mesh(folder)},
    )
    return frame, basis


def _settings(folder: Path, out: Path) -> dict[str, str]:
    """Read the keywords of INPUT, from the echo of ABACUS where there is one."""
    path = locate(out, "INPUT") or locate(folder, "INPUT")
    lines = read_text(path).splitlines() if path else []
    words = [re.split(r"#|//", line)[0].split() for line in lines]
    return {entry[0].lower(): entry[1] for entry in words if len(entry) > 1}


def _folded(matrices: Sequence[RealSpaceMatrix], settings: dict[str, str]) -> Wording | None:
    """Say why the matrices are sums over all R; None where they are not.

    The files say so, or INPUT, or there is R = 0 alone and no INPUT: where the atoms have no neighbours
    beyond the cell, both are the same.
    """
    if not all(matrix.one_image for matrix in matrices):
        return None
    stated = settings.get("gamma_only", "0").lower() in ("1", "t", "true", ".true.")
    if stated or any(matrix.folded for matrix in matrices):
        return FOLDED
    return None if settings else replace(FOLDED, cause="R = (0, 0, 0) alone, as gamma_only 1 leaves it")


def _electrons(out: Path, log: Log, settings: dict[str, str], valence: float) -> float:
    """Electrons in the cell: what the log says, else `nelec` of INPUT.

    Where `nelec_delta` is not zero, the log says what is left after it, which differs from the sum over the
    atoms unless `nelec` makes up for it.
    """
    given, change = (_number(settings, key) for key in ("nelec", "nelec_delta"))
    if change and (log.n_electrons is None or (not given and abs(log.n_electrons - valence) < 1e-6)):
        found = "no number of electrons" if log.n_electrons is None else f"{log.n_electrons:g} electrons"
        raise InputError(
            f"nelec_delta is {change:g} in INPUT, the log has {found} after it, the atoms have {valence:g}",
            file=out,
            field="nelec_delta",
            remedy=ONE_RUN,
        )
    if log.n_electrons is not None:
        return log.n_electrons
    if given <= 0:
        raise InputError(
            f"the log has no number of electrons, and nelec is {settings.get('nelec', 'not set')} in INPUT",
            file=out,
            field="nelec",
            remedy="copy the whole running_scf.log and the INPUT of the run",
        )
    return given


def _number(settings: dict[str, str], key: str) -> float:
    """Value of a keyword of INPUT; 0, the default, where it is not set or no number."""
    try:
        return float(settings.get(key, "0"))
    except ValueError:
        return 0.0


def _check_geometry(path: Path, stru: Stru, log: Log) -> None:
    """Compare STRU with the atoms that ABACUS read; the matrices are in the order of the log."""
    ours = [re.sub(r"\d+$", "", label) for label in stru.labels]
    theirs = [re.sub(r"\d+$", "", label) for label in log.labels]
    structure = stru.structure
    positions = log.coordinates @ structure.cell if log.direct else log.coordinates
    cell_tolerance = max(CELL_TOLERANCE, SIX_DIGITS * float(np.abs(log.cell).max()))
    tolerance = POSITION_TOLERANCE + (0 if log.direct else SIX_DIGITS * float(np.abs(positions).max()))
    if ours != theirs:
        problem = f"atoms {' '.join(ours)}, the log has {' '.join(theirs)}"
    elif (difference := float(np.abs(structure.cell - log.cell).max())) > cell_tolerance:
        problem = f"the cell differs from the log by {difference:.2g} A"
    elif (difference := float(np.abs(structure.positions - positions).max())) > tolerance:
        problem = f"the positions differ from the log by {difference:.2g} A: another geometry or order"
    else:
        return
    raise InputError(problem, file=path, field="ATOMIC_POSITIONS", remedy=ONE_RUN)


def _basis(folder: Path, stru: Stru, log: Log, orbital_dir: str) -> Basis:
    atoms: dict[int, AtomBasis] = {}
    for label in dict.fromkeys(stru.labels):
        zetas = log.zetas.get(label)
        name = stru.orbital_files.get(label)
        path = _find_orbitals(folder, name, orbital_dir) if name else None
        if path:
            shells = read_orbitals(path)
            counts = tuple(sum(s.l == l for s in shells) for l in range(max(s.l for s in shells) + 1))
            if zetas is not None and counts != zetas:
                raise InputError(
                    f"{counts} radial functions for l = 0, 1, ..., the log has {zetas} for {label}",
                    file=path,
                    field="basis",
                    remedy="use the orbital files of this run",
                )
        elif zetas:
            shells = tuple(
                Shell(l, shell_label(l, zeta + 1)) for l, count in enumerate(zetas) for zeta in range(count)
            )
        else:
            raise InputError(
                f"the log has no number of zeta for {label}, and its orbital file {name} is not found",
                file=folder,
                field="basis",
                remedy="copy the orbital file into the folder",
            )
        atom = AtomBasis(stru.elements[label], shells, log.valence.get(label, 0.0))
        if atoms.setdefault(atom.number, atom) != atom:
            raise InputError(
                f"label {label} has other orbitals or electrons than another label of element {atom.number}",
                file=folder,
                field="basis",
                remedy="use one basis for each element",
            )
    return Basis(atoms)


def _find_orbitals(folder: Path, name: str, orbital_dir: str) -> Path | None:
    """Find an orbital file by its name beside the frame, else where the run read it."""
    beside = locate(folder, Path(name).name, beside=True)
    elsewhere = (folder / name, folder / orbital_dir / name)
    return beside or next((path for path in elsewhere if path.is_file()), None)


def _spinless(overlap: Elements) -> Elements:
    return Elements(overlap.row, overlap.column, overlap.shift, np.real(overlap.values))


def _bands(out: Path, log: Log) -> BandReference | None:
    path = find_eigenvalues(out)
    if path is None:
        return None
    energies = read_eigenvalues(path, log.n_spin)
    if len(energies) != len(log.kpoints):
        raise InputError(
            f"{len(energies)} k points, the log has {len(log.kpoints)}", file=path, remedy=ONE_RUN
        )
    return BandReference(log.kpoints, log.weights, energies)


def _mesh(folder: Path) -> dict[str, str]:
    path = locate(folder, "KPT")
    lines = [line.split() for line in read_text(path).splitlines() if line.strip()] if path else []
    is_mesh = len(lines) > 3 and lines[1][0] == "0" and lines[2][0].lower()[0] in "gm"
    return {"k_mesh": " ".join(lines[3][:3])} if is_mesh else {}
