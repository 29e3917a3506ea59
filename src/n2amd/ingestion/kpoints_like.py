"""The k mesh that a data set's code would take for another cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.engines.kmesh import half_mesh
from n2amd.ingestion.scf_frames import reference_spacing

#: k spacings of strained cells differ in the third digit.
SLACK = 0.02


def kpoints_like(
    reference: Path,
) -> Callable[[NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the function that gives k points and weights of a cell, as far apart as a data set's.

    Raises
    ------
    InputError
        If no frame of the data set says its k points.
    """
    spacing = reference_spacing(reference)

    def of_cell(cell: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        lengths = np.linalg.norm(2 * np.pi * np.linalg.inv(cell).T, axis=1)
        a, b, c = np.maximum(np.ceil(lengths / spacing - SLACK), 1).astype(int).tolist()
        return half_mesh((a, b, c))

    return of_cell
