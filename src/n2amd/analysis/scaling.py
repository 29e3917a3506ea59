"""Finite-size scaling: coupling and lifetime as powers of the number of atoms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

#: Supercells needed for a power law with an error.
MINIMUM = 3


def power_law(n_atoms: ArrayLike, values: ArrayLike) -> dict[str, float]:
    """Fit values = prefactor * n_atoms**exponent by least squares of the logarithms.

    Parameters
    ----------
    n_atoms, values
        Positive, (n,), n >= 3.

    Returns
    -------
    dict
        "exponent", its standard "error" and the "prefactor".
    """
    from scipy.stats import linregress

    fit = linregress(np.log(np.asarray(n_atoms, float)), np.log(np.asarray(values, float)))
    return {
        "exponent": float(fit.slope),
        "error": float(fit.stderr),
        "prefactor": float(np.exp(fit.intercept)),
    }


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
        nac = [case["nac_rms_meV"] for case in members]
        life = [case["lifetime_ns"] for case in members]
        values = [entry["value"] for entry in life]
        bounded = all(entry["low"] is not None and entry["high"] is not None for entry in life)
        laws.append(
            {
                "material": material,
                "functional": functional,
                "n_atoms": atoms,
                "nac_rms_meV": {"values": nac, "low": None, "high": None, **power_law(atoms, nac)},
                "lifetime_ns": {
                    "values": values,
                    "low": [entry["low"] for entry in life] if bounded else None,
                    "high": [entry["high"] for entry in life] if bounded else None,
                    **power_law(atoms, values),
                },
            }
        )
    return laws
