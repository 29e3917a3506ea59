"""How good the network is on frames it has not seen: elements, states, cells, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, add_overlap, gauge_shift, spin_channel
from n2amd.blocks.pair_codes import lay_out
from n2amd.config.states import CHANNELS, Channel
from n2amd.errors import InputError
from n2amd.frames.channels import occupied_bands
from n2amd.frames.frame import Frame
from n2amd.network import element_errors
from n2amd.network.cells import TrainingCells, geometry_hash, smallest_g
from n2amd.network.charge_states import state_of_frame
from n2amd.network.diagnosis import Evidence, diagnose
from n2amd.network.doubt_errors import DoubtErrors, doubt_errors, reliability
from n2amd.network.element_errors import Elements
from n2amd.network.predict import HamiltonianPredictor
from n2amd.network.spectrum_errors import SpectrumErrors, compare_spectra
from n2amd.orbitals.overlap_fit import LimitedTable
from n2amd.orbitals.two_centre import overlap


@dataclass(frozen=True)
class AlignedPrediction:
    """The network's H of a DFT frame.

    Attributes
    ----------
    aligned, raw
        Predicted H on the pairs of DFT's, moved to DFT's gauge and as it is.
    raw_shift
        The gauge difference that was removed, eV.
    """

    frame: Frame
    aligned: BlockMatrix
    raw: BlockMatrix
    raw_shift: float


@dataclass(frozen=True)
class FrameErrors:
    """Errors of one frame; with collinear spins those of its channel `spin`, up or down."""

    prediction: AlignedPrediction
    elements: Elements
    spectrum: SpectrumErrors
    evidence: Evidence
    doubt: DoubtErrors | None = None
    spin: str | None = None

    @property
    def frame(self) -> Frame:
        """The DFT frame."""
        return self.prediction.frame


def predict_aligned(predictor: HamiltonianPredictor, frame: Frame) -> AlignedPrediction:
    """Predict H of a DFT frame and move it to DFT's gauge.

    Raises
    ------
    InputError
        If the frame has spins, a charge, elements or orbitals that the model does not know.
    """
    _check_knows(predictor, frame)
    raw = lay_out(predictor.hamiltonian(frame.structure), frame.hamiltonian)
    if frame.hamiltonian.n_spin == 1:
        raw = spin_channel(raw, 0)  # of a model with spins: a frame without a moment has both alike
    shift = gauge_shift(frame.hamiltonian, frame.overlap) - gauge_shift(raw, frame.overlap)
    return AlignedPrediction(frame, add_overlap(raw, frame.overlap, shift), raw, shift)


def _check_knows(predictor: HamiltonianPredictor, frame: Frame) -> None:
    n_spin = frame.hamiltonian.n_spin
    if n_spin not in (1, predictor.n_spin):
        raise InputError(
            f"the Hamiltonian has {n_spin} spin components, the network predicts {predictor.n_spin}",
            frame=frame.name,
            field="hamiltonian",
            remedy="judge it on frames with the spins it was trained on",
        )
    predictor.states.require(frame.structure.numbers, state_of_frame(frame), frame.name)
    known = set(predictor.basis.numbers)
    if unknown := sorted({int(z) for z in frame.structure.numbers} - known):
        raise InputError(
            f"the model knows the elements {sorted(known)}, not atomic number {unknown[0]}",
            frame=frame.name,
            field="numbers",
            remedy="judge it on frames of this material",
        )
    size = {z: predictor.basis[z].n_orbitals for z in predictor.basis.numbers}
    for (a, b), blocks in frame.hamiltonian.values.items():
        if blocks.shape[2:] != (size[a], size[b]):
            raise InputError(
                f"blocks of elements {(a, b)} are {blocks.shape[2]} x {blocks.shape[3]}, the model's "
                f"{size[a]} x {size[b]}",
                frame=frame.name,
                field="basis",
                remedy="judge it on frames with the basis it was trained on",
            )


def evaluate_frame(predictor: HamiltonianPredictor, frame: Frame) -> list[FrameErrors]:
    """Predict one frame and compare each spin channel with DFT, using DFT's own S for both."""
    prediction, counts = predict_aligned(predictor, frame), occupied_bands(frame)
    if frame.hamiltonian.n_spin == 1:
        return [_channel_errors(predictor, prediction, counts[0], None)]
    found = []
    for spin, (name, n_occupied) in enumerate(zip(CHANNELS, counts)):
        one = AlignedPrediction(
            replace(frame, hamiltonian=spin_channel(frame.hamiltonian, spin)),
            spin_channel(prediction.aligned, spin),
            spin_channel(prediction.raw, spin),
            prediction.raw_shift,
        )
        found.append(_channel_errors(predictor, one, n_occupied, name))
    return found


