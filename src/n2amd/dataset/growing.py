"""HDF5 data sets that grow along one axis, frame by frame."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

#: Rows (pairs, atoms, frames) in one chunk.
CHUNK = 64


def lengthen(dataset: h5py.Dataset, length: int, axis: int = 0) -> None:
    """Make a data set at least so long; new places hold the fill value."""
    if dataset.shape[axis] < length:
        dataset.resize(length, axis=axis)


def append_rows(group: h5py.Group, name: str, values: NDArray, axis: int = 0) -> None:
    """Append along an axis; the data set is created at the first call, growing along every axis."""
    if name not in group:
        # of fixed length along the axis: the first frame may be the smallest
        chunk = tuple(CHUNK if k == axis else n for k, n in enumerate(values.shape))
        group.create_dataset(
            name,
            data=values,
            maxshape=(None,) * values.ndim,
            chunks=tuple(max(1, n) for n in chunk),
            fillvalue=np.nan if values.dtype.kind == "f" else None,
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        return
    dataset = group[name]
    start = dataset.shape[axis]
    dataset.resize(start + values.shape[axis], axis=axis)
    place = [slice(None)] * dataset.ndim
    place[axis] = slice(start, None)
    dataset[tuple(place)] = values


def append_offset(group: h5py.Group, name: str, length: int) -> None:
    """Append the end of a slice that is `length` long; the data set starts with 0."""
    if name not in group:
        group.create_dataset(name, data=np.zeros(1, dtype=np.int64), maxshape=(None,), chunks=(CHUNK,))
    dataset = group[name]
    last = int(dataset[-1])
    dataset.resize(len(dataset) + 1, axis=0)
    dataset[-1] = last + length
