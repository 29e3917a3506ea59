"""A data set in a few lines: what it holds and what its numbers range over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from ase.formula import Formula

from n2amd.config.states import CHANNELS
from n2amd.dataset.store import read_attributes, read_basis, read_frames, read_ingredients
from n2amd.frames.channels import WHOLE, electrons_of_channels, spin_of
from n2amd.frames.frame import Frame

#: Elements below this are not counted when the range of a matrix is told: eV for H, 1 for S.
NEGLIGIBLE = 1e-3


def band_gaps(frame: Frame) -> dict[str, float]:
    """Smallest gap over the k points of the code's own bands, eV, below zero where the bands overlap.

    Returns
    -------
    gaps
        One of each spin channel, "up" and "down"; of "" where there is one. Channels whose electrons do not
        fill whole bands, and bands that are not known, are left out.
    """
    if frame.bands is None:
        return {}
    per_band = 1 if frame.hamiltonian.n_spin == 4 else 2
    collinear = frame.hamiltonian.n_spin == 2
    occupied = _occupied(frame) if collinear else {"": frame.n_electrons / per_band}
    gaps = {}
    for place, (channel, count) in enumerate(occupied.items()):
        n, energies = round(count), frame.bands.energies[:, place]
        if abs(count - n) < WHOLE and 0 < n < energies.shape[1]:
            gaps[channel] = float(energies[:, n].min() - energies[:, n - 1].max())
    return gaps


def _occupied(frame: Frame) -> dict[str, float]:
    return dict(zip(CHANNELS, electrons_of_channels(frame), strict=True))


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
    energies, gaps, reach = [], dict[str, list[float]](), dict[str, tuple[float, float]]()
    electrons, charges, spins, warned = set[str](), set[str](), set[str](), list[str]()
    for frame in read_frames(path):
        formulas[Formula(frame.structure.to_ase().get_chemical_formula()).format("metal")] += 1
        electrons.add(f"{frame.n_electrons:g}")
        charges.add(f"{frame.charge:+g}")
        spins.add(_spin(frame))
        if "warnings" in frame.origin:
            warned.append(frame.name)
        if frame.energy is not None:
            energies.append(frame.energy / frame.structure.n_atoms)
        for channel, gap in band_gaps(frame).items():
            gaps.setdefault(channel, []).append(gap)
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
        "electrons": ", ".join(sorted(electrons, key=float)),
        "charge": ", ".join(sorted(charges, key=float)),
        "spin": "; ".join(sorted(spins)),
    }
    if warned:
        entries["passed with warnings"] = f"{len(warned)} frames, first {warned[0]} (n2amd dataset check)"
    for z in basis.numbers:
        shells = ", ".join(shell.label for shell in basis[z].shells)
        entries[f"basis of element {z}"] = f"{basis[z].n_orbitals} orbitals: {shells}"
    entries["ingredients of H0"] = _ingredients(path, str(attributes.get("h0", "")))
    if energies:
        entries["energy per atom"] = f"{min(energies):.4f} .. {max(energies):.4f} eV"
    for channel, found in gaps.items():
        entries[" ".join(["gap", channel, "on the k mesh"]).replace("  ", " ")] = _gap_range(found)
    for pair, (h, s) in reach.items():
        entries[f"range of {pair}"] = f"H {h:.2f} A, S {s:.2f} A (elements above {NEGLIGIBLE:g})"
    return entries


def _spin(frame: Frame) -> str:
    """How the electrons of a frame are shared out between the spins."""
    if frame.hamiltonian.n_spin == 4:
        return "spinors"
    if frame.hamiltonian.n_spin == 1:
        return "none"
    if spin_of(frame) is None:
        return "collinear, electrons of the channels not known"
    return "collinear, " + ", ".join(f"{count:g} {channel}" for channel, count in _occupied(frame).items())


def _gap_range(gaps: list[float]) -> str:
    """Range of gaps; of bands that overlap, by how much."""
    low, high = min(gaps), max(gaps)
    text = f"{low:.3f} .. {high:.3f} eV"
    return text if low > 0 else f"{text} (negative: bands overlap)"


def _ingredients(path: str | Path, note: str) -> str:
    """Say what H0 is made of, or why it is not known."""
    found = read_ingredients(path)
    if found is None:
        return f"none: {note or 'the runs do not give them'}"
    text = f"{found.functional} on {found.scheme}'s mesh of {found.mesh_cutoff:g} Ry"
    return f"{text} ({note})" if note else text
