"""What the figures of the gate say of a frame: refused, and why; or passed, and what was not checked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from n2amd.errors import InputError
from n2amd.frames.checks import BY_NAME, CHECKS, Check
from n2amd.frames.frame import Frame
from n2amd.units import SIESTA_RYDBERG_EV

#: Factors of a wrong energy unit: by how much the bands are too wide, and what happened.
ENERGY_UNITS = (
    (SIESTA_RYDBERG_EV, "H seems to be in eV where Rydberg was expected"),
    (2 * SIESTA_RYDBERG_EV, "H seems to be in eV where Hartree was expected"),
    (2.0, "H seems to be in Hartree where Rydberg was expected"),
    (0.5, "H seems to be in Rydberg where Hartree was expected"),
    (1 / SIESTA_RYDBERG_EV, "H seems to be in Rydberg where eV was expected"),
    (0.5 / SIESTA_RYDBERG_EV, "H seems to be in Hartree where eV was expected"),
)


def verdict(frame: Frame, figures: Mapping[str, float]) -> dict[str, str]:
    """Refuse the frame if a figure is out of its range; say what is unusual or could not be checked.

    Returns
    -------
    warnings
        A sentence by the name of the check that it concerns; empty for most frames.

    Raises
    ------
    InputError
        Naming the frame, the first check that failed, its value and the remedy; or if the code's own
        eigenvalues are missing, unless that is accepted (`bands: none` in the origin).
    """
    warnings: dict[str, str] = {}
    for check in CHECKS:
        value = figures.get(check.name)
        if value is None or check.passes(value):
            continue
        if not check.refuses(value, lengths_known="overlap_error" in figures):
            warnings[check.name] = (
                f"{_found(check, value)}, usually {_usual(check)}{_checked(check, figures)}"
            )
            continue
        bound = f"at least {check.low:g}" if value < check.low else f"at most {check.high:g}"
        raise InputError(
            f"{_found(check, value)}, must be {bound}{_hint(frame, check, figures)}",
            frame=frame.name,
            remedy=check.remedy,
        )
    if "eigenvalue_error" not in figures:
        if frame.origin.get("bands") != "none":
            raise InputError(
                "the code's own eigenvalues are missing, so H and S cannot be verified",
                frame=frame.name,
                field="eigenvalue_error",
                remedy="keep the eigenvalue file of the run, or accept such frames (--without-bands)",
            )
        warnings["eigenvalue_error"] = (
            "no eigenvalues of the code: the unit of H, and that it belongs to S, were not checked"
        )
    return warnings


def _found(check: Check, value: float) -> str:
    unit = f" {check.unit}" if check.unit else ""
    return f"{check.meaning} ({check.name}) is {value:.4g}{unit}"


def _usual(check: Check) -> str:
    return f"{check.low:g} to {check.high:g}" if check.low > -np.inf else f"at most {check.high:g}"


def _checked(check: Check, figures: Mapping[str, float]) -> str:
    """What else speaks for a frame with an unusual figure, or what nothing could tell."""
    if check.name == "bands_missing":
        return "; those listed were compared"
    if "overlap_error" in figures:
        return "; S made of these positions is that of the file, so that their unit is right"
    absent = "no radial functions to make S of: whether lengths are in the right unit (Bohr or Angstrom)"
    if "eigenvalue_error" in figures:
        absent = f"the bands are the code's own, which says nothing about lengths, and there are {absent}"
    else:
        absent = f"there are no eigenvalues and {absent}"
    return f"; {absent} could not be checked; compare cell and positions with the input of the run"


def _hint(frame: Frame, check: Check, figures: Mapping[str, float]) -> str:
    """What the figures together say about the cause."""
    if check.name == "not_finite":
        return f" (in {', '.join(name for name, count in not_finite(frame).items() if count)})"
    if check.name in ("overlap_growth", "two_centre_residual", "overlap_error"):
        return _hint_of_lengths(figures)
    if check.name != "eigenvalue_error":
        return ""
    ratio = figures.get("band_ratio", 1.0)
    if abs(ratio) < 1e-3:
        return " (all bands of (H, S) are one value: H is a multiple of S)"
    if abs(ratio - 1) > 0.05:
        cause = next((cause for factor, cause in ENERGY_UNITS if abs(ratio / factor - 1) < 0.05), None)
        return f" (bands {ratio:.3g} times too wide{f': {cause}' if cause else ''})"
    shift = figures.get("band_shift", 0.0)
    if figures.get("band_scatter", np.inf) > max(BY_NAME["eigenvalue_error"].high, 0.01 * abs(shift)):
        return ""
    fermi = 1e3 * (frame.fermi_level or 0.0)
    shifted = " by the Fermi level" if fermi and abs(abs(shift / fermi) - 1) < 0.01 else ""
    return (
        f" (all bands are shifted{shifted}, {shift:+.4g} meV: H and the eigenvalues have other energy zeros)"
    )


def _hint_of_lengths(figures: Mapping[str, float]) -> str:
    """Whether a wrong S comes of lengths in another unit, or of lengths that no bond has."""
    parts = []
    if (factor := figures.get("length_factor")) is not None:
        read = "Bohr were read as Angstrom" if factor < 1 else "Angstrom were read as Bohr"
        parts.append(f"S is that of a structure {factor:.4g} times as large: {read}")
    parts += [
        f"{name} is {figures[name]:.4g}, usually {_usual(BY_NAME[name])}: {BY_NAME[name].remedy}"
        for name in ("bond_ratio", "volume_per_atom")
        if name in figures and not BY_NAME[name].passes(figures[name])
    ]
    return f" ({'; '.join(parts)})" if parts else ""


def not_finite(frame: Frame) -> dict[str, int]:
    """Count the values that are not finite, by field."""
    fields: dict[str, list] = {
        "cell": [frame.structure.cell],
        "positions": [frame.structure.positions],
        "electrons": [frame.n_electrons, frame.charge],
        "energy": [frame.energy, frame.fermi_level],
        "forces": [frame.forces],
        "stress": [frame.stress],
        "velocities": [frame.velocities],
        "Hamiltonian": list(frame.hamiltonian.values.values()),
        "overlap": list(frame.overlap.values.values()),
    }
    if frame.bands is not None:
        fields["k points"] = [frame.bands.kpoints, frame.bands.weights]
        fields["eigenvalues"] = [frame.bands.energies]
    return {
        name: sum(int(np.count_nonzero(~np.isfinite(array))) for array in arrays if array is not None)
        for name, arrays in fields.items()
    }
