"""The ingestion gate: what a frame must satisfy before anything is learned from it.

Every check is a figure with a limit; the figures are stored with the data set. A frame that passes gives the
DFT code's own bands from its blocks, in the canonical orbital convention, with a usable overlap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
from ase.data import atomic_masses, covalent_radii
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.dataset.spectrum import measure_spectrum
from n2amd.dataset.verdict import not_finite, verdict
from n2amd.frames.checks import BY_NAME, CHECKS, Check
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.conventions import two_centre_residual
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure
from n2amd.units import AMU_A2_FS2_IN_EV, BOHR_ANGSTROM, BOLTZMANN_EV_K

__all__ = ["BY_NAME", "CHECKS", "Check", "measure", "verdict"]

#: Overlap elements above this need a Hamiltonian block.
COVERED_OVERLAP = 1e-4
#: Atoms whose overlap block is larger than this (Frobenius norm) are neighbours.
NEIGHBOUR_OVERLAP = 0.1
#: Pairs up to this distance are compared with those beyond, Angstrom.
NEIGHBOUR_REACH = 10.0
#: They form solids without bonds: distances say nothing about units.
NOBLE_GASES = (2, 10, 18, 36, 54, 86)
#: Distances are looked at up to this multiple of the sum of covalent radii; bonded atoms are nearer.
UNBOUND = 1.5
#: How often too large lengths are that were read in another unit.
LENGTH_UNITS = (BOHR_ANGSTROM, 1 / BOHR_ANGSTROM)


def measure(frame: Frame, basis: Basis) -> dict[str, float]:
    """Measure every figure of the gate for one frame.

    Parameters
    ----------
    frame
        Frame in canonical order.
    basis
        Its basis; figures that need radial functions are measured where it has them.

    Returns
    -------
    figures
        Value per check name; absent where the frame lacks what the check needs.
    """
    broken = sum(not_finite(frame).values())
    figures = {"not_finite": float(broken)}
    if broken:
        return figures
    figures |= _distances(frame.structure)
    if "bond_ratio" not in figures and _bonded(frame):  # no bond as far as was looked
        figures["bond_ratio"] = UNBOUND
    if frame.velocities is not None:
        figures["kinetic_temperature"] = _temperature(frame)
    if frame.hermiticity_error is not None:
        figures["hermiticity_error"] = frame.hermiticity_error
    figures["overlap_norm"] = _norm_error(frame.overlap)
    figures["overlap_growth"] = _growth(frame.overlap, frame.structure)
    figures["two_centre_residual"] = two_centre_residual(frame.overlap, basis, frame.structure)
    if all(shell.radial is not None for atom in basis.atoms.values() for shell in atom.shells):
        figures |= _rebuilt_overlap(frame, basis)
    else:
        figures["uncovered_pairs"] = float(_uncovered(frame.overlap, frame.hamiltonian))
    return figures | measure_spectrum(frame, basis)


def _distances(structure: Structure) -> dict[str, float]:
    """Shortest distance, alone and over the covalent radii, and volume per atom."""
    radii = covalent_radii[structure.numbers]
    reach = max(2 * float(radii.max()) + 1.0, UNBOUND * 2 * float(radii.max()))
    present = sorted({int(z) for z in structure.numbers})
    everywhere = {(a, b): reach for a in present for b in present if a <= b}
    distances, ratios = [reach], list[float]()
    for index in find_pairs(structure, everywhere, half=True).values():
        bonds = index.select(~index.on_site)
        if len(bonds):
            lengths = np.linalg.norm(bonds.vectors(structure), axis=1)
            distances.append(float(lengths.min()))
            ratios.append(float((lengths / (radii[bonds.i] + radii[bonds.j])).min()))
    figures = {"min_distance": min(distances), "volume_per_atom": structure.volume / structure.n_atoms}
    if ratios and not set(present) <= set(NOBLE_GASES):
        figures["bond_ratio"] = min(ratios)
    return figures


def _bonded(frame: Frame) -> bool:
    """Tell whether two atoms other than noble gases overlap as neighbours do."""
    if set(frame.structure.numbers.tolist()) <= set(NOBLE_GASES):
        return False
    norms = (
        np.abs(frame.overlap.values[key][:, ~index.on_site]).max(initial=0.0)
        for key, index in frame.overlap.pairs.items()
    )
    return max(norms, default=0.0) > NEIGHBOUR_OVERLAP


def _temperature(frame: Frame) -> float:
    """Temperature of the velocities, K: 2/3 of the kinetic energy per atom over the Boltzmann constant."""
    masses = AMU_A2_FS2_IN_EV * atomic_masses[frame.structure.numbers]
    kinetic = 0.5 * (masses * (np.asarray(frame.velocities) ** 2).sum(axis=1)).mean()
    return float(kinetic / (1.5 * BOLTZMANN_EV_K))


def _norm_error(matrix: BlockMatrix) -> float:
    """Largest deviation of an orbital's norm from 1."""
    worst = 0.0
    for key, index in matrix.pairs.items():
        own = np.diagonal(matrix.values[key][:, index.on_site], axis1=-2, axis2=-1)
        worst = max(worst, float(np.abs(own - 1).max(initial=0.0)))
    return worst


