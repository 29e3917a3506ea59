"""`dephasing.json`: pure dephasing of the band edges by every definition, and of all pairs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.analysis.documents import without_nan
from n2amd.analysis.edges import read_window
from n2amd.errors import InputError
from n2amd.hopping.dephasing import matrix, of_gap

#: Times for which the functions are kept, in Gaussian dephasing times.
KEPT = 10


def dephasing_report(couplings: Path) -> dict[str, Any]:
    """Return the content of `dephasing.json`.

    Parameters
    ----------
    couplings
        `couplings.h5`; the tracked edge states, as in the dynamics.

    Raises
    ------
    InputError
        If there are too few frames, or the gap does not fluctuate.
    """
    path = read_window(couplings)
    vbm, cbm = path.final, path.start
    try:
        edge = of_gap(path.energies[:, cbm] - path.energies[:, vbm], path.timestep_fs)
    except InputError as error:
        raise InputError(error.problem, file=couplings, field=error.field, remedy=error.remedy) from None
    if not np.isfinite(edge.gaussian_fs):
        raise InputError(
            "the gap does not fluctuate, so nothing dephases",
            file=couplings,
            field="energies",
            remedy="check that the frames differ",
        )
    kept = edge.time_fs <= max(KEPT * edge.gaussian_fs, 20 * path.timestep_fs)
    values = {key: value for key, value in asdict(edge).items() if not isinstance(value, np.ndarray)}
    report = {
        "pair": [int(path.band_index[vbm]), int(path.band_index[cbm])],
        **values,
        "time_fs": edge.time_fs[kept],
        "autocorrelation": edge.autocorrelation[kept],
        "dephasing_function": edge.function[kept],
        "band_index": path.band_index,
        "matrix_fs": matrix(path.energies, path.timestep_fs),
    }
    return without_nan(report)
