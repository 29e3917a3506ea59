"""Recover the hidden radial functions of rutile TiO2: errors of S, of S(t, t + dt) and of couplings.

    python benchmarks/radial_recovery.py

Prints the table of docs/theory-overlap.md: for 1, 2, 4 and 8 frames, errors on frames of another cell, the
doubt that is stated, and what is true; then couplings of consecutive DFT frames with the true and the
recovered functions.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from n2amd.config.states import StatesSettings
from n2amd.couplings.nac import hammes_schiffer_tully
from n2amd.dataset.store import read_basis, read_frames
from n2amd.ingestion.ingest import ingest
from n2amd.orbitals import overlap_fit
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_fit import OverlapFit, fit_overlap
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.states.cross_time import frame_overlap
from n2amd.states.frame_solver import FrameSolver

DATA = Path(__file__).parents[1] / "resources/tio2-honpas"


def hidden(basis: Basis) -> Basis:
    """Forget the radial functions."""
    atoms = {
        z: replace(atom, shells=tuple(replace(shell, radial=None) for shell in atom.shells))
        for z, atom in basis.atoms.items()
    }
    return Basis(atoms)


def moved_error(true: OverlapTable, found: OverlapTable, z: int, length: float) -> float:
    """Largest difference between overlaps of an atom with its image displaced by `length`."""
    vectors = np.random.default_rng(1).normal(size=(40, 3))
    vectors *= length / np.linalg.norm(vectors, axis=1)[:, None]
    return float(np.abs(true.evaluate((z, z), vectors) - found.evaluate((z, z), vectors)).max())


def print_fit(n: int, fit: OverlapFit, true: OverlapTable) -> None:
    found, limits = OverlapTable.from_basis(fit.basis), fit.limits
    errors = {z: [f"{moved_error(true, found, z, d):.0e}" for d in (0.01, 0.03, 0.1)] for z in (8, 22)}
    print(
        f"{n} frames: held out {limits.largest_error:.1e} at most, {limits.mean_error:.1e} on average, "
        f"{limits.on_site_error:.1e} on one atom; doubt {limits.moved_doubt}; true {errors}"
    )


def couplings(path: Path, tables: dict[str, OverlapTable]) -> dict[str, np.ndarray]:
    """Couplings, meV, of DFT's own states in one gauge, with each table and electron-translation-free."""
    frames = list(read_frames(path))
    predictor = SimpleNamespace(basis=read_basis(path))
    settings = StatesSettings(valence=4, conduction=4, margin=4)
    solver = FrameSolver.for_structure(predictor, settings, frames[0].structure)
    states = [(f.structure, solver.solve_matrices(f.hamiltonian, f.overlap, f.name)) for f in frames]
    kinds = {name: ("exact", partial(overlap, table)) for name, table in tables.items()}
    kinds["electron-translation-free"] = ("electron-translation-free", None)
    found = {
        name: np.array([frame_overlap(a, b, kind, cross, solver.folded) for a, b in pairwise(states)])
        for name, (kind, cross) in kinds.items()
    }
    signs = np.cumprod(np.sign(np.diagonal(found["true"], axis1=1, axis2=2)), axis=0)
    signs = np.concatenate([np.ones((1, signs.shape[1])), signs])
    gauge = signs[:-1, :, None] * signs[1:, None, :]
    return {name: 1000 * hammes_schiffer_tully(o * gauge, 1.0) for name, o in found.items()}


def main() -> None:
    overlap_fit.LARGEST_ERROR = np.inf  # show how bad a fit is that would be refused
    with tempfile.TemporaryDirectory() as scratch:
        train, test, md = (Path(scratch) / f"{name}.h5" for name in ("train", "test", "md"))
        for name, out in (("TiO2_6_train", train), ("TiO2_12_train", test)):
            ingest([DATA / name], out, code="honpas")
        ingest([DATA / "TiO2_6_md"], md, code="honpas", timestep_fs=1.0)
        basis = read_basis(train)
        true = OverlapTable.from_basis(basis)
        held_out = [(f.structure, f.overlap) for f in read_frames(test)]
        tables = {"true": true}
        for n in (1, 2, 4, 8):
            samples = [(f.structure, f.overlap) for f in read_frames(train, range(n))]
            fit = fit_overlap(hidden(basis), samples, held_out)
            print_fit(n, fit, true)
            tables[f"{n} frames"] = OverlapTable.from_basis(fit.basis)
        found = couplings(md, tables)
        rows = np.triu_indices(found["true"].shape[1], 1)
        print(f"rms coupling {np.sqrt(np.mean(found['true'][:, *rows] ** 2)):.2f} meV")
        for name, values in found.items():
            difference = (values - found["true"])[:, *rows]
            rms = np.sqrt(np.mean(difference**2))
            print(f"{name}: {rms:.1e} meV rms, {np.abs(difference).max():.1e} meV at most")


if __name__ == "__main__":
    main()
