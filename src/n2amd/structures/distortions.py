"""Structures to learn from: a crystal under random strain, with slid or bent layers and rattled atoms.

Structure n of a recipe depends on the seed and on n alone: asking for more leaves the first ones as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.config.section import parse_supercell
from n2amd.config.structures import StructureSettings
from n2amd.errors import InputError
from n2amd.structure import Structure
from n2amd.structures.ripples import rippled
from n2amd.units import AMU_A2_FS2_IN_EV, BOLTZMANN_EV_K, HBAR_EV_FS

#: Rounds in which atoms that came too close draw again before the rattle is called too strong.
ROUNDS = 200
#: Largest share of atoms that may have drawn again: beyond it the displacements are no longer Gaussian.
REDRAWN_SHARE = 0.5


@dataclass(frozen=True)
class Distorted:
    """One structure and how it was made.

    Attributes
    ----------
    structure
        The structure.
    record
        What was drawn: index, seed, temperature (K), sigma (A), redrawn (atoms), strain (3, 3), slides (A),
        of a ripple its direction, curvature (1/A) and amplitude (A).
    """

    structure: Structure
    record: dict[str, object]


def generate(structure: Structure, recipe: StructureSettings, first: int, last: int) -> Iterator[Distorted]:
    """Make structures first..last of a recipe: supercell, strain, slides, ripple, rattle, in this order.

    Parameters
    ----------
    structure
        Unit cell.
    recipe
        What to do to it.
    first, last
        Numbers of the structures, from 0, both included.

    Raises
    ------
    InputError
        If the recipe changes nothing, names layers that are not there, or brings atoms too close.
    """
    cell = structure.supercell(parse_supercell(recipe.supercell))
    rattled = recipe.sigma_A is not None or recipe.debye_temperature_K is not None
    if not (rattled or recipe.strain or recipe.slide_A or recipe.ripple_per_A) and last > 0:
        raise InputError(
            "the structures would all be the same: no rattle, no strain, no slide, no ripple",
            field="structures",
            remedy="set debye_temperature_K or sigma_A, strain, slide_A or ripple_per_A",
        )
    for index in range(first, last + 1):
        generator = np.random.Generator(np.random.Philox(key=[recipe.seed, index]))
        made, record = cell, {"index": index, "seed": recipe.seed, "supercell": recipe.supercell}
        if recipe.strain:
            strain = random_strain(recipe.strain, generator)
            made = strained(made, strain)
            record["strain"] = strain
        if recipe.slide_A:
            axis = "abc".index(recipe.slide_axis)
            made, slides = slid(made, recipe.slide_A, axis, recipe.layer_gap_A, generator)
            record["slides_A"] = slides
        if recipe.ripple_per_A:
            made, drawn = rippled(made, recipe.ripple_per_A, "abc".index(recipe.slide_axis), generator)
            record |= drawn
        if rattled:
            temperature = recipe.temperatures_K[index % len(recipe.temperatures_K)]
            if recipe.debye_temperature_K is not None:
                record["temperature_K"] = temperature
                sigma = thermal_sigma(made.numbers, temperature, recipe.debye_temperature_K)
            else:
                sigma = np.full(made.n_atoms, recipe.sigma_A)
            made, redrawn = rattle(made, sigma, generator, recipe.closest)
            record |= {"sigma_A": float(np.sqrt(np.mean(sigma**2))), "redrawn": redrawn}
        yield Distorted(made, record)


def thermal_sigma(
    numbers: NDArray[np.int64], temperature_K: float, debye_temperature_K: float
) -> NDArray[np.float64]:
    """Standard deviation of an atom's position along an axis in the Debye model, zero-point motion included.

    <u_x^2> = 3 hbar^2 / (M k theta) [1/4 + (T/theta)^2 int_0^(theta/T) x / (e^x - 1) dx]
    (B. T. M. Willis and A. W. Pryor, Thermal Vibrations in Crystallography, Cambridge 1975, chapter 4).

    Parameters
    ----------
    numbers
        Atomic numbers, (n_atoms,).
    temperature_K, debye_temperature_K
        Kelvin.

    Returns
    -------
    sigma
        (n_atoms,), Angstrom.
    """
    from ase.data import atomic_masses
    from scipy.integrate import quad

    ratio = temperature_K / debye_temperature_K
    # beyond 100 the integrand is nothing
    phonons = quad(lambda x: x / np.expm1(x) if x else 1.0, 0.0, min(1.0 / ratio, 100.0))[0]
    masses = atomic_masses[numbers] * AMU_A2_FS2_IN_EV
    scale = 3 * HBAR_EV_FS**2 / (masses * BOLTZMANN_EV_K * debye_temperature_K)
    return np.sqrt(scale * (0.25 + ratio**2 * phonons))


def rattle(
    structure: Structure, sigma: NDArray[np.float64], generator: np.random.Generator, closest: float = 0.7
) -> tuple[Structure, int]:
    """Displace every atom by a Gaussian along each axis; atoms that come too close draw again.

    Parameters
    ----------
    structure
        Where the atoms start from.
    sigma
        Standard deviation of each atom along an axis, (n_atoms,), Angstrom.
    generator
        Source of randomness.
    closest
        Shortest distance allowed, as a fraction of the shortest one of the same species pair at the start.

    Returns
    -------
    structure, redrawn
        The rattled structure, and how many atoms drew more than once.

    Raises
    ------
    InputError
        If atoms collide so often that the displacements would no longer be Gaussian.
    """
    limits = {key: closest * distance for key, distance in shortest_distances(structure).items()}
    displacements = generator.normal(size=(structure.n_atoms, 3)) * sigma[:, None]
    redrawn: set[int] = set()
    for _ in range(ROUNDS):
        moved = structure.with_positions(structure.positions + displacements)
        close = _too_close(moved, limits)
        redrawn |= set(close.tolist())
        if not len(close):
            break
        displacements[close] = generator.normal(size=(len(close), 3)) * sigma[close, None]
    if len(close) or len(redrawn) > max(2.0, REDRAWN_SHARE * structure.n_atoms):
        raise InputError(
            f"atoms collide: rattled by {sigma.max():.3f} A along each axis, {len(redrawn)} of "
            f"{structure.n_atoms} atoms come closer than {closest:g} of the shortest distance",
            field="sigma",
            remedy="use a smaller sigma, a lower temperature, or a smaller `closest`",
        )
    return moved, len(redrawn)


def shortest_distances(structure: Structure) -> dict[SpeciesPair, float]:
    """Shortest distance of every species pair (z_i <= z_j), Angstrom; periodic images count.

    Raises
    ------
    InputError
        If two atoms are at the same place.
    """
    present = sorted({int(z) for z in structure.numbers})
    wanted = {(a, b) for a in present for b in present if a <= b}
    shortest: dict[SpeciesPair, float] = {}
    reach = 2 * (structure.volume / structure.n_atoms) ** (1 / 3)
    # beyond it there is nothing more: an atom that is alone in its species and not periodic
    farthest = 2 * np.linalg.norm(structure.cell, axis=1).sum()
    while wanted - shortest.keys() and reach < farthest:
        reach *= 1.5
        for key, _, lengths in _bonds(structure, dict.fromkeys(wanted, reach)):
            if len(lengths):
                shortest[key] = float(lengths.min())
    if any(distance < 1e-3 for distance in shortest.values()):
        raise InputError(
            "two atoms are at the same place", field="structure", remedy="correct the structure file"
        )
    return shortest


def _bonds(
    structure: Structure, ranges: dict[SpeciesPair, float]
) -> Iterator[tuple[SpeciesPair, PairIndex, NDArray[np.float64]]]:
    """Pairs within the ranges without the on-site ones, and their lengths."""
    for key, index in find_pairs(structure, ranges, half=True).items():
        bonds = index.select(~index.on_site)
        yield key, bonds, np.linalg.norm(bonds.vectors(structure), axis=1)


def _too_close(structure: Structure, limits: dict[SpeciesPair, float]) -> NDArray[np.int64]:
    """Atoms with a neighbour within the limit of the species pair."""
    atoms = [end for _, index, _ in _bonds(structure, limits) for end in (index.i, index.j)]
    return np.unique(np.concatenate(atoms)).astype(np.int64)


def random_strain(largest: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Symmetric strain whose six components are uniform in [-largest, largest], (3, 3)."""
    a, b, c, d, e, f = generator.uniform(-largest, largest, size=6)
    return np.array([[a, f, e], [f, b, d], [e, d, c]])


