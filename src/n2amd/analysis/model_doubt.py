"""What the doubt of the model makes of gap, coupling and lifetime.

Every draw k of the model has band edges and a coupling of its own at some moments of the trajectory. With the
gap's mean E_k and standard deviation s_k, the coupling's root mean square d_k, and 0 for the model itself,
the
estimate tau (gap / NAC)^2 / 2 with tau ~ hbar / s gives a lifetime

    T_k / T_0 = (s_0 / s_k) (E_k / E_0)^2 (d_0 / d_k)^2

All are of the same moments, so that the chance of which they are cancels. The root mean square of
log(T_k / T_0), times Student's t for K draws, is the log of a factor by which the lifetime may be wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.doubt import EdgeDoubt

#: Moments below which a fluctuation over them, or a mean square coupling, says nothing.
FEWEST_MOMENTS = 4


@dataclass(frozen=True)
class ModelDoubt:
    """Spreads over the draws of a model.

    Attributes
    ----------
    edges
        For VBM, CBM and gap (eV): `spread` at any moment, its `static` part (of the mean over time) and the
        `fluctuating` rest.
    gap_fluctuation, coupling
        Relative spread of the gap's standard deviation and of the rms coupling; None where too few moments
        tell.
    log_lifetime
        Root mean square of log(T_k / T_0); None where too few moments tell.
    moments, draws
        How many there are; of the moments, those with a coupling.
    """

    edges: dict[str, dict[str, float]]
    gap_fluctuation: float | None
    coupling: float | None
    log_lifetime: float | None
    moments: int
    draws: int

    def factor(self, confidence: float) -> float | None:
        """Factor by which the lifetime may be wrong, above one."""
        from scipy.special import stdtrit

        if self.log_lifetime is None:
            return None
        return float(np.exp(stdtrit(self.draws, 0.5 + confidence / 2) * self.log_lifetime))

    def document(self, confidence: float) -> dict[str, Any]:
        """Return it as JSON, energies in meV."""
        return {
            **{
                f"{edge}_meV": {key: 1000 * value for key, value in parts.items()}
                for edge, parts in self.edges.items()
            },
            "gap_fluctuation_relative": self.gap_fluctuation,
            "coupling_relative": self.coupling,
            "lifetime_factor": self.factor(confidence),
            "moments": self.moments,
            "draws": self.draws,
        }

    def sentence(self, confidence: float) -> str:
        """Say it."""
        gap = self.edges["gap"]
        said = (
            f"the network doubts its gap by {1000 * gap['static']:.0f} meV (mean) and "
            f"{1000 * gap['fluctuating']:.0f} meV (fluctuation)"
        )
        factor = self.factor(confidence)
        if factor is None or self.coupling is None:
            return f"{said}, the lifetime by an unknown factor: {self.moments} moments are too few"
        return (
            f"{said}, its coupling by {100 * self.coupling:.0f} %, the lifetime by a factor of {factor:.2f}"
        )


def model_doubt(edges: EdgeDoubt, shift_eV: float = 0.0) -> ModelDoubt:
    """Gather the spreads.

    Parameters
    ----------
    edges
        For each draw, from `couplings.h5`.
    shift_eV
        Of the conduction bands by a scissor, which changes what an error of the gap means.
    """
    changes = {
        "vbm": edges.vbm - edges.nominal[..., None, 0],
        "cbm": edges.cbm - edges.nominal[..., None, 1],
    }
    changes["gap"] = changes["cbm"] - changes["vbm"]
    gap = (edges.nominal[..., 1] - edges.nominal[..., 0])[..., None]
    # (2 p, K)
    of_draws = (gap + changes["gap"]).reshape(-1, edges.vbm.shape[2])
    of_model = gap.reshape(-1, 1)
    known = np.isfinite(edges.nominal_coupling) & np.isfinite(edges.coupling).all(axis=1)
    fluctuation, coupling, lifetime = None, None, None
    if known.sum() >= FEWEST_MOMENTS and (of_model.std() > 0) and edges.nominal_coupling[known].any():
        by_sigma = of_draws.std(axis=0) / of_model.std()
        by_gap = (of_draws.mean(axis=0) + shift_eV) / (of_model.mean() + shift_eV)
        square = (edges.coupling[known] ** 2).mean(axis=0) / (edges.nominal_coupling[known] ** 2).mean()
        fluctuation, coupling = _rms(by_sigma - 1), _rms(np.sqrt(square) - 1)
        lifetime = _rms(np.log(np.maximum(by_gap, 1e-3) ** 2 / (by_sigma * square)))
    return ModelDoubt(
        {name: _parts(values) for name, values in changes.items()},
        fluctuation,
        coupling,
        lifetime,
        int(known.sum()),
        edges.vbm.shape[2],
    )


def _parts(changes: NDArray[np.float64]) -> dict[str, float]:
    """Spread of changes (p, 2, K), that of their mean over time, and the rest."""
    mean = changes.mean(axis=(0, 1))
    return {"spread": _rms(changes), "static": _rms(mean), "fluctuating": _rms(changes - mean)}


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