def _growth(matrix: BlockMatrix, structure: Structure) -> float:
    """Largest growth of an overlap block with the distance of its two atoms, as Frobenius norms.

    The norm does not depend on the direction of the bond and falls with its length, so that atoms which are
    nearer than two neighbours overlap more than these do. A wrong lattice vector breaks that, even where the
    orbitals are all s or the bond keeps its direction: neighbours are told far apart, and the pair that is
    really near hardly overlaps or is not listed.
    """
    known = {}
    for key, index in matrix.pairs.items():
        lengths = np.linalg.norm(index.vectors(structure), axis=1)
        known[key] = (
            np.where(index.on_site, 0.0, lengths),
            np.linalg.norm(matrix.values[key][0], axis=(-2, -1)),
        )
    reach = {
        key: min(float(lengths[norms > NEIGHBOUR_OVERLAP].max(initial=0.0)) + 1e-6, NEIGHBOUR_REACH)
        for key, (lengths, norms) in known.items()
    }
    worst = 0.0
    for key, index in find_pairs(structure, _every_pair(structure, reach), half=True).items():
        if key not in known:
            continue
        off_site = index.select(~index.on_site)
        order = np.argsort(np.linalg.norm(off_site.vectors(structure), axis=1))
        norms = np.linalg.norm(_on_pairs(matrix, key, off_site.select(order))[0], axis=(-2, -1))
        lengths, all_norms = known[key]
        farther = all_norms[lengths > reach[key]].max(initial=0.0)
        beyond = np.maximum.accumulate(np.append(norms, farther)[::-1])[::-1][:-1]
        worst = max(worst, float((beyond - norms).max(initial=0.0)))
    return worst


def _every_pair(structure: Structure, ranges: Mapping[SpeciesPair, float]) -> dict[SpeciesPair, float]:
    """Ranges with zero for the species pairs of the structure that have none."""
    present = sorted({int(z) for z in structure.numbers})
    return {(a, b): ranges.get((a, b), 0.0) for a in present for b in present if a <= b}


@lru_cache(maxsize=4)
def _overlap_table(atoms: tuple[AtomBasis, ...]) -> OverlapTable:
    return OverlapTable.from_basis(Basis({atom.number: atom for atom in atoms}))


def _rebuilt_overlap(frame: Frame, basis: Basis) -> dict[str, float]:
    """Compare S with the one made of the radial functions; count the overlapping pairs H does not have.

    Where the two differ, `length_factor` is by how much the structure must grow for them to agree, if that is
    a matter of Bohr and Angstrom.
    """
    table = _overlap_table(tuple(basis[z] for z in basis.numbers))
    rebuilt = overlap(table, frame.structure)
    off_site, on_site = _overlap_errors(frame.overlap, rebuilt)
    figures = {
        "overlap_error": off_site,
        "overlap_error_on_site": on_site,
        "uncovered_pairs": float(_uncovered(rebuilt, frame.hamiltonian)),
    }
    if not BY_NAME["overlap_error"].passes(off_site):
        for factor in LENGTH_UNITS:
            cell, positions = factor * frame.structure.cell, factor * frame.structure.positions
            resized = overlap(table, replace(frame.structure, cell=cell, positions=positions))
            if BY_NAME["overlap_error"].passes(_overlap_errors(frame.overlap, resized)[0]):
                figures["length_factor"] = factor
    return figures


def _overlap_errors(found: BlockMatrix, expected: BlockMatrix) -> tuple[float, float]:
    """Largest differences of two overlaps on the pairs of either, between atoms and on them."""
    off_site, on_site = 0.0, 0.0
    for key, index in (*expected.pairs.items(), *found.pairs.items()):
        difference = _on_pairs(found, key, index) - _on_pairs(expected, key, index)
        error = np.abs(difference[0]).max(axis=(-1, -2), initial=0.0)
        on_site = max(on_site, float(error[index.on_site].max(initial=0.0)))
        off_site = max(off_site, float(error[~index.on_site].max(initial=0.0)))
    return off_site, on_site


def _uncovered(reference: BlockMatrix, hamiltonian: BlockMatrix) -> int:
    """Count the pairs of the overlap whose Hamiltonian block is absent or exactly zero."""
    count = 0
    for key, blocks in reference.values.items():
        overlapping = np.abs(blocks).max(axis=(0, 2, 3), initial=0.0) > COVERED_OVERLAP
        stored = np.abs(_on_pairs(hamiltonian, key, reference.pairs[key])).max(axis=(0, 2, 3), initial=0.0)
        count += int(np.count_nonzero(overlapping & (stored == 0)))
    return count


def _on_pairs(matrix: BlockMatrix, key: SpeciesPair, wanted: PairIndex) -> NDArray:
    """Blocks of a matrix at other pairs of a species pair, (n_spin, n_wanted, n_i, n_j); zero if absent."""
    blocks = matrix.values.get(key)
    if blocks is None or not len(matrix.pairs[key]):
        return np.zeros((matrix.n_spin, len(wanted), 1, 1))
    listed = matrix.pairs[key]
    if wanted.same_as(listed):
        return blocks
    reach = max(int(np.abs(p.shift).max(initial=0)) for p in (listed, wanted))
    n_atoms = 1 + max(int(max(p.i.max(initial=0), p.j.max(initial=0))) for p in (listed, wanted))
    have, want = (_pair_numbers(p, n_atoms, reach) for p in (listed, wanted))
    order = np.argsort(have)
    source = order[np.minimum(np.searchsorted(have, want, sorter=order), len(have) - 1)]
    return np.where((have[source] == want)[:, None, None], blocks[:, source], 0.0)


def _pair_numbers(pairs: PairIndex, n_atoms: int, reach: int) -> NDArray[np.int64]:
    """One integer for each pair (i, j, R), with all components of R within +-reach."""
    width = 2 * reach + 1
    a, b, c = pairs.shift.T + reach
    return (((pairs.i * n_atoms + pairs.j) * width + a) * width + b) * width + c
