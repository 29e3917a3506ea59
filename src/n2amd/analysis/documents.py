"""Look-ups in the JSON reports of earlier stages, with a plain sentence where something is missing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.storage import read_json


def read_report(path: str | Path) -> dict[str, Any]:
    """Read a JSON report; it remembers the file it came from for error messages."""
    return {**read_json(path), "__file__": str(path)}


def at(report: dict[str, Any], *keys: str) -> Any:
    """Return report[key][key]...

    Raises
    ------
    InputError
        If a key is missing, or leads to an empty list.
    """
    value: Any = report
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise InputError(
                "the report does not have it",
                file=report.get("__file__"),
                field=".".join(keys),
                remedy="pass the report of the right stage, or make it again with this version",
            )
        value = value[key]
    if isinstance(value, list) and not value:
        raise InputError(
            "the list is empty",
            file=report.get("__file__"),
            field=".".join(keys),
            remedy="make the report again",
        )
    return value


def number_at(report: dict[str, Any], *keys: str) -> float:
    """Return report[key][key]... that is a finite number; raises as `at`, and where it is none."""
    value = at(report, *keys)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"{value!r} is no finite number",
            file=report.get("__file__"),
            field=".".join(keys),
            remedy="make the report again",
        )
    return float(value)


def pair_of_columns(
    report: dict[str, Any], section: str, first: str, second: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return two lists of a section as flat arrays of the same length.

    Raises
    ------
    InputError
        If they are missing, empty or differ in length.
    """
    try:
        a = np.ravel(np.asarray(at(report, section, first), float))
        b = np.ravel(np.asarray(at(report, section, second), float))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"not lists of numbers ({error})",
            file=report.get("__file__"),
            field=section,
            remedy="make the report again",
        ) from error
    if len(a) != len(b):
        raise InputError(
            f"{first} has {len(a)} values, {second} has {len(b)}",
            file=report.get("__file__"),
            field=section,
            remedy="make the report again",
        )
    return a, b


def without_nan(value: Any) -> Any:
    """Return the same nested document with NaN and infinities as None, and arrays as lists.

    JSON has no NaN: strict readers refuse a file that holds one.
    """
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return without_nan(value.tolist())
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
