"""Parity of couplings: the network's H against DFT's H on the same consecutive DFT frames, one code path."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.config.couplings import CouplingsSettings
from n2amd.config.states import StatesSettings
from n2amd.couplings.assemble import Joined, couple, keep_states
from n2amd.couplings.defect import band_edges, find_levels, kept_levels
from n2amd.couplings.nac import adjoint, hammes_schiffer_tully
from n2amd.couplings.order import arrange
from n2amd.couplings.store import Couplings
from n2amd.couplings.tracking import align, track
from n2amd.errors import InputError
from n2amd.frames.channels import Electrons, electrons_of_window
from n2amd.frames.frame import Frame
from n2amd.states.cross_time import CrossOverlap, check_consecutive, frame_overlap
from n2amd.states.frame_solver import FrameSolver, Predictor
from n2amd.states.gauge import canonical_gauge
from n2amd.states.projection import Projection, Sites
from n2amd.states.solver import WindowStates
from n2amd.states.store import ShardInfo
from n2amd.states.window import StateWindow, state_window
from n2amd.structure import Structure

#: Borders of the gap bins, eV.
GAP_BINS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, np.inf)


@dataclass(frozen=True)
class BothStates:
    """States of the same frames by two Hamiltonians, in their own gauges.

    Attributes
    ----------
    dft, model
        States of each frame.
    dft_overlap, model_overlap
        O(t, t+dt) of each Hamiltonian's states, (w, w).
    projection
        C_dft^dagger S C_model of each frame, (w, w).
    window, n_orbitals
        Which states, of how many.
    sites
        What weights of the states are of; None where they have none.
    """

    dft: list[WindowStates]
    model: list[WindowStates]
    dft_overlap: NDArray
    model_overlap: NDArray
    projection: NDArray
    window: StateWindow
    n_orbitals: int
    sites: Sites | None = None

    def joined(
        self,
        which: Literal["dft", "model"],
        couplings: CouplingsSettings,
        states: StatesSettings,
        timestep: float,
    ) -> Joined:
        """States of one Hamiltonian as those of a trajectory."""
        found: list[WindowStates] = getattr(self, which)
        info = ShardInfo(
            start=0,
            stop=len(found) - 1,
            n_occupied=self.window.n_occupied,
            n_orbitals=self.n_orbitals,
            timestep_fs=timestep,
            valence=states.valence,
            conduction=states.conduction,
            overlap_kind=couplings.overlap,
            kpoint=states.kpoint,
            spin=states.component or "",
        )
        return Joined(
            info,
            np.array([f.energies for f in found]),
            self.window.band_index,
            getattr(self, f"{which}_overlap"),
            canonical_gauge(found[0].coefficients, found[0].energies),
            () if self.sites is None else (Projection(self.sites, states.partition, _weights(found)),),
        )


def _weights(states: list[WindowStates]) -> NDArray[np.float32]:
    return np.array([found.weights for found in states])


def solve_both(
    frames: Iterable[Frame],
    predictor: Predictor,
    cross_overlap: CrossOverlap,
    settings: CouplingsSettings,
    states_settings: StatesSettings,
    report: Callable[[int], None] = lambda done: None,
) -> BothStates:
    """Solve consecutive DFT frames with DFT's H and S and with the network's.

    Parameters
    ----------
    frames
        Consecutive DFT frames.
    predictor, cross_overlap
        The network; S between two geometries.
    settings, states_settings
        Overlap kind; window and k point.
    report
        Called with the number of frames done.

    Raises
    ------
    InputError
        If there are fewer than two frames, they are not consecutive, or their electrons are not the same.
    """
    solver: FrameSolver | None = None
    held = Electrons(0.0, None)
    before: tuple[Structure, WindowStates, WindowStates] | None = None
    dft: list[WindowStates] = []
    model: list[WindowStates] = []
    dft_overlap: list[NDArray] = []
    model_overlap: list[NDArray] = []
    projection: list[NDArray] = []
    for number, frame in enumerate(frames):
        if solver is None:
            solver = FrameSolver.for_structure(predictor, states_settings, frame.structure)
            held = Electrons.of(frame)
            electrons = electrons_of_window(frame, states_settings.spin)
            window = state_window(electrons, int(solver.offsets[-1]), states_settings)
            if window != solver.window:
                per_band = 2 if states_settings.spin is None else 1
                raise InputError(
                    f"{electrons:g} electrons in the data set, "
                    f"{per_band * solver.window.n_occupied} in the model's basis",
                    frame=frame.name,
                    field="n_electrons",
                    remedy="use a model trained on this data set",
                )
        held.require_kept(Electrons.of(frame), frame.name)
        states = solver.solve_matrices(frame.hamiltonian, frame.overlap, frame.name)
        predicted = solver.solve(frame.structure, frame.name)
        projection.append(adjoint(states.overlap_coefficients) @ predicted.coefficients)
        if before is not None:
            check_consecutive(before[0], frame.structure, frame.name)
            for series, earlier, later in (
                (dft_overlap, before[1], states),
                (model_overlap, before[2], predicted),
            ):
                series.append(
                    frame_overlap(
                        (before[0], earlier),
                        (frame.structure, later),
                        settings.overlap,
                        cross_overlap,
                        solver.folded,
                    )
                )
        before = frame.structure, states, predicted
        dft.append(states)
        model.append(predicted)
        report(number + 1)
    if solver is None or len(dft) < 2:
        raise InputError(
            f"{len(dft)} frames hold no interval",
            field="n_frames",
            remedy="pass at least two consecutive frames",
        )
    return BothStates(
        dft,
        model,
        np.array(dft_overlap),
        np.array(model_overlap),
        np.array(projection),
        solver.window,
        int(solver.offsets[-1]),
        solver.sites,
    )


def own_couplings(
    both: BothStates,
    which: Literal["dft", "model"],
    settings: CouplingsSettings,
    states_settings: StatesSettings,
    timestep: float,
) -> Couplings:
    """Couplings of one of the two Hamiltonians as a trajectory would have them, for surface hopping."""
    joined = both.joined(which, settings, states_settings, timestep)
    filled = joined.info.n_occupied - int(joined.band_index[0])
    levels = find_levels(joined.projections, joined.overlap, states_settings.defect, settings.order, filled)
    degeneracy = settings.degeneracy_meV / 1000
    coupled = couple(joined, timestep, degeneracy, settings.order, levels=levels)
    return keep_states(joined, coupled, settings.order, levels)


def parity(
    frames: Iterable[Frame],
    predictor: Predictor,
    cross_overlap: CrossOverlap,
    settings: CouplingsSettings,
    states_settings: StatesSettings,
    timestep: float,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Solve both (`solve_both`) and compare their couplings (`compare_couplings`)."""
    both = solve_both(frames, predictor, cross_overlap, settings, states_settings, report)
    return compare_couplings(both, settings, states_settings, timestep)


