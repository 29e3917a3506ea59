"""What H0 needs of the run, once for a data set: all its frames must say the same."""

from __future__ import annotations

from functools import lru_cache

import h5py
import numpy as np

from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import AtomIngredients, Ingredients
from n2amd.orbitals.basis import Radial

#: Entry of the data set file, JSON of `Ingredients`; and the attribute that says why there is none.
ENTRY, REASON = "ingredients", "h0"
#: Largest difference of two radial functions, energies (eV) or mesh cutoffs (Ry) of one set.
TOLERANCE = 1e-6


class IngredientsOfSet:
    """Collects the ingredients of the frames of a set."""

    def __init__(self) -> None:
        self._found: Ingredients | None = None
        self._reason: str | None = None
        self._note = ""

    def add(self, frame: Frame) -> None:
        """Take those of one frame.

        Raises
        ------
        InputError
            If they differ from those of the frames before.
        """
        self._note = frame.origin.get(REASON, "")
        if frame.ingredients is None:
            self._reason = self._reason or f"{frame.name}: {self._note or 'the run does not give them'}"
        elif self._found is None:
            self._found = frame.ingredients
        elif difference := ingredients_difference(self._found, frame.ingredients):
            raise InputError(
                f"another run than in the frames before: {difference}",
                frame=frame.name,
                field="ingredients",
                remedy="ingest runs with one mesh cutoff, functional and pseudopotential into one data set",
            )
        else:
            self._found = _joined(self._found, frame.ingredients)

    def write(self, file: h5py.File) -> None:
        """Write them, or why there are none: every frame must have them, else it may be of another run."""
        if self._found is not None and self._reason is None:
            file[ENTRY] = self._found.to_json()
            if self._note:
                file.attrs[REASON] = self._note
        elif self._reason is not None:
            file.attrs[REASON] = f"no ingredients of H0 ({self._reason})"


def stored_ingredients(file: h5py.File) -> Ingredients | None:
    """Return the ingredients in an open data set file; None where it has none."""
    return _parsed(file[ENTRY].asstr()[()]) if ENTRY in file else None


@lru_cache(maxsize=4)
def _parsed(text: str) -> Ingredients:
    """Read the document once, however often frames of the set are asked for."""
    return Ingredients.from_json(text)


def ingredients_difference(ours: Ingredients, theirs: Ingredients) -> str | None:
    """Say how two ingredients differ, None where they are the same in all elements that both have."""
    if ours.scheme != theirs.scheme or ours.functional != theirs.functional:
        labels = [f"{found.functional} by {found.scheme}" for found in (theirs, ours)]
        return f"the functional is {labels[0]}, not {labels[1]}"
    if abs(ours.mesh_cutoff - theirs.mesh_cutoff) > TOLERANCE:
        return f"the mesh cutoff is {theirs.mesh_cutoff:g} Ry, not {ours.mesh_cutoff:g} Ry"
    if (ours.rydberg, ours.bohr) != (theirs.rydberg, theirs.bohr):
        return "it has another Rydberg or Bohr"
    for z in sorted(ours.atoms.keys() & theirs.atoms.keys()):
        if difference := _atom_difference(ours.atoms[z], theirs.atoms[z]):
            return f"{difference} of element {z} is another"
    return None


def _atom_difference(ours: AtomIngredients, theirs: AtomIngredients) -> str | None:
    labels = [[p.shell.label for p in atom.projectors] for atom in (ours, theirs)]
    first, second = (np.array([p.energy for p in atom.projectors]) for atom in (ours, theirs))
    if labels[0] != labels[1] or not np.allclose(first, second, rtol=0, atol=TOLERANCE):
        return "the non-local pseudopotential"
    if abs(ours.zero - theirs.zero) > TOLERANCE * max(1.0, abs(ours.zero)):
        return "the zero of the potential"
    pairs: list[tuple[str, Radial | None, Radial | None]] = [
        (f"projector {a.shell.label}", a.shell.radial, b.shell.radial)
        for a, b in zip(ours.projectors, theirs.projectors)
    ]
    pairs += [
        ("the neutral-atom potential", ours.neutral_potential, theirs.neutral_potential),
        ("the atomic density", ours.density, theirs.density),
        ("the partial core", ours.core_density, theirs.core_density),
    ]
    return next((what for what, a, b in pairs if not _same_function(a, b)), None)


def _same_function(a: Radial | None, b: Radial | None) -> bool:
    if a is None or b is None:
        return a is b
    scale = TOLERANCE * max(1.0, float(np.abs(a.values).max()))
    same_grid = a.values.shape == b.values.shape and abs(a.cutoff - b.cutoff) <= TOLERANCE
    return same_grid and np.allclose(a.values, b.values, rtol=0, atol=scale)


def _joined(ours: Ingredients, theirs: Ingredients) -> Ingredients:
    """Ingredients of the elements of both."""
    if theirs.atoms.keys() <= ours.atoms.keys():
        return ours
    return Ingredients(
        ours.scheme,
        ours.functional,
        ours.mesh_cutoff,
        ours.rydberg,
        ours.bohr,
        {**theirs.atoms, **ours.atoms},
    )