def strained(structure: Structure, strain: NDArray[np.float64]) -> Structure:
    """Deform the cell, and the atoms with it, by 1 + strain (3, 3)."""
    deformation = np.eye(3) + strain
    return Structure(
        structure.cell @ deformation, structure.positions @ deformation, structure.numbers, structure.pbc
    )


def find_layers(structure: Structure, axis: int, gap: float) -> list[NDArray[np.int64]]:
    """Atoms of each layer, from the bottom up; an empty height of at least `gap` Angstrom parts two layers.

    The height is along the normal of the two other lattice vectors, and periodic.

    Raises
    ------
    InputError
        If there are fewer than two layers.
    """
    others = structure.cell[[k for k in range(3) if k != axis]]
    normal = np.cross(*others) / np.linalg.norm(np.cross(*others))
    period = abs(structure.cell[axis] @ normal)
    heights = (structure.positions @ normal) % period
    order = np.argsort(heights, kind="stable")
    steps = np.diff(np.append(heights[order], heights[order[0]] + period))
    borders = np.flatnonzero(steps >= gap) + 1
    if len(borders) < 2:
        raise InputError(
            f"no two layers along {'abc'[axis]}: {len(borders)} empty gap of {gap:g} A or more",
            field="slide_axis",
            remedy="choose the axis that layers are stacked along, or a smaller layer_gap_A",
        )
    # start at a border, so that no layer is cut by the periodic boundary
    rolled, starts = np.roll(order, -borders[0]), borders[1:] - borders[0]
    return list(np.split(rolled, starts))


def slid(
    structure: Structure, largest: float, axis: int, gap: float, generator: np.random.Generator
) -> tuple[Structure, NDArray[np.float64]]:
    """Slide every layer but the first in its plane, by a vector uniform in a disc of radius `largest`.

    Parameters
    ----------
    structure
        A stack of layers.
    largest
        Radius of the disc, Angstrom.
    axis, gap
        What a layer is; see `find_layers`.
    generator
        Source of randomness.

    Returns
    -------
    structure, slides
        The slid structure, and the slide of each layer, (n_layers, 3), Angstrom.
    """
    layers = find_layers(structure, axis, gap)
    first, second = (structure.cell[k] for k in range(3) if k != axis)
    e1 = first / np.linalg.norm(first)
    e2 = second - (second @ e1) * e1
    plane = np.array([e1, e2 / np.linalg.norm(e2)])
    radius = largest * np.sqrt(generator.uniform(size=len(layers)))
    angle = generator.uniform(0.0, 2 * np.pi, size=len(layers))
    slides = (radius * np.array([np.cos(angle), np.sin(angle)])).T @ plane
    slides[0] = 0.0
    positions = structure.positions.copy()
    for atoms, slide in zip(layers, slides):
        positions[atoms] += slide
    return structure.with_positions(positions), slides