def compare_couplings(
    both: BothStates, settings: CouplingsSettings, states_settings: StatesSettings, timestep: float
) -> dict[str, Any]:
    """Compare couplings pair by pair.

    DFT's states are tracked as in a trajectory. The network's states of each frame are brought into the gauge
    of DFT's by their overlap C_dft^dagger S C_model (assignment, transport in degenerate groups), so that
    couplings compare with their signs.

    Parameters
    ----------
    both
        From `solve_both`.
    settings, states_settings
        Degeneracy and order of columns; states that are kept.
    timestep
        Time between frames, fs.

    Returns
    -------
    document
        `nac_parity.json`; couplings in meV, their magnitudes off Gamma.
    """
    model_energies = [states.energies for states in both.model]
    degeneracy = settings.degeneracy_meV / 1000
    joined = both.joined("dft", settings, states_settings, timestep)
    tracked = track(joined.energies, joined.overlap, timestep, degeneracy, joined.first_gauge)
    cbm = both.window.n_occupied - both.window.low
    levels = find_levels(joined.projections, joined.overlap, states_settings.defect, settings.order, cbm)
    columns = arrange(tracked, settings.order, levels)
    gauge = np.stack(
        [
            align(adjoint(own) @ overlap, energies, timestep, degeneracy).gauge
            for own, overlap, energies in zip(columns.gauge, both.projection, model_energies)
        ]
    )
    keep = slice(cbm - states_settings.valence, cbm + states_settings.conduction)
    vbm, width = states_settings.valence - 1, states_settings.valence + states_settings.conduction
    held = () if levels is None else kept_levels(levels, keep, states_settings.valence).columns
    matched = adjoint(gauge[:-1]) @ both.model_overlap @ gauge[1:]
    matched_energies = np.einsum("tki,tk->ti", np.abs(gauge) ** 2, np.array(model_energies))
    return _document(
        hammes_schiffer_tully(columns.overlap[:, keep, keep], timestep),
        hammes_schiffer_tully(matched[:, keep, keep], timestep),
        columns.energies[:, keep],
        matched_energies[:, keep],
        first_band=both.window.low + keep.start,
        edges=band_edges(vbm, width, held),
    )


def _document(
    dft: NDArray,
    model: NDArray,
    energies: NDArray,
    model_energies: NDArray,
    first_band: int,
    edges: tuple[int, int],
) -> dict[str, Any]:
    vbm, cbm = edges
    i, j = np.triu_indices(dft.shape[-1], 1)
    gap = np.abs(energies[:, j] - energies[:, i])
    gap = (gap[1:] + gap[:-1]) / 2
    reference, predicted = 1000 * dft[:, i, j], 1000 * model[:, i, j]
    error = np.abs(predicted - reference)
    shown = (reference, predicted) if np.isrealobj(dft) else (np.abs(reference), np.abs(predicted))
    edge = (i == vbm) & (j == cbm)
    inside = [(low, high, (gap >= low) & (gap < high)) for low, high in pairwise(GAP_BINS)]
    return {
        "pairs": [
            {
                "states": [first_band + int(i[p]), first_band + int(j[p])],
                "gap_eV": float(gap[t, p]),
                "nac_dft_meV": float(shown[0][t, p]),
                "nac_model_meV": float(shown[1][t, p]),
            }
            for t in range(len(gap))
            for p in range(len(i))
        ],
        "mae_meV": float(error.mean()),
        "rms_dft_meV": _rms(reference),
        "by_gap": [
            {
                "gap_from_eV": low,
                "gap_to_eV": high if np.isfinite(high) else float(gap.max()),
                "mae_meV": float(error[mask].mean()),
                "rms_dft_meV": _rms(reference[mask]),
                "n": int(mask.sum()),
            }
            for low, high, mask in inside
            if mask.any()
        ],
        "gap_edge": {
            "mae_meV": float(error[:, edge].mean()),
            "rms_dft_meV": _rms(reference[:, edge]),
            "rms_model_meV": _rms(predicted[:, edge]),
            "gap_dft_eV": float((energies[:, cbm] - energies[:, vbm]).mean()),
            "gap_model_eV": float((model_energies[:, cbm] - model_energies[:, vbm]).mean()),
        },
        "n_frames": len(energies),
    }


def _rms(values: NDArray) -> float:
    return float(np.sqrt(np.mean(np.abs(values) ** 2)))
