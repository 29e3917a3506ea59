"""How good the network is on frames it has not seen: elements, bands, and where the errors sit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, add_overlap, fold, gauge_shift
from n2amd.dataset.frame import Frame
from n2amd.network.predict import HamiltonianPredictor

#: The time-reversal invariant points: they hold Gamma and fold onto it in a 2x2x2 supercell.
EDGE_KPOINTS = np.stack(np.meshgrid([0.0, 0.5], [0.0, 0.5], [0.0, 0.5], indexing="ij"), -1).reshape(-1, 3)
#: Bin width of the errors by distance, Angstrom.
DISTANCE_BIN_A = 0.5
#: Matrix elements kept for the parity figure.
PARITY_ELEMENTS = 4000


@dataclass(frozen=True)
class FrameErrors:
    """Errors of one frame after gauge alignment.

    Attributes
    ----------
    aligned
        The predicted H on the pairs of DFT's, moved to DFT's gauge.
    raw_shift
        The gauge difference that was removed, eV.
    edges_dft, edges_model
        (VBM, CBM) over the time-reversal invariant points, eV.
    """

    frame: Frame
    aligned: BlockMatrix
    raw: BlockMatrix
    raw_shift: float
    edges_dft: tuple[float, float]
    edges_model: tuple[float, float]


def on_pairs_of(predicted: BlockMatrix, frame: Frame) -> BlockMatrix:
    """Lay the predicted blocks out on the pairs of the DFT frame; pairs beyond the model's range are zero."""
    values = {}
    for key, index in frame.hamiltonian.pairs.items():
        blocks = np.zeros_like(frame.hamiltonian.values[key])
        if key in predicted.pairs:
            rows = {pair: k for k, pair in enumerate(_labels(predicted.pairs[key]))}
            found = [(k, rows[pair]) for k, pair in enumerate(_labels(index)) if pair in rows]
            here, there = np.array(found).T
            blocks[:, here] = predicted.values[key][:, there]
        values[key] = blocks
    return frame.hamiltonian.map(values)


def _labels(index: PairIndex) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.column_stack([index.i, index.j, index.shift]).tolist()]


def band_edges(
    hamiltonian: BlockMatrix, overlap: BlockMatrix, offsets: NDArray[np.int64], n_occupied: int
) -> tuple[float, float]:
    """Return VBM and CBM over the time-reversal invariant points, eV."""
    valence, conduction = [], []
    for k in EDGE_KPOINTS:
        energies = scipy.linalg.eigh(
            fold(hamiltonian, offsets, k),
            fold(overlap, offsets, k),
            eigvals_only=True,
            subset_by_index=[n_occupied - 1, n_occupied],
        )
        valence.append(energies[0])
        conduction.append(energies[1])
    return float(max(valence)), float(min(conduction))


def evaluate_frame(predictor: HamiltonianPredictor, frame: Frame) -> FrameErrors:
    """Predict one frame and compare with DFT, using DFT's own S for both."""
    raw = on_pairs_of(predictor.hamiltonian(frame.structure), frame)
    shift = gauge_shift(frame.hamiltonian, frame.overlap) - gauge_shift(raw, frame.overlap)
    aligned = add_overlap(raw, frame.overlap, shift)
    offsets = predictor.basis.orbital_offsets(frame.structure.numbers)
    edges = [band_edges(h, frame.overlap, offsets, frame.n_occupied) for h in (frame.hamiltonian, aligned)]
    return FrameErrors(frame, aligned, raw, shift, edges[0], edges[1])


