"""Paths of k points for band structures: which special points a cell offers, and k points along them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.states.special_points import SpecialPoints, points_of_crystal, points_of_lattice
from n2amd.structure import Structure

#: Other names of Gamma.
_GAMMA = ("GAMMA", "Gamma", "Γ")


@dataclass(frozen=True)
class BandPath:
    """K points along special points.

    Attributes
    ----------
    kpoints
        Fractional, (n_k, 3).
    distance
        Length along the path, (n_k,), 1/Angstrom (2 pi included). Breaks have no length.
    labels
        (index, name) of the special points; at a break two follow each other.
    lattice
        Extended Bravais symbol of the lattice that the names are of.
    """

    kpoints: NDArray[np.float64]
    distance: NDArray[np.float64]
    labels: tuple[tuple[int, str], ...]
    lattice: str

    @property
    def text(self) -> str:
        """The path in one line, e.g. "G-X-M-G|R-X"."""
        parts = [self.labels[0][1]]
        for (before, _), (here, name) in pairwise(self.labels):
            parts.append("|" if self._is_break(before, here) else "-")
            parts.append(name)
        return "".join(parts)

    def _is_break(self, before: int, here: int) -> bool:
        return here == before + 1 and bool(self.distance[here] == self.distance[before])

    def nearest_label(self, index: int) -> str:
        """Where a k point lies: its special point, or the two it is between."""
        at = [position for position, _ in self.labels]
        if index in at:
            return self.labels[at.index(index)][1]
        after = int(np.searchsorted(at, index))
        return f"between {self.labels[after - 1][1]} and {self.labels[after][1]}"


@dataclass(frozen=True)
class CellPaths:
    """What paths a cell offers.

    Attributes
    ----------
    choices
        Special points to look labels up in, the best first.
    follows
        Vectors that bands follow.
    crystal
        Symmetry of the atoms; None where it cannot be determined.
    notes
        What a user should know about the choice, a sentence each.
    """

    choices: tuple[SpecialPoints, ...]
    follows: tuple[bool, bool, bool]
    crystal: SpecialPoints | None
    notes: tuple[str, ...]


def paths_of(structure: Structure, follows: Sequence[bool] | None = None) -> CellPaths:
    """Choose the special points of a structure's own cell.

    Those by the symmetry of its atoms come first. They give way to the points of its lattice where the cell
    is not primitive, as the path of a supercell is that of its own Brillouin zone, and where the lattice has
    more symmetry than its atoms: frames of a trajectory, whose lattice is taken with the tolerance of thermal
    strain. The other choices are for labels that the first does not know.

    Parameters
    ----------
    structure
        Atoms and cell.
    follows
        Vectors that bands follow; default: the periodic ones. Of a sheet or chain only k points in its plane
        or along it are kept.

    Raises
    ------
    InputError
        If bands follow no vector, or the lattice has no path.
    """
    kept = tuple(bool(f) for f in (structure.pbc if follows is None else follows))
    if not any(kept):
        raise InputError(
            "no orbital reaches the next cell, so bands are flat and there is no path",
            field="pbc",
            remedy="take the density of states of a molecule (n2amd hamiltonian dos)",
        )
    crystal = points_of_crystal(structure)
    exact, strained = lattices = _lattices(structure.cell, kept)
    notes, own = [], crystal
    displaced = crystal is not None and _more_symmetric(crystal, exact, strained)
    if displaced:
        lattices = strained, exact
    if crystal is not None and crystal.n_primitive > 1:
        notes.append(
            f"the cell holds {crystal.n_primitive} primitive cells of {crystal.primitive.n_atoms} atoms "
            f"({crystal.space_group}): its bands are folded, and the path is that of its own lattice"
        )
        own = None
    elif crystal is not None and displaced:
        notes.append(
            f"the atoms have less symmetry ({crystal.space_group}) than the lattice, whose path is taken"
        )
        own = None
    elif crystal is not None and not crystal.is_standard:
        notes.append(
            "the cell is primitive, but its vectors are not the standard ones: k points are in the "
            "reciprocal vectors of the cell as given"
        )
    choices = tuple(_within(found, kept) for found in (own, *lattices) if found is not None)
    if not choices:
        raise InputError(
            "no standard path is found for this lattice",
            field="cell",
            remedy="give a less skewed cell of the same crystal",
        )
    return CellPaths(choices, kept, crystal, tuple(notes))  # type: ignore[arg-type]


def _lattices(
    cell: NDArray[np.float64], follows: Sequence[bool]
) -> tuple[SpecialPoints | None, SpecialPoints | None]:
    """Points of the lattice as it is, and within thermal strain."""
    found = (points_of_lattice(cell, follows, strained) for strained in (False, True))
    exact, strained = (points if points is not None and points.n_primitive == 1 else None for points in found)
    return exact, strained


def _more_symmetric(
    crystal: SpecialPoints, exact: SpecialPoints | None, strained: SpecialPoints | None
) -> bool:
    """Whether the lattice has symmetry that the atoms lack: they are displaced.

    Atoms without any symmetry may be strained, too.
    """
    own = crystal.symmetry
    return (exact is not None and own < exact.symmetry) or (
        own == 0 and strained is not None and strained.symmetry > 0
    )


def _within(found: SpecialPoints, follows: Sequence[bool]) -> SpecialPoints:
    """Keep the lines of a path that lie in the periodic plane or along the periodic line."""
    away = [axis for axis in range(3) if not follows[axis]]
    inside = {name for name, k in found.points.items() if np.abs(k[away]).max(initial=0.0) < 1e-9}
    return replace(
        found,
        points={name: k for name, k in found.points.items() if name in inside},
        path=tuple((a, b) for a, b in found.path if {a, b} <= inside),
    )


def band_path(
    structure: Structure,
    labels: Sequence[str] | None = None,
    n_points: int = 100,
    paths: CellPaths | None = None,
) -> BandPath:
    """Lay k points along special points.

    Parameters
    ----------
    structure
        Its cell defines the reciprocal vectors.
    labels
        Special points, e.g. ["G", "X", "M", "G"] or ["GXMG"]; "," or "|" makes a break. Default: the standard
        path.
    n_points
        K points along the whole path; each line has both its ends at least.
    paths
        What `paths_of` gives for the structure; default: that.

    Raises
    ------
    InputError
        If a label is not a special point of this lattice, or a path has no line.
    """
    paths = paths_of(structure) if paths is None else paths
    if labels is None:
        chosen, lines = paths.choices[0], paths.choices[0].path
    else:
        chosen, lines = _lines_of(labels, paths.choices)
    reciprocal = 2 * np.pi * np.linalg.inv(structure.cell).T
    ends = [(chosen.points[a], chosen.points[b]) for a, b in lines]
    lengths = np.array([float(np.linalg.norm((b - a) @ reciprocal)) for a, b in ends])
    if not len(lines) or lengths.min() < 1e-9:
        raise InputError(
            f"the path {'-'.join(labels or [])!r} has {'a line of no length' if len(lines) else 'no line'}",
            field="band_path",
            remedy="name at least two different special points, e.g. G-X",
        )
    return _laid_out(chosen.lattice, lines, ends, lengths, n_points)


def _laid_out(
    lattice: str,
    lines: Sequence[tuple[str, str]],
    ends: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]],
    lengths: NDArray[np.float64],
    n_points: int,
) -> BandPath:
    steps = np.maximum(1, np.rint(lengths / lengths.sum() * max(n_points - 1, 1))).astype(int)
    kpoints: list[NDArray[np.float64]] = []
    distance: list[float] = []
    labels: list[tuple[int, str]] = []
    travelled = 0.0
    for (name, to), (start, end), length, n in zip(lines, ends, lengths.tolist(), steps.tolist()):
        if not labels or labels[-1][1] != name:
            labels.append((len(kpoints), name))
            kpoints.append(start)
            distance.append(travelled)
        kpoints += [start + (end - start) * (part / n) for part in range(1, n + 1)]
        distance += [travelled + length * (part / n) for part in range(1, n + 1)]
        travelled = distance[-1]
        labels.append((len(kpoints) - 1, to))
    return BandPath(np.array(kpoints), np.array(distance), tuple(labels), lattice)


def _lines_of(
    labels: Sequence[str], choices: Sequence[SpecialPoints]
) -> tuple[SpecialPoints, tuple[tuple[str, str], ...]]:
    """Lines along the named points, and the first of the choices that knows them all."""
    unknown = ""
    for chosen in choices:
        lines: list[tuple[str, str]] = []
        unknown = ""
        for part in re.split(r"[,|]", "-".join(labels)):
            names, unknown = _names_in(part, chosen.points)
            if unknown:
                break
            lines += pairwise(names)
        if not unknown:
            return chosen, tuple(lines)
    known = "; ".join(dict.fromkeys(", ".join(sorted(choice.points)) for choice in choices))
    raise InputError(
        f"no special point {unknown!r} in the path {'-'.join(labels)!r}",
        field="band_path",
        remedy=f"choose among the special points of this lattice: {known}",
    )


def _names_in(text: str, points: Mapping[str, Any]) -> tuple[list[str], str]:
    """Special points that a part of a path names, with or without hyphens; and what names none."""
    known = {_spelled(name): name for name in points} | {_spelled(name): "G" for name in _GAMMA}
    names: list[str] = []
    for word in re.split(r"[-\s]+", text.strip(" -")):
        rest = _spelled(word)
        while rest:
            length = max((n for n in range(1, len(rest) + 1) if rest[:n] in known), default=0)
            if not length:
                return names, word
            names.append(known[rest[:length]])
            rest = rest[length:]
    return names, ""


def _spelled(name: str) -> str:
    """Without the underscore before an index: X1 for X_1."""
    return name.replace("_", "")
