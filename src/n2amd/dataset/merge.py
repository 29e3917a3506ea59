"""Several data sets as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.dataset.series import Series
from n2amd.dataset.store import create_dataset, read_attributes, read_basis, read_frames, read_gate
from n2amd.errors import InputError


def merge(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the frames of several data sets into one, in the order given.

    Parameters
    ----------
    paths
        Data sets of one code, functional, basis and kind of spin: independent frames all, or consecutive ones
        that go on where the set before ends.
    out
        Data set to write.
    progress
        Called with frames done and frames in total.

    Returns
    -------
    n_frames
        Frames written.

    Raises
    ------
    InputError
        If the sets differ in any of these, or a frame is in two of them.
    """
    attributes = [read_attributes(path) for path in paths]
    for path, found in zip(paths, attributes):
        _check_alike(path, found, paths[0], attributes[0])
    first = attributes[0]
    timestep = float(first["timestep_fs"]) if first["consecutive"] else None
    total = sum(int(found["n_frames"]) for found in attributes)
    # derived velocities are one-sided at the ends of a set: they are derived again for the whole
    derived = any(str(found["velocities"]).startswith("derived") for found in attributes)
    series, done = Series(timestep), 0
    with create_dataset(
        out, code=first["code"], functional=first["functional"], timestep_fs=timestep, inputs=paths
    ) as writer:
        for path in paths:
            basis, gate = read_basis(path), read_gate(path)
            for index, frame in enumerate(read_frames(path)):
                series.check(frame)
                series.add(frame)
                figures = {name: values[index] for name, values in gate.items()}
                known = {name: float(value) for name, value in figures.items() if not np.isnan(value)}
                writer.append(replace(frame, velocities=None) if derived else frame, basis, known)
                done += 1
                progress(done, total)
    return done


def _check_alike(
    path: str | Path, found: dict[str, Any], first_path: str | Path, first: dict[str, Any]
) -> None:
    for name in ("code", "functional", "consecutive", "timestep_fs"):
        if found[name] != first[name] and not (name == "timestep_fs" and not first["consecutive"]):
            raise InputError(
                f"{name} is {found[name]}, in {first_path} it is {first[name]}",
                file=path,
                field=name,
                remedy="merge data sets of one kind",
            )
