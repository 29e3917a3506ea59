"""The gate again, on a data set that was written before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dataset.gate import measure, verdict
from n2amd.dataset.series import Series
from n2amd.dataset.store import read_attributes, read_basis, read_frames
from n2amd.frames.checks import BY_NAME


def check_dataset(
    path: str | Path, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[list[str], dict[str, NDArray[np.float64]], list[tuple[str, Mapping[str, str]]]]:
    """Pass every frame of a data set through the gate and compare the frames with each other.

    Parameters
    ----------
    path
        Data set file.
    progress
        Called with frames done and frames in total.

    Returns
    -------
    names, figures
        Names of the frames; values (n_frames,) by check name, NaN where a frame has none.
    warnings
        Names of the frames that pass with a warning, and the sentences by check name.

    Raises
    ------
    InputError
        Naming the frame, the check, the value and the remedy.
    """
    attributes, basis = read_attributes(path), read_basis(path)
    total = int(attributes["n_frames"])
    series = Series(float(attributes["timestep_fs"]) if attributes["consecutive"] else None)
    names: list[str] = []
    figures: dict[str, NDArray[np.float64]] = {}
    warnings: list[tuple[str, Mapping[str, str]]] = []
    for row, frame in enumerate(read_frames(path)):
        measured = measure(frame, basis)
        if found := verdict(frame, measured):
            warnings.append((frame.name, found))
        series.check(frame)
        series.add(frame)
        names.append(frame.name)
        for name, value in measured.items():
            if name in BY_NAME:
                figures.setdefault(name, np.full(total, np.nan))[row] = value
        progress(row + 1, total)
    series.finish()
    return names, figures, warnings
