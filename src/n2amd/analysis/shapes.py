"""What the JSON reports hold, as far as others read them, and a check that a report does.

A shape is `float` (a finite number), `int`, `str`, `bool`, a tuple of choices, a dict of shapes, a list of
one shape (not empty), `Each` of a shape, `Maybe` of a shape, or `ANY`. A report may hold more than its shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from n2amd.errors import InputError

Report = dict[str, Any]

#: Stages in the order they run.
STAGES = ("ingest", "forcefield", "hamiltonian", "trajectory", "states", "couplings", "dynamics", "analysis")


@dataclass(frozen=True)
class Maybe:
    """A value that may be null."""

    shape: Any


@dataclass(frozen=True)
class Each:
    """Every value of a dict or a list, which may be empty."""

    shape: Any


ANY = object()
BOUNDS = {"low": Maybe(float), "high": Maybe(float)}
_SCAN = [
    {
        "tau_fs": float,
        **dict.fromkeys(("lifetime_ns", "low_ns", "high_ns", "exponential_waiting_ns"), Maybe(float)),
    }
]
_LEVELS = [{"name": str, "filled": bool, "defect": bool, "energy_eV": float, "std_eV": float}]

LENGTH = {
    "judgement": ("long enough", "wide", "too short"),
    "frames": int,
    "frames_needed": Maybe(int),
}
_DENSITY = {
    **{name: [float] for name in ("wave_number_cm1", "density_meV2_cm", "error_meV2_cm")},
    **dict.fromkeys(("std_meV", "wave_number_of_95_percent_cm1"), float),
    "peaks": Each(dict.fromkeys(("wave_number_cm1", "share", "height_meV2_cm", "error_meV2_cm"), float)),
}
_SPREADS = {f"{edge}_{what}_meV": float for edge in ("vbm", "cbm") for what in ("error", "spread")}
DEPHASING = {
    "gaussian_fs": float,
    "gaussian_interval_fs": {"low": float, "high": Maybe(float)},
    "used": str,
    "definitions": [{"definition": str, "time_fs": Maybe(float)}],
}
LIFETIME = {
    "gap": {"mean_eV": float, "std_eV": float},
    "nac": {"rms_meV": float, "rms_low_meV": float, "rms_high_meV": float, "mean_abs_meV": float},
    "lifetime_ns": {"value": float, **BOUNDS, "method": str},
    "band_ns": BOUNDS,
    "length": LENGTH,
    "estimate_ns": float,
    "estimate_ratio": float,
    "confidence": float,
    "verdict": str,
    "fits": Each(
        {
            "method": str,
            "seed": int,
            "decayed": float,
            "arrivals": {"hops": int, "lifetime_ns": {"value": Maybe(float), **BOUNDS}},
        }
    ),
    "seed": int,
}
FORCEFIELD = {
    "test": {"energy_mae_meV_per_atom": float, "force_mae_meV_per_A": float, "n_frames": int},
    "seed": int,
}
HAMILTONIAN = {
    "test": {
        **dict.fromkeys(("mae_meV", "vbm_mae_meV", "cbm_mae_meV", "gap_mae_meV"), Maybe(float)),
        "n_frames": int,
    },
    "seed": int,
}
#: Of `by_cell` of `hamiltonian.json`.
OF_CELL = {"n_atoms": int, "n_frames": int, "gap_mae_meV": Maybe(float), "larger_than_trained": ANY}
NAC_PARITY = {
    "mae_meV": float,
    "rms_dft_meV": float,
    "gap_edge": {"mae_meV": float, "rms_dft_meV": float},
    "n_frames": int,
}
CASE = {
    **dict.fromkeys(("material", "functional", "supercell", "verdict"), str),
    "n_atoms": int,
    "n_frames": int,
    "temperature_K": {"target": float, "mean": float},
    **dict.fromkeys(("gap_mean_eV", "gap_std_eV", "dephasing_time_fs", "nac_rms_meV", "estimate_ns"), float),
    "dephasing_interval_fs": DEPHASING["gaussian_interval_fs"],
    "nac_rms_interval_meV": BOUNDS,
    "lifetime_ns": LIFETIME["lifetime_ns"],
    "length": LENGTH,
    "tau_band_ns": BOUNDS,
    "confidence": float,
    "hamiltonian": Maybe(dict.fromkeys(("mae_meV", "gap_mae_meV"), Maybe(float))),
    "forcefield": Maybe(dict.fromkeys(("energy_mae_meV_per_atom", "force_mae_meV_per_A"), Maybe(float))),
    "nac_parity": Maybe({"gap_edge": {"mae_meV": Maybe(float)}}),
    "cpu_seconds": {"by_file": Each({"stage": STAGES, "seconds": float})},
}
#: Keys of a case that older versions did not write.
CASE_SINCE: dict[str, Any] = {
    "timestep_fs": float,
    "drift_meV_per_atom_per_ps": Maybe(float),
    "runs": Maybe(Each({"method": str, "hops": int, "lifetime_ns": BOUNDS})),
    "states": Maybe(
        dict.fromkeys(("n_frames", "frames_with_false_states", "frames_judged", "frames_outside"), int)
    ),
    "warnings": Each(str),
}
#: A case of the summary, which has the CPU time by stage only, and what the report reads beside.
SUMMARY = {
    "cases": [
        {
            **{key: shape for key, shape in CASE.items() if key != "cpu_seconds"},
            "trust": {
                "level": ("believe", "with care", "do not believe"),
                "reasons": Each(str),
                "checks": Each({"name": str, "outcome": ("good", "care", "bad", "unknown"), "found": str}),
            },
        }
    ],
    "scaling": Each({}),
}

#: Of `bands.json` and `dos.json`, or of each spin channel there.
_BANDS = {"dft_eV": Maybe([[float]]), "model_eV": [[float]], "n_occupied": int}
_DOS = {"total": [float], "projected": Each([float])}
#: What each figure of a report is drawn from.
FIGURES: dict[str, dict[str, Any]] = {
    "forcefield-energy": {"parity": {"energy_dft_eV_per_atom": ANY, "energy_model_eV_per_atom": ANY}},
    "forcefield-force": {"parity": {"force_dft_eV_A": ANY, "force_model_eV_A": ANY}},
    "hamiltonian": {
        "test": {"mae_meV": float, "n_frames": int},
        "by_distance": [{"distance_A": float, "mae_meV": float, "max_meV": float}],
    },
    "doubt": {"frames": [{"n_atoms": int}], "doubt": Maybe({"frames": [_SPREADS]})},
    "nac-parity": {
        "pairs": [{"gap_eV": float, "nac_dft_meV": float, "nac_model_meV": float}],
        "by_gap": [
            {
                **{"gap_from_eV": float, "gap_to_eV": float},
                **{"mae_meV": Maybe(float), "rms_dft_meV": Maybe(float)},
            }
        ],
        "mae_meV": float,
        "rms_dft_meV": float,
    },
    "population-parity": {
        "populations": Maybe(
            {
                "time_fs": [float],
                "dephasing_fs": float,
                "recombination": {
                    **{who: [float] for who in ("dft", "model")},
                    **dict.fromkeys(("lifetime_dft_ns", "lifetime_model_ns"), Maybe(float)),
                },
                "relaxation": {
                    carrier: {"dft": [[float]], "model": [[float]], "rms_difference": float}
                    for carrier in ("electron", "hole")
                },
            }
        )
    },
    "bands": {"labels": [[ANY]], "distance": [float], **_BANDS},
    "dos": {"energy_eV": [float], "gap_eV": float, **_DOS},
    "dephasing": {
        **{name: [float] for name in ("time_fs", "autocorrelation", "dephasing_function")},
        **dict.fromkeys(("gaussian_fs", "gap_std_eV", "confidence"), float),
        "gaussian_interval_fs": DEPHASING["gaussian_interval_fs"],
        **dict.fromkeys(("exponential_fs", "one_over_e_fs", "inverse_sigma_fs"), Maybe(float)),
    },
    "spectral-density": {
        **dict.fromkeys(("resolution_cm1", "nyquist_cm1"), float),
        **dict.fromkeys(("gap", "coupling"), _DENSITY),
    },
    "phonons": {
        "n_frames": int,
        "dft_cm": Each(float),
        "model_cm": Each(float),
        "trajectory": {"wave_number_cm": [float], "density": [float], "resolution_cm": float},
    },
    "character": {
        "level": str,
        "n_frames": int,
        "species": [str],
        "states": [
            {"state": str, "species_share": Each(float), "participation": {"mean": float}},
        ],
        "edges": {edge: {"participation": [float]} for edge in ("VBM", "CBM")},
    },
    "defect": {
        "states": [str],
        "levels": _LEVELS,
        "sources": [
            {"lifetime_ns": {"value": Maybe(float)}, "direct_ns": {"value": Maybe(float)}},
        ],
        "populations": Maybe(
            {
                "time_ns": [float],
                "values": [[float]],
                "direct": [float],
                "pristine": Maybe([float]),
            }
        ),
        "pristine": Maybe({"levels": _LEVELS, "lifetime_ns": {"value": Maybe(float)}}),
    },
    "lifetime-tau": {
        "tau_scan": _SCAN,
        "tau_band": [{"tau_fs": float}],
        "exact": {"waiting_steps": int},
        "lifetime_ns": {"value": float, **BOUNDS},
        "confidence": float,
        "estimate_ns": Maybe(float),
    },
    "scaling": {
        "cases": [
            {
                **dict.fromkeys(("material", "functional"), str),
                **dict.fromkeys(("n_atoms", "nac_rms_meV"), float),
                "lifetime_ns": {"value": float, **BOUNDS},
                "nac_rms_interval_meV": BOUNDS,
            }
        ],
        "scaling": Each(
            {
                **dict.fromkeys(("material", "functional"), str),
                **{
                    name: {"prefactor": float, "exponent": float, "error": float}
                    for name in ("nac_rms_meV", "lifetime_ns")
                },
            }
        ),
    },
    # of lifetime.json, beside the runs
    "populations": {"fits": Each({"lifetime_ns": {"value": Maybe(float)}})},
}


#: What figures are drawn from where the report has spin channels.
_FIGURES_OF_CHANNELS: dict[str, dict[str, Any]] = {
    "bands": {"labels": [[ANY]], "distance": [float], "channels": {"up": _BANDS, "down": _BANDS}},
    "dos": {"energy_eV": [float], "gap_eV": float, "channels": {"up": _DOS, "down": _DOS}},
}


def figure_shape(what: str, report: Report) -> dict[str, Any]:
    """Shape of the report that a figure is drawn from."""
    return (_FIGURES_OF_CHANNELS if "channels" in report else FIGURES).get(what, FIGURES[what])


def conforming(report: Report, shape: dict[str, Any]) -> Report:
    """Return the report if it has a shape.

    Parameters
    ----------
    report
        As `n2amd.analysis.documents.read_report` reads it.
    shape
        As described above.

    Raises
    ------
    InputError
        If something is missing or of another kind; the field is told with its path.
    """
    _conform(report, shape, report.get("__file__"), "")
    return report


def _conform(value: Any, shape: Any, file: str | None, field: str) -> None:
    if isinstance(shape, Maybe):
        if value is None:
            return
        shape = shape.shape
    if isinstance(shape, Each):
        if not isinstance(value, dict | list):
            raise _wrong(value, "an object or a list", file, field)
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _conform(item, shape.shape, file, f"{field}[{key}]")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            raise _wrong(value, "an object", file, field)
        for key, inner in shape.items():
            name = f"{field}.{key}" if field else key
            if key not in value:
                raise InputError(
                    "the report does not have it",
                    file=file,
                    field=name,
                    remedy="pass the report of the right stage, or make it again with this version",
                )
            _conform(value[key], inner, file, name)
    elif isinstance(shape, list):
        if not isinstance(value, list) or not value:
            raise _wrong(value, "a list of anything", file, field)
        for number, item in enumerate(value):
            _conform(item, shape[0], file, f"{field}[{number}]")
    elif isinstance(shape, tuple) and value not in shape:
        raise _wrong(value, f"one of {', '.join(shape)}", file, field)
    elif shape is float and not _is_number(value):
        raise _wrong(value, "a finite number", file, field)
    elif shape is int and not (_is_number(value) and value == int(value)):
        raise _wrong(value, "a whole number", file, field)
    elif shape is str and not isinstance(value, str):
        raise _wrong(value, "text", file, field)
    elif shape is bool and not isinstance(value, bool):
        raise _wrong(value, "true or false", file, field)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(value: Any, wanted: str, file: str | None, field: str) -> InputError:
    return InputError(
        f"{str(value)[:40]!r} is not {wanted}", file=file, field=field, remedy="make the report again"
    )
