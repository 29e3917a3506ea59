"""A data set in a few lines: what it holds and what its numbers range over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from ase.formula import Formula

from n2amd.dataset.frame import Frame
from n2amd.dataset.spins import WHOLE, electrons_of_spins, occupied_bands
from n2amd.dataset.store import read_attributes, read_basis, read_frames, read_ingredients
from n2amd.errors import InputError

#: Elements below this are not counted when the range of a matrix is told: eV for H, 1 for S.
NEGLIGIBLE = 1e-3


def band_gaps(frame: Frame) -> list[float]:
    """Smallest gap of each spin over the k points of the code's own bands, eV; none of metals."""
    if frame.bands is None or frame.bands.energies.shape[1] != frame.hamiltonian.n_spin:
        return []
    try:
        counts = occupied_bands(frame)
    except InputError:  # filled in part
        return []
    gaps = []
    for n, energies in zip(counts, frame.bands.energies.swapaxes(0, 1)):
        if energies.shape[1] > n > 0 and (gap := float(energies[:, n].min() - energies[:, n - 1].max())) > 0:
            gaps.append(gap)
    return gaps


def electrons_in_words(frame: Frame) -> str:
    """Electrons of a frame, with its charge and those of each spin where there are any."""
    text = f"{frame.n_electrons:g}"
    if frame.hamiltonian.n_spin == 2:
        try:
            up, down = electrons_of_spins(frame)
            text += f" ({up:g} up, {down:g} down)"
        except InputError:
            text += " (of each spin unknown)"
    return text + (f", charge {frame.charge:g}" if abs(frame.charge) > WHOLE else "")


def matrix_ranges(frame: Frame) -> dict[str, tuple[float, float]]:
    """Largest distance with an element above `NEGLIGIBLE`, per species pair: of H and of S, Angstrom."""
    from ase.data import chemical_symbols

    ranges = {}
    for (zi, zj), index in frame.hamiltonian.pairs.items():
        distance = np.linalg.norm(index.vectors(frame.structure), axis=1)
        reach = [
            float(distance[np.abs(matrix.values[zi, zj]).max(axis=(0, 2, 3)) > NEGLIGIBLE].max(initial=0.0))
            for matrix in (frame.hamiltonian, frame.overlap)
        ]
        ranges[f"{chemical_symbols[zi]}-{chemical_symbols[zj]}"] = (reach[0], reach[1])
    return ranges


def describe(path: str | Path) -> dict[str, str]:
    """Describe a data set as ordered (name, text) entries; reads every frame once."""
    attributes, basis = read_attributes(path), read_basis(path)
    formulas: Counter[str] = Counter()
    energies, gaps, reach = [], [], dict[str, tuple[float, float]]()
    electrons, warned = set[str](), list[str]()
    for frame in read_frames(path):
        formulas[Formula(frame.structure.to_ase().get_chemical_formula()).format("metal")] += 1
        electrons.add(electrons_in_words(frame))
        if "warnings" in frame.origin:
            warned.append(frame.name)
        if frame.energy is not None:
            energies.append(frame.energy / frame.structure.n_atoms)
        gaps += band_gaps(frame)
        for pair, (h, s) in matrix_ranges(frame).items():
            before = reach.get(pair, (0.0, 0.0))
            reach[pair] = max(before[0], h), max(before[1], s)
    consecutive = (
        f"consecutive, {attributes['timestep_fs']:g} fs" if attributes["consecutive"] else "independent"
    )
    entries = {
        "code, functional": f"{attributes['code']}, {attributes['functional']}",
        "frames": f"{attributes['n_frames']} ({consecutive}): "
        + ", ".join(f"{count} of {formula}" for formula, count in formulas.items()),
        "velocities": attributes["velocities"],
        "electrons": ", ".join(sorted(electrons, key=lambda text: float(text.split()[0].rstrip(",")))),
    }
    if warned:
        entries["passed with warnings"] = f"{len(warned)} frames, first {warned[0]} (n2amd dataset check)"
    for z in basis.numbers:
        shells = ", ".join(shell.label for shell in basis[z].shells)
        entries[f"basis of element {z}"] = f"{basis[z].n_orbitals} orbitals: {shells}"
    entries["ingredients of H0"] = _ingredients(path, str(attributes.get("h0", "")))
    if energies:
        entries["energy per atom"] = f"{min(energies):.4f} .. {max(energies):.4f} eV"
    if gaps:
        entries["gap on the k mesh"] = f"{min(gaps):.3f} .. {max(gaps):.3f} eV"
    for pair, (h, s) in reach.items():
        entries[f"range of {pair}"] = f"H {h:.2f} A, S {s:.2f} A (elements above {NEGLIGIBLE:g})"
    return entries


def _ingredients(path: str | Path, note: str) -> str:
    """Say what H0 is made of, or why it is not known."""
    found = read_ingredients(path)
    if found is None:
        return f"none: {note or 'the runs do not give them'}"
    text = f"{found.functional} on {found.scheme}'s mesh of {found.mesh_cutoff:g} Ry"
    return f"{text} ({note})" if note else text
