"""Finite-size scaling: coupling and lifetime as powers of the number of atoms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

#: Supercells needed for a power law with an error.
MINIMUM = 3


def power_law(
    n_atoms: ArrayLike, values: ArrayLike, relative_errors: ArrayLike | None = None
) -> dict[str, Any]:
    """Fit values = prefactor * n_atoms**exponent by (weighted) least squares of the logarithms.

    Parameters
    ----------
    n_atoms, values
        Positive, (n,), n >= 3.
    relative_errors
        Standard errors of the logarithms of the values, (n,); without them all points weigh the same.

    Returns
    -------
    dict
        "exponent", its standard "error", the "prefactor", "weighted", and "chi2_reduced": about one if the
        points lie on the line within their errors (None without errors). Where they scatter more than their
        errors say, the error of the exponent is that of the scatter.
    """
    x, y = np.log(np.asarray(n_atoms, float)), np.log(np.asarray(values, float))
    weighted = relative_errors is not None
    weight = np.asarray(relative_errors, float) ** -2 if weighted else np.ones_like(x)
    centre = np.average(x, weights=weight)
    spread = float(np.sum(weight * (x - centre) ** 2))
    exponent = float(np.sum(weight * (x - centre) * y)) / spread
    intercept = float(np.average(y, weights=weight)) - exponent * float(centre)
    scatter = float(np.sum(weight * (y - intercept - exponent * x) ** 2)) / (len(x) - 2)
    return {
        "exponent": exponent,
        "error": math.sqrt((max(scatter, 1.0) if weighted else scatter) / spread),
        "prefactor": math.exp(intercept),
        "weighted": weighted,
        "chi2_reduced": scatter if weighted else None,
    }


def relative_errors(
    low: list[float | None], high: list[float | None], confidence: float
) -> list[float] | None:
    """Return the standard errors of the logarithms that belong to intervals; None if one of them is open."""
    from scipy.stats import norm

    if any(a is None or b is None or not b > a > 0 for a, b in zip(low, high)):
        return None
    width = 2 * float(norm.ppf(0.5 + confidence / 2))
    return [math.log(b / a) / width for a, b in zip(low, high)]  # type: ignore[operator]


def scaling_laws(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the power laws of every material and functional with at least three supercell sizes.

    Parameters
    ----------
    cases
        Cases as `build_case` makes them.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault((case["material"], case["functional"]), []).append(case)
    laws = []
    for (material, functional), members in groups.items():
        members = sorted(members, key=lambda case: case["n_atoms"])
        atoms = [case["n_atoms"] for case in members]
        if len(set(atoms)) < MINIMUM:
            continue
        law: dict[str, Any] = {"material": material, "functional": functional, "n_atoms": atoms}
        for quantity, values, intervals in (
            (
                "nac_rms_meV",
                [case["nac_rms_meV"] for case in members],
                [case["nac_rms_interval_meV"] for case in members],
            ),
            (
                "lifetime_ns",
                [case["lifetime_ns"]["value"] for case in members],
                [case["lifetime_ns"] for case in members],
            ),
        ):
            low, high = ([interval[key] for interval in intervals] for key in ("low", "high"))
            errors = relative_errors(low, high, members[0]["confidence"])
            law[quantity] = {
                "values": values,
                "low": low if errors else None,
                "high": high if errors else None,
                **power_law(atoms, values, errors),
            }
        laws.append(law)
    return laws
