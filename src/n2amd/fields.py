"""Fields of an open HDF5 file, read with their kind checked: errors tell file, frame and field."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError

_AGAIN = "run the stage that makes it again"
_KINDS = {"whole": "iub", "real": "iuf", "any": "iufc"}


def _attribute(source: h5py.File, name: str) -> Any:
    if name not in source.attrs:
        raise InputError("the file does not have it", file=source.filename, field=name, remedy=_AGAIN)
    try:
        value = source.attrs[name]
    except (OSError, TypeError, ValueError) as error:
        raise _damaged(source, name, error) from error
    single = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if single else value


def _damaged(source: h5py.File, name: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())
    return InputError(
        f"damaged ({reason})", file=source.filename, field=name, remedy=f"delete it and {_AGAIN}"
    )


def number(source: h5py.File, name: str, *, positive: bool = False, infinite: bool = False) -> float:
    """Return a root attribute that is one real number.

    Parameters
    ----------
    source
        Open file.
    name
        Of the attribute.
    positive
        Whether it must be above zero.
    infinite
        Whether it may be infinite.

    Raises
    ------
    InputError
        If it is missing, no number, NaN, or not positive where it must be.
    """
    value = _attribute(source, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{value!r} is no number", file=source.filename, field=name, remedy=_AGAIN)
    if math.isnan(value) or (math.isinf(value) and not infinite) or (positive and value <= 0):
        wanted = "positive" if positive else "finite"
        raise InputError(f"{value:g} is not {wanted}", file=source.filename, field=name, remedy=_AGAIN)
    return float(value)


def whole(source: h5py.File, name: str, least: int | None = None) -> int:
    """Return a root attribute that is one whole number, and not below `least`; raises as `number`."""
    value = number(source, name)
    if value != int(value) or (least is not None and value < least):
        wanted = "a whole number" if least is None else f"a whole number from {least}"
        raise InputError(f"{value:g} is not {wanted}", file=source.filename, field=name, remedy=_AGAIN)
    return int(value)


def word(source: h5py.File, name: str, choices: Sequence[str] | None = None) -> str:
    """Return a root attribute that is text, and one of `choices`; raises as `number`."""
    value = _attribute(source, name)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str) or (choices is not None and value not in choices):
        wanted = "no text" if choices is None else f"none of {', '.join(choices)}"
        raise InputError(f"{value!r} is {wanted}", file=source.filename, field=name, remedy=_AGAIN)
    return value


def vector(source: h5py.File, name: str, length: int) -> tuple[float, ...]:
    """Return a root attribute that is `length` finite numbers; raises as `number`."""
    value = np.asarray(_attribute(source, name))
    if value.shape != (length,) or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise InputError(
            f"{value.tolist()!r} is not {length} numbers", file=source.filename, field=name, remedy=_AGAIN
        )
    return tuple(float(x) for x in value)


def array(
    source: h5py.File,
    name: str,
    shape: tuple[int | None, ...],
    kind: Literal["whole", "real", "any"] = "real",
    *,
    finite: bool = True,
) -> NDArray:
    """Return a data set.

    Parameters
    ----------
    source
        Open file.
    name
        Of the data set.
    shape
        Its lengths; None where any will do.
    kind
        `whole` numbers, `real` ones (returned as float64), or `any`, complex ones among them.
    finite
        Whether NaN and infinities are refused.

    Raises
    ------
    InputError
        If it is missing, of another kind or shape, or not finite.
    """
    found = source.get(name)
    if not isinstance(found, h5py.Dataset):
        problem = "the file does not have it" if found is None else "is a group, not a data set"
        raise InputError(problem, file=source.filename, field=name, remedy=_AGAIN)
    if found.dtype.kind not in _KINDS[kind]:
        problem = "complex, where it must be real" if found.dtype.kind == "c" else f"of type {found.dtype}"
        raise InputError(
            f"the numbers are {problem}",
            file=source.filename,
            field=name,
            remedy=_AGAIN if kind != "whole" else f"write whole numbers, or {_AGAIN}",
        )
    if len(found.shape) != len(shape) or any(
        wanted not in (None, length) for wanted, length in zip(shape, found.shape)
    ):
        lengths = ", ".join("any" if length is None else str(length) for length in shape)
        raise InputError(
            f"has shape {found.shape}, where the rest of the file asks for ({lengths})",
            file=source.filename,
            field=name,
            remedy=_AGAIN,
        )
    try:
        values = found[()]
    except (OSError, TypeError, ValueError) as error:
        raise _damaged(source, name, error) from error
    if finite and not np.isfinite(values).all():
        place = np.argwhere(~np.isfinite(values))
        raise InputError(
            "not a finite number",
            file=source.filename,
            frame=int(place[0][0]) if place.size else None,
            field=name,
            remedy=_AGAIN,
        )
    return values.astype(np.float64) if kind == "real" else values