def _channel_errors(
    predictor: HamiltonianPredictor, prediction: AlignedPrediction, n_occupied: int, spin: Channel | None
) -> FrameErrors:
    frame, ranges = prediction.frame, predictor.ranges
    elements = Elements.of_frame(frame, prediction.aligned, prediction.raw, predictor.basis, ranges)
    offsets = predictor.basis.orbital_offsets(frame.structure.numbers)
    spectrum = compare_spectra(
        frame.hamiltonian, prediction.aligned, frame.overlap, offsets, n_occupied, frame.structure.cell
    )
    beyond = elements_beyond(predictor, frame)
    gap_error = np.diff(spectrum.edges_model)[0] - np.diff(spectrum.edges_dft)[0]
    evidence = Evidence(
        name=frame.name,
        n_atoms=frame.structure.n_atoms,
        smallest_g=smallest_g(frame.structure),
        beyond_max=float(np.abs(beyond).max(initial=0.0)),
        beyond_rms=float(np.sqrt((beyond**2).mean())) if len(beyond) else 0.0,
        raw_shift=prediction.raw_shift,
        overlap_error=overlap_error(predictor, frame),
        overlap_is_recovered=isinstance(predictor.table, LimitedTable),
        mae=float(elements.error.mean()),
        gap_error=abs(float(gap_error)),
        false_states=spectrum.false_states,
    )
    doubt = None
    if predictor.doubt is not None:
        doubt = doubt_errors(predictor, frame, prediction.aligned, n_occupied, spin)
    return FrameErrors(prediction, elements, spectrum, evidence, doubt, spin)


def elements_beyond(predictor: HamiltonianPredictor, frame: Frame) -> NDArray[np.float64]:
    """DFT's elements, eV, between atoms that the model holds to be out of range, flat."""
    found = [np.zeros(0)]
    for key, index in frame.hamiltonian.pairs.items():
        distance = np.linalg.norm(index.vectors(frame.structure), axis=1)
        outside = (distance >= predictor.ranges.get(key, 0.0)) & ~index.on_site
        found.append(frame.hamiltonian.values[key][0, outside].ravel())
    return np.concatenate(found)


def overlap_error(predictor: HamiltonianPredictor, frame: Frame) -> float:
    """Largest difference between the predictor's S and the frame's own."""
    ours = lay_out(overlap(predictor.table, frame.structure), frame.hamiltonian)
    return max(
        float(np.abs(ours.values[key] - blocks).max(initial=0.0))
        for key, blocks in frame.overlap.values.items()
    )


def unseen(frames: Iterable[Frame], cells: TrainingCells) -> Iterator[Frame]:
    """Leave out frames that training or validation used, and geometries that came before."""
    seen = set(cells.geometries)
    for frame in frames:
        name = geometry_hash(frame.structure)
        if name not in seen:
            seen.add(name)
            yield frame


def report(
    predictor: HamiltonianPredictor,
    frames: Iterable[Frame],
    seed: int = 1,
    cells: TrainingCells | None = None,
) -> dict[str, Any]:
    """Evaluate frames; the layout is `hamiltonian.json` of docs/file-formats.md.

    Errors are over the true matrix elements within the Hamiltonian's range (the zeros beyond would flatter
    them), in meV, after gauge alignment; `mae_raw_meV` is before.

    Parameters
    ----------
    predictor
        The network.
    frames
        DFT frames that it was not trained on.
    seed
        Draws the elements of the parity figure.
    cells
        What it was trained on; None where that is unknown.

    Raises
    ------
    InputError
        If there is no frame, or one that the network cannot be judged on.
    """
    errors = [found for frame in frames for found in evaluate_frame(predictor, frame)]
    if not errors:
        raise InputError(
            "no frame is left to judge the network on",
            field="n_frames",
            remedy="pass frames that it was not trained on (`--on`)",
        )
    elements = Elements.joined([e.elements for e in errors])
    basis = predictor.basis
    doubts = [e.doubt for e in errors if e.doubt is not None]
    return {
        "test": {**_figures(errors), "largest_trained_cell_atoms": cells.largest if cells else None},
        "frames": [_row(e) for e in errors],
        "by_cell": _by_cell(errors, cells),
        **_by_spin(errors),
        "doubt": reliability(doubts) if doubts else None,
        "by_site": element_errors.by_site(elements),
        "by_element": element_errors.by_element(elements, basis),
        "by_species_pair": element_errors.by_species_pair(elements, basis),
        "by_shell_pair": element_errors.by_shell_pair(elements, basis),
        "by_distance": element_errors.by_distance(elements),
        "parity": element_errors.parity_sample(elements, seed),
        "evidence": [vars(e.evidence) for e in errors],
        "diagnosis": [vars(finding) for finding in diagnose([e.evidence for e in errors], cells)],
    }


