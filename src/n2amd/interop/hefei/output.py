"""What the programs write: SHPROP, RECOMB (populations and first arrivals) and PSICT (amplitudes)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.interop.hefei.text import read_table, read_text, write_table, write_text

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?"
#: (re,im) of namd, or re+imi of DEV, or a plain number.
_AMPLITUDE = re.compile(
    rf"\(\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)|({_NUMBER})([-+](?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?)i|({_NUMBER})"
)


def read_shprop(file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Read SHPROP of any of the programs: time (fs), mean energy (eV), populations (times, n)."""
    table = read_table(file)
    if table.shape[1] < 4:
        raise InputError(
            f"{table.shape[1]} columns", file=file, remedy="SHPROP has time, energy and at least two bands"
        )
    return table[:, 0], table[:, 1], table[:, 2:]


def read_recomb(file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read RECOMB: time (fs), and the share that has arrived so far from each band, (times, n)."""
    time, _, arrived = read_shprop(file)
    return time, arrived


def write_shprop(
    folder: Path,
    path: ClassicalPath,
    start_frames: NDArray[np.int64],
    population: NDArray[np.float64],
    stride: int = 1,
) -> list[Path]:
    """Write SHPROP.<t0> of every start frame in DEV's format, and return the files.

    Bands are in ascending order, as in EIGTXT. DEV counts time from one step, not from zero. Samples with the
    same start frame are averaged.

    Parameters
    ----------
    folder
        To write into.
    path
        The path that was run.
    start_frames
        Counted from zero, (samples,).
    population
        (samples, times, n).
    stride
        Steps between stored times.
    """
    return _write(folder, "SHPROP", path, start_frames, population, population, stride)


def write_recomb(
    folder: Path,
    path: ClassicalPath,
    start_frames: NDArray[np.int64],
    population: NDArray[np.float64],
    arrival_step: NDArray[np.int64],
    arrival_source: NDArray[np.int64],
    stride: int = 1,
) -> list[Path]:
    """Write RECOMB.<t0> of every start frame in DEV's format, and return the files.

    Parameters
    ----------
    folder, path, start_frames, population, stride
        As for `write_shprop`.
    arrival_step, arrival_source
        Step of the first arrival at the final state, -1 if never, and the state it came from,
        (samples, trajectories).
    """
    samples, times, n = population.shape
    arrived = np.zeros((samples, times, n))
    trajectories = arrival_step.shape[1]
    for sample, trajectory in np.argwhere(arrival_step >= 0):
        first = -(-int(arrival_step[sample, trajectory]) // stride)
        arrived[sample, first:, arrival_source[sample, trajectory]] += 1 / trajectories
    return _write(folder, "RECOMB", path, start_frames, population, arrived, stride)


def _write(
    folder: Path,
    name: str,
    path: ClassicalPath,
    start_frames: NDArray[np.int64],
    population: NDArray[np.float64],
    shown: NDArray[np.float64],
    stride: int,
) -> list[Path]:
    """Time, energy of the populations, and what is shown, a file a start frame."""
    steps = np.arange(population.shape[1]) * stride
    # pairs have no order of bands: as they are
    order = np.argsort(path.band_index) if path.hole_band is None else np.arange(path.states)
    files = []
    for frame in np.unique(start_frames):
        here = start_frames == frame
        mean = population[here].mean(axis=0)
        energy = np.sum(mean * path.energies[path.frames_along(int(frame), steps)], axis=1)
        table = np.c_[(steps + 1) * path.timestep_fs, energy, shown[here].mean(axis=0)[:, order]]
        file = folder / f"{name}.{frame + 1}"
        write_table(file, table, "%13.2f" + "%11.6f" * (mean.shape[1] + 1))
        files.append(file)
    return files


def read_psict(file: Path, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.complex128]]:
    """Read PSICT: time (fs), mean energy (eV), amplitudes (times, n).

    Amplitudes are pairs (re,im) (namd), strings re+imi (DEV) or real numbers (namdK); a time may take several
    lines, since list-directed output of Fortran is broken at 80 columns.

    Parameters
    ----------
    file
        Plain or compressed.
    n
        Number of bands.

    Raises
    ------
    InputError
        If the numbers are not whole rows of n + 2.
    """
    text = re.sub(r"#[^\n]*", "", read_text(file))
    numbers = [_amplitude(match) for match in _AMPLITUDE.finditer(text)]
    rest = _AMPLITUDE.sub("", text).split()
    if rest or not numbers or len(numbers) % (n + 2):
        found = f"{rest[0][:20]!r}" if rest else f"{len(numbers)} numbers"
        raise InputError(
            f"{found}, where rows of {n + 2} numbers are expected (time, energy, {n} amplitudes)",
            file=file,
            remedy="check the number of bands; a file that was cut short must be copied again",
        )
    rows = np.array(numbers).reshape(-1, n + 2)
    return rows[:, 0].real.copy(), rows[:, 1].real.copy(), rows[:, 2:]


def _amplitude(match: re.Match[str]) -> complex:
    real, imaginary, real_dev, imaginary_dev, plain = (
        float(text.lower().replace("d", "e")) if text else 0.0 for text in match.groups()
    )
    return complex(real + real_dev + plain, imaginary + imaginary_dev)


def write_psict(
    file: Path, time: NDArray[np.float64], energy: NDArray[np.float64], amplitudes: NDArray[np.complex128]
) -> None:
    """Write PSICT as DEV does: time (fs), mean energy (eV), amplitudes (times, n) as re+imi."""
    lines = [
        f"{t:13.2f}{e:11.6f}" + "".join(f" {c.real:9.6f}{c.imag:+.6f}i" for c in row)
        for t, e, row in zip(time, energy, amplitudes)
    ]
    write_text(file, "\n".join([*lines, ""]))
