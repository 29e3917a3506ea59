"""How many electrons the frame of a DeepH folder has: told, given, or counted below the Fermi level."""

from __future__ import annotations

from collections.abc import Collection
from itertools import product
from pathlib import Path

import numpy as np
import scipy.linalg

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.dft.deeph.structure import Description
from n2amd.errors import InputError

#: Cell vectors up to this length, Angstrom, get three k points where electrons are counted, longer ones one.
SHORT_EDGE = 15.0
#: A Fermi level this far from any band (eV, four times kT at room temperature) lies in a gap: every band is
#: full or empty. In public folders, insulators have 0.28 or more, open-shell atoms 0.018 or less.
IN_A_GAP = 0.1
#: Elsewhere electrons given may be off those counted, on a small mesh, by 2 and this part of them.
METAL_SLACK = 0.1


def count_electrons(
    folder: Path,
    description: Description,
    hamiltonian: BlockMatrix,
    overlap: BlockMatrix,
    given: float | None,
) -> float:
    """Electrons of the cell: those of info.json, those given, or those below the Fermi level.

    Wherever there are two of the three they must agree.

    Parameters
    ----------
    folder, description
        The frame.
    hamiltonian, overlap
        Its matrices, eV, in any orbital order.
    given
        Electrons that the user says there are.

    Raises
    ------
    InputError
        If there are two numbers, or none.
    """
    fermi, room = description.fermi_level, 2 * description.n_orbitals
    remedy = 'give the number of electrons in the cell: --electrons, or "occupation" in info.json'
    told = description.n_electrons
    if told is not None and given is not None and abs(told - given) > 1e-6:
        raise InputError(
            f"info.json says {told:g} electrons, {given:g} are given (--electrons)",
            file=folder,
            field="occupation",
            remedy="leave out the option, or correct the file",
        )
    given = given if told is None else told
    if given is None and not fermi:  # converters of molecules write 0.0 for a Fermi level they do not have
        raise InputError(
            f"the number of electrons is not given, nor a Fermi level ({fermi}) to count them by",
            file=folder,
            field="fermi_energy_eV",
            remedy=remedy,
        )
    if not fermi:
        return _within(folder, description, given or 0.0, range(1, room), 0.0)
    if not np.isfinite(fermi):
        raise InputError(f"{fermi} is no energy", file=folder, field="fermi_energy_eV", remedy=remedy)
    counts, nearest = _below_fermi(folder, description, hamiltonian, overlap, fermi)
    least, most = min(counts), max(counts)
    if given is None and (least < most or nearest <= IN_A_GAP):
        partly = f"a band {nearest:.2g} eV from it may be partly filled"
        reason = partly if least == most else "a metal, or not its level"
        raise InputError(
            f"{_or_range(counts)} electrons below the Fermi level {fermi:g} eV: {reason}",
            file=folder,
            field="fermi_energy_eV",
            remedy=remedy,
        )
    return _within(folder, description, float(least) if given is None else given, counts, nearest)


def _within(
    folder: Path, description: Description, n_electrons: float, counts: Collection[int], nearest: float
) -> float:
    """Return a number of electrons that suits the orbitals and the Fermi level; refuse another.

    Parameters
    ----------
    folder, description
        The frame.
    n_electrons
        The number.
    counts, nearest
        Electrons below the Fermi level at the k points of a small mesh, and the distance of the nearest band
        from it, eV.
    """
    least, most = min(counts), max(counts)
    in_a_gap = least == most and nearest > IN_A_GAP
    slack = 1 - 1e-9 if in_a_gap else 2 + METAL_SLACK * n_electrons
    if 0 < n_electrons < 2 * description.n_orbitals and least - slack <= n_electrons <= most + slack:
        return n_electrons
    fermi = description.fermi_level
    below = f", {_or_range(counts)} below the Fermi level {fermi:g} eV" if fermi else ""
    gap = f", which is {nearest:.2g} eV from any band" if fermi and in_a_gap else ""
    raise InputError(
        f"{n_electrons:g} electrons in {description.n_orbitals} orbitals{below}{gap}",
        file=folder,
        field="electrons",
        remedy='check the number of electrons ("occupation" in info.json, --electrons), and the units of the '
        "Fermi level and of H (eV)",
    )


def _or_range(counts: Collection[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _below_fermi(
    folder: Path, description: Description, hamiltonian: BlockMatrix, overlap: BlockMatrix, fermi: float
) -> tuple[set[int], float]:
    """Count the electrons below the Fermi level at every k point of a small mesh.

    Returns
    -------
    counts, nearest
        The numbers found, and the distance of the nearest band from the Fermi level, eV.
    """
    structure = description.structure
    offsets = description.basis.orbital_offsets(structure.numbers)
    edges = np.linalg.norm(structure.cell, axis=1)
    mesh = list(product(*([0, 1 / 3, -1 / 3] if edge < SHORT_EDGE else [0] for edge in edges)))
    counts, nearest = set[int](), np.inf
    for k in mesh[: len(mesh) // 2 + 1]:  # the others are partners under time reversal
        s = fold(overlap, offsets, np.array(k))
        if hamiltonian.n_spin == 4:
            parts = [fold(hamiltonian, offsets, np.array(k), spin) for spin in range(4)]
            bands = [_energies(folder, np.block([parts[:2], parts[2:]]), np.kron(np.eye(2), s))]
        else:
            spins = range(hamiltonian.n_spin)
            bands = [_energies(folder, fold(hamiltonian, offsets, np.array(k), spin), s) for spin in spins]
        each = 2 if hamiltonian.n_spin == 1 else 1
        counts.add(each * sum(int((band < fermi).sum()) for band in bands))
        nearest = min(nearest, *(float(np.abs(band - fermi).min()) for band in bands))
    return counts, nearest


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