def _figures(errors: Sequence[FrameErrors]) -> dict[str, Any]:
    """Figures of some frames together."""
    elements = Elements.joined([e.elements for e in errors])
    edges_dft = np.array([e.spectrum.edges_dft for e in errors])
    edges_model = np.array([e.spectrum.edges_model for e in errors])
    edge_error = 1e3 * np.abs(edges_model - edges_dft)
    gap_error = 1e3 * np.abs(np.diff(edges_model) - np.diff(edges_dft))
    error, on_site = elements.error, elements.on_site
    window = [e.spectrum.window for e in errors]
    weight, same, energy = (
        np.concatenate([getattr(w, name) for w in window]) for name in ("weight", "overlap", "energy")
    )
    lowest = {
        who: [v for e in errors if (v := getattr(e.spectrum, f"nearly_empty_{who}")) is not None]
        for who in ("dft", "model")
    }
    return {
        "mae_meV": 1e3 * float(error.mean()),
        "rms_meV": 1e3 * float(np.sqrt((error**2).mean())),
        "mae_raw_meV": 1e3 * float(np.abs(elements.raw - elements.dft).mean()),
        "on_site_mae_meV": element_errors.figures(error[on_site])["mae_meV"],
        "off_site_mae_meV": element_errors.figures(error[~on_site])["mae_meV"],
        "vbm_mae_meV": float(edge_error[:, 0].mean()),
        "cbm_mae_meV": float(edge_error[:, 1].mean()),
        "gap_mae_meV": float(gap_error.mean()),
        "gap_median_error_meV": float(np.median(gap_error)),
        "gap_max_error_meV": float(gap_error.max()),
        "window_energy_mae_meV": 1e3 * float(energy.mean()),
        "window_energy_max_meV": 1e3 * float(energy.max()),
        "window_weight_mean": float(weight.mean()),
        "window_weight_worst": float(weight.min()),
        "window_overlap_mean": float(same.mean()),
        "window_overlap_worst": float(same.min()),
        "window_angle_worst_degrees": max(w.angle for w in window),
        "dos_error_mean": float(np.mean([e.spectrum.dos_error for e in errors])),
        "dos_error_worst": max(e.spectrum.dos_error for e in errors),
        "false_states": sum(e.spectrum.false_states for e in errors),
        "false_states_in_gap": sum(e.spectrum.false_states_in_gap for e in errors),
        "frames_with_false_states": sum(e.spectrum.false_states > 0 for e in errors),
        "nearly_empty_dft_eV": min(lowest["dft"], default=None),
        "nearly_empty_model_eV": min(lowest["model"], default=None),
        "n_frames": sum(e.spin != CHANNELS[1] for e in errors) or len(errors),
    }


def _row(e: FrameErrors) -> dict[str, Any]:
    (vbm, cbm), (model_vbm, model_cbm) = e.spectrum.edges_dft, e.spectrum.edges_model
    window = e.spectrum.window
    levels = [
        {"band": band, "dft_eV": dft, "error_meV": 1e3 * (model - dft)}
        for band, dft, model in zip(window.bands.tolist(), window.dft.tolist(), window.model.tolist())
    ]
    return {
        "name": e.frame.name,
        **({} if e.spin is None else {"spin": e.spin, "levels": levels}),
        "n_atoms": e.frame.structure.n_atoms,
        "mae_meV": 1e3 * float(e.elements.error.mean()),
        "gap_dft_eV": cbm - vbm,
        "gap_model_eV": model_cbm - model_vbm,
        "vbm_error_meV": 1e3 * (model_vbm - vbm),
        "cbm_error_meV": 1e3 * (model_cbm - cbm),
        "window_weight_worst": float(window.weight.min()),
        "dos_error": e.spectrum.dos_error,
        "false_states": e.spectrum.false_states,
        "nearly_empty_dft_eV": e.spectrum.nearly_empty_dft,
        "nearly_empty_model_eV": e.spectrum.nearly_empty_model,
        "n_kpoints": e.spectrum.n_kpoints,
    }


def _by_spin(errors: Sequence[FrameErrors]) -> dict[str, Any]:
    """Figures of each spin channel; nothing where no frame has spins."""
    rows = []
    for spin in CHANNELS:
        if chosen := [e for e in errors if e.spin == spin]:
            rows.append({"spin": spin, **_figures(chosen)})
    return {"by_spin": rows} if rows else {}


def _by_cell(errors: Sequence[FrameErrors], cells: TrainingCells | None) -> list[dict[str, Any]]:
    rows = []
    for n_atoms in sorted({e.evidence.n_atoms for e in errors}):
        chosen = [e for e in errors if e.evidence.n_atoms == n_atoms]
        beyond = None if cells is None else n_atoms > cells.largest
        rows.append({"n_atoms": n_atoms, "larger_than_trained": beyond, **_figures(chosen)})
    return rows
