"""ABACUS' own eigenvalues: istate.info up to version 3.9 or 3.10, eig_occ.txt or eig.txt later."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.errors import InputError


def read_eigenvalues(path: Path, n_spin: int) -> NDArray[np.float64]:
    """Read the eigenvalues, (n_k, 1 or 2 spins, n_bands), eV, in the order of the log's k points.

    Raises
    ------
    InputError
        If the file is cut or damaged, or has other spins than the run.
    """
    text = read_text(path)
    columns = 2 if n_spin == 2 else 1
    bands = _istate(path, text, columns) if "Kpoint =" in text else _eig_occ(path, text, columns)
    counts = {len(band) for band in bands}
    if not bands or len(counts) != 1 or 0 in counts or len(bands) % columns:
        raise _damaged(path, f"{len(bands)} k points with {sorted(counts)} bands")
    # spin by spin in eig_occ.txt, spins side by side in istate.info: both arrive spin by spin
    return np.array(bands).reshape(columns, -1, counts.pop()).swapaxes(0, 1)


def _istate(path: Path, text: str, columns: int) -> list[list[float]]:
    """Blocks of "band energy occupation", for two spins of "band up occupation down occupation"."""
    by_spin: list[list[list[float]]] = [[] for _ in range(columns)]
    for part in re.split(r"^.*Kpoint = .*$", text, flags=re.MULTILINE)[1:]:
        rows = [line.split() for line in part.splitlines() if line.strip()]
        if any(len(row) != 1 + 2 * columns for row in rows):
            raise _damaged(path, f"lines without {1 + 2 * columns} columns (nspin of the log: {columns})")
        for spin, bands in enumerate(by_spin):
            bands.append([_energy(path, row[1 + 2 * spin]) for row in rows])
    return [bands for spin in by_spin for bands in spin]


def _eig_occ(path: Path, text: str, columns: int) -> list[list[float]]:
    """Blocks "spin=s k-point=k/n" of "band energy occupation"."""
    if len(re.findall(r"# ionic step", text)) > 1:
        raise InputError(
            "eigenvalues of several ionic steps",
            file=path,
            field="ionic step",
            remedy="run every frame as a single point",
        )
    parts = re.split(r"^\s*spin=(\d+) k-point=(\d+)/(\d+).*$", text, flags=re.MULTILINE)[1:]
    spins, bands = [int(spin) for spin in parts[::4]], []
    n_k = len(spins) // columns
    if spins != [spin + 1 for spin in range(columns) for _ in range(n_k)] or any(
        int(total) != n_k for total in parts[2::4]
    ):
        raise _damaged(path, f"spins {sorted(set(spins))} with {len(spins)} blocks")
    for part in parts[3::4]:
        rows = [line.split() for line in part.splitlines() if line.strip()]
        if any(len(row) != 3 for row in rows):
            raise _damaged(path, "lines without band, energy and occupation")
        bands.append([_energy(path, row[1]) for row in rows])
    return bands


def _energy(path: Path, word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise _damaged(path, f"{word!r} is not an energy") from None


def _damaged(path: Path, problem: str) -> InputError:
    return InputError(
        f"{problem}: the file is cut or damaged, or of another run",
        file=path,
        field="eigenvalues",
        remedy="copy it again from the run",
    )
