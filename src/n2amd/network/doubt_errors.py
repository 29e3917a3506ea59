"""Is the doubt right: errors of the band edges of DFT frames over the spreads that the model gave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.config.states import Channel
from n2amd.frames.frame import Frame
from n2amd.network.predict import HamiltonianPredictor

_NAMES = ("vbm", "cbm", "gap")


@dataclass(frozen=True)
class DoubtErrors:
    """Errors (model minus DFT) and spreads of VBM, CBM and gap of one frame at Gamma, (3,) each, eV."""

    name: str
    errors: NDArray[np.float64]
    spreads: NDArray[np.float64]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            **{f"{name}_error_meV": 1000 * float(e) for name, e in zip(_NAMES, self.errors)},
            **{f"{name}_spread_meV": 1000 * float(s) for name, s in zip(_NAMES, self.spreads)},
        }


def doubt_errors(
    predictor: HamiltonianPredictor,
    frame: Frame,
    model: BlockMatrix,
    n_occupied: int,
    spin: Channel | None = None,
) -> DoubtErrors:
    """Compare the edges of a frame at Gamma, or of one of its spin channels, with DFT's S for both.

    Parameters
    ----------
    predictor
        A model with draws.
    frame
        DFT's; its H is that of the channel.
    model
        Predicted H on DFT's pairs, eV.
    n_occupied
        Filled bands.
    spin
        Channel; None of a closed shell.
    """
    offsets = predictor.basis.orbital_offsets(frame.structure.numbers)
    gamma = np.zeros(3)
    dft, ours, overlap = (fold(m, offsets, gamma).real for m in (frame.hamiltonian, model, frame.overlap))
    wanted = (n_occupied - 1, n_occupied)
    true = scipy.linalg.eigh(dft, overlap, subset_by_index=wanted, eigvals_only=True)
    found, vectors = scipy.linalg.eigh(ours, overlap, subset_by_index=wanted)
    changes = predictor.doubt_elements(frame.structure, vectors, spin=spin).diagonal(axis1=1, axis2=2)
    spreads = np.sqrt((np.column_stack([changes, np.diff(changes)]) ** 2).mean(axis=0))
    errors = found - true
    return DoubtErrors(frame.name, np.append(errors, errors[1] - errors[0]), spreads)


def reliability(found: Sequence[DoubtErrors]) -> dict[str, Any]:
    """Figures of some frames together.

    Returns
    -------
    dict
        `error_over_spread` (root mean square, one where the doubt is right), `within_1`, `within_2` (shares
        of VBM and CBM errors within one and two spreads; 0.68 and 0.95 for normal errors), the same ratio for
        the gap, and `frames`.
    """
    ratio = np.array([f.errors / np.maximum(f.spreads, 1e-9) for f in found])
    edges = np.abs(ratio[:, :2])
    return {
        "error_over_spread": float(np.sqrt((edges**2).mean())),
        "gap_error_over_spread": float(np.sqrt((ratio[:, 2] ** 2).mean())),
        "within_1": float((edges < 1).mean()),
        "within_2": float((edges < 2).mean()),
        "frames": [f.document() for f in found],
    }
