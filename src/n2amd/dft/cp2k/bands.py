"""CP2K's own eigenvalues: the file of &BAND_STRUCTURE."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference

_POINT = re.compile(r"^#\s+Point\s+\d+\s+Spin\s+(\d):((?:\s+[-+\d.E]+){3})(?:\s+([-+\d.E]+))?\s*$")


def read_bands(path: Path, n_spin: int) -> BandReference:
    """Read the k points (fractional) and eigenvalues (eV, absolute) of all sets of a file.

    Raises
    ------
    InputError
        If the file is cut or damaged, has other spins than the run, or different numbers of bands.
    """
    points: list[tuple[float, ...]] = []
    weights: list[float] = []
    spins: list[int] = []
    energies: list[list[float]] = []
    for line in read_text(path).splitlines():
        if match := _POINT.match(line):
            points.append(tuple(float(word) for word in match[2].split()))
            weights.append(float(match[3] or 1))
            spins.append(int(match[1]))
            energies.append([])
        elif not line.startswith("#") and (words := line.split()):
            if not energies or len(words) != 3 or words[0] != str(len(energies[-1]) + 1):
                raise _damaged(path, f"unexpected line {line.strip()!r}")
            try:
                energies[-1].append(float(words[1]))
            except ValueError:
                raise _damaged(path, f"{words[1]!r} is not an energy") from None
    counts = {len(values) for values in energies}
    if not energies or len(counts) > 1:
        raise _damaged(path, f"the k points have {sorted(counts)} bands" if counts else "there is no k point")
    if spins != [*range(1, n_spin + 1)] * (len(spins) // n_spin):
        raise InputError(
            f"spins {sorted(set(spins))} where the run has {n_spin}",
            file=path,
            field="Spin",
            remedy="keep the files of one run together",
        )
    weight = np.array(weights)[::n_spin]
    return BandReference(
        np.array(points)[::n_spin],
        weight / weight.sum(),
        np.array(energies).reshape(-1, n_spin, counts.pop()),
    )


def _damaged(path: Path, problem: str) -> InputError:
    return InputError(
        f"{problem}: the file is cut or damaged, or of a version of CP2K whose layout is not known",
        file=path,
        field="bands",
        remedy="copy it again from the run; without it the frame needs --without-bands",
    )
