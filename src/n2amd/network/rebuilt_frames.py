"""Frames kept as densities, made frames with H and S again: H0 of the density, levels on the k mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.smearing import Smearing
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix
from n2amd.blocks.pairs import find_pairs
from n2amd.dataset.gate import measure
from n2amd.dataset.spectrum import levels_on_mesh
from n2amd.dataset.store import create_dataset, read_attributes, read_basis, read_frames, read_ingredients
from n2amd.dataset.verdict import verdict
from n2amd.errors import InputError, within
from n2amd.frames.checks import BY_NAME
from n2amd.frames.frame import BandReference, Frame
from n2amd.network.density_data import without_means
from n2amd.network.stored_densities import StoredDensity, read_densities, require_one_kind
from n2amd.orbitals.basis import Basis

#: Lattice vectors (3, 3) to k points (n_k, 3), fractional, and weights (n_k,) that sum to 1.
KPoints = Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]


@dataclass(frozen=True)
class _Like:
    """What rebuilt frames take from the data set that they are like."""

    zeroth: ZerothHamiltonian
    smearing: Smearing
    kpoints: KPoints


def rebuild(
    densities: Path,
    reference: Path,
    out: Path,
    kpoints: KPoints,
    functional: str | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write a data set of frames that were kept as densities; returns how many.

    Parameters
    ----------
    densities
        Their file.
    reference
        Data set of the same basis and pseudopotentials, whose smearing is taken.
    out
        Data set to write.
    kpoints
        Gives the k mesh of a cell (`n2amd.ingestion.kpoints_like`).
    functional
        Its label; default: the reference's.
    report
        Told of how many frames how many are done.

    Raises
    ------
    InputError
        If the reference has no ingredients of H0, is of another basis, or some frames alone have spins.
    """
    basis, ingredients = read_basis(reference), read_ingredients(reference)
    code, own_label = (str(read_attributes(reference)[name]) for name in ("code", "functional"))
    if ingredients is None:
        raise InputError(
            "the data set has no ingredients of H0",
            file=reference,
            field="ingredients",
            remedy="ingest its frames again with the code's pseudopotential files",
        )
    kept = read_densities(densities, basis, ingredients)
    with within(densities):
        require_one_kind({f.name: f.moment is not None for f in kept.frames})
    first = next(iter(read_frames(reference, [0])))
    zeroth = ZerothHamiltonian(basis, ingredients, without_means(kept.auxiliary))
    like = _Like(zeroth, Smearing.of_origin(first.origin), kpoints)
    computed, inputs = first.origin.get("functional", "unknown"), [densities, reference]
    with create_dataset(out, code=code, functional=functional or own_label, inputs=inputs) as writer:
        for done, stored in enumerate(kept.frames, 1):
            frame = _frame_of(stored, like, code, computed)
            own = Basis({int(z): basis[int(z)] for z in np.unique(stored.structure.numbers)})
            # its bands are made of its own H and S: to compare them tells nothing and costs as much again
            without = replace(frame, bands=None, origin={**frame.origin, "bands": "none"})
            figures = measure(without, own)
            verdict(without, figures)
            writer.append(frame, own, {name: value for name, value in figures.items() if name in BY_NAME})
            report(done, len(kept.frames))
    return len(kept.frames)


def _frame_of(stored: StoredDensity, like: _Like, code: str, functional: str) -> Frame:
    """H, S and levels of one density."""
    zeroth, structure = like.zeroth, stored.structure
    pairs, placed = find_pairs(structure, zeroth.ranges, half=True), zeroth.ingredients.on_mesh(structure)
    rows = {key: zeroth.overlap.evaluate(key, p.vectors(placed))[None] for key, p in pairs.items()}
    kpoints, weights = like.kpoints(structure.cell)
    frame = Frame(
        stored.name,
        structure,
        zeroth.matrix(structure, stored.coefficients, pairs),
        BlockMatrix(pairs, rows),
        zeroth.basis.valence_electrons(structure.numbers) + stored.excess,
        charge=-stored.excess + 0.0,
        origin={"code": code, "functional": functional, "smearing": str(like.smearing), "rebuilt": "density"},
        ingredients=zeroth.ingredients,
        fixed_moment=stored.moment,
    )
    levels = levels_on_mesh(frame, zeroth.basis, kpoints)
    level = None
    if stored.moment is None:
        level = like.smearing.fermi_level(levels.reshape(len(kpoints), -1), 2 * weights, frame.n_electrons)
    return replace(frame, bands=BandReference(kpoints, weights, levels), fermi_level=level)