def report(predictor: HamiltonianPredictor, frames: Sequence[Frame], seed: int = 1) -> dict[str, Any]:
    """Evaluate frames; the layout is `hamiltonian.json` of docs/file-formats.md.

    Errors are over the true matrix elements within the Hamiltonian's range (the zeros beyond would flatter
    them), in meV, after gauge alignment; `mae_raw_meV` is before.
    """
    errors = [evaluate_frame(predictor, frame) for frame in frames]
    ranges = predictor.ranges
    absolute, raw, dft, model, kinds, distances = [], [], [], [], [], []
    for e in errors:
        for key, index in e.frame.hamiltonian.pairs.items():
            distance = np.linalg.norm(index.vectors(e.frame.structure), axis=1)
            within = distance < ranges.get(key, 0.0)
            reference = e.frame.hamiltonian.values[key][0, within]
            predicted = e.aligned.values[key][0, within]
            absolute.append(np.abs(predicted - reference).ravel())
            raw.append(np.abs(e.raw.values[key][0, within] - reference).ravel())
            dft.append(reference.ravel())
            model.append(predicted.ravel())
            kinds.append(np.tile(_shell_kinds(predictor, key).ravel(), len(reference)))
            distances.append(np.repeat(distance[within], reference[0].size if len(reference) else 0))
    error, kind, distance = np.concatenate(absolute), np.concatenate(kinds), np.concatenate(distances)
    edges_dft, edges_model = (
        np.array([getattr(e, name) for e in errors]) for name in ("edges_dft", "edges_model")
    )
    edge_error = np.abs(edges_model - edges_dft)
    gap_error = np.abs(np.diff(edges_model) - np.diff(edges_dft))
    chosen = np.random.default_rng(seed).choice(
        len(error), size=min(PARITY_ELEMENTS, len(error)), replace=False
    )
    chosen.sort()
    return {
        "test": {
            "mae_meV": 1e3 * error.mean(),
            "mae_raw_meV": 1e3 * np.concatenate(raw).mean(),
            "vbm_mae_meV": 1e3 * edge_error[:, 0].mean(),
            "cbm_mae_meV": 1e3 * edge_error[:, 1].mean(),
            "gap_mae_meV": 1e3 * gap_error.mean(),
            "gap_median_error_meV": 1e3 * float(np.median(gap_error)),
            "gap_max_error_meV": 1e3 * gap_error.max(),
            "n_frames": len(frames),
        },
        "frames": [
            {"name": e.frame.name, "gap_dft_eV": b - a, "gap_model_eV": d - c}
            for e, (a, b), (c, d) in zip(errors, edges_dft, edges_model)
        ],
        "by_shell_pair": _by_shell_pair(predictor, error, kind),
        "by_distance": _by_distance(error, distance),
        "parity": {
            "dft_eV": np.concatenate(dft)[chosen],
            "model_eV": np.concatenate(model)[chosen],
            "distance_A": distance[chosen],
        },
    }


def _species_pairs(predictor: HamiltonianPredictor) -> list[SpeciesPair]:
    numbers = predictor.basis.numbers
    return [(a, b) for a in numbers for b in numbers if a <= b]


def _shell_kinds(predictor: HamiltonianPredictor, key: SpeciesPair) -> NDArray[np.int64]:
    """Label of the (species pair, l, l') that each element of a block belongs to, (n_i, n_j)."""
    l_of = [np.concatenate([[s.l] * s.n_orbitals for s in predictor.basis[z].shells]) for z in key]
    return 10000 * _species_pairs(predictor).index(key) + 100 * l_of[0][:, None] + l_of[1][None, :]


def _by_shell_pair(predictor: HamiltonianPredictor, error: NDArray, kind: NDArray) -> list[dict[str, Any]]:
    from ase.data import chemical_symbols

    names, rows = "spdfgh", []
    for label in np.unique(kind):
        a, b = _species_pairs(predictor)[label // 10000]
        chosen = error[kind == label]
        rows.append(
            {
                "pair": f"{chemical_symbols[a]}-{chemical_symbols[b]}",
                "shells": f"{names[label // 100 % 100]}-{names[label % 100]}",
                "mae_meV": 1e3 * chosen.mean(),
                "n": len(chosen),
            }
        )
    return rows


def _by_distance(error: NDArray, distance: NDArray) -> list[dict[str, Any]]:
    rows = []
    bins = np.floor(distance / DISTANCE_BIN_A).astype(int)
    for k in np.unique(bins):
        chosen = error[bins == k]
        rows.append(
            {
                "distance_A": 0.0 if k == 0 else (k + 0.5) * DISTANCE_BIN_A,
                "mae_meV": 1e3 * chosen.mean(),
                "max_meV": 1e3 * chosen.max(),
                "n": len(chosen),
            }
        )
    return rows
