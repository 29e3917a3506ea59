"""H and S from the CSR text files: one file an image, lines "row column value", 1-based.

The files of `&KS_CSR_WRITE` and `&S_CSR_WRITE` with `REAL_SPACE T` are called
PROJECT-KS_SPIN_s_R_n-1_0.csr and PROJECT-S_SPIN_1_R_n-1_0.csr; the log says which lattice vector image n is.
Without &KPOINTS there is one file, PROJECT-KS_SPIN_s-1_0.csr, the sum over all images.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from n2amd.dft.files import DECOMPRESSORS, read_text
from n2amd.dft.orbital_matrices import Elements, complete_triangle
from n2amd.errors import InputError

#: Name of a matrix file: what, spin, image, and the rest that tells one print of a run from the next.
_NAME = re.compile(
    r"(?P<project>.*)-(?P<what>KS|S)_SPIN_(?P<spin>\d+)(_R_(?P<image>\d+))?(?P<rest>-.*)\.csr"
    r"(" + "|".join(map(re.escape, DECOMPRESSORS)) + ")?"
)
_COLUMNS = {"row": np.int64, "column": np.int64, "value": np.float64}
RERUN = "run the frame again with REAL_SPACE T in &KS_CSR_WRITE and &S_CSR_WRITE, one run a folder"


def find_matrices(folder: Path) -> dict[tuple[str, int], dict[int, Path]]:
    """List the matrix files of a run by ("KS" or "S", spin) and image number, 0 for the sum over images.

    Raises
    ------
    InputError
        If there are none, or they are of several runs or steps.
    """
    found: dict[tuple[str, int], dict[int, Path]] = {}
    names, sums = set(), set()
    for path in sorted(folder.glob("*.csr*")):
        if match := _NAME.fullmatch(path.name):
            names.add((match["project"], match["rest"]))
            found.setdefault((match["what"], int(match["spin"])), {})[int(match["image"] or 0)] = path
            sums.add(match["image"] is None)
    if len(sums) > 1:
        raise InputError("CSR files of single images and of the sum over images", file=folder, remedy=RERUN)
    if len(names) > 1:
        listed = ", ".join(f"{project}...{rest}" for project, rest in sorted(names))
        raise InputError(f"CSR files of several runs or steps: {listed}", file=folder, remedy=RERUN)
    for what in ("KS", "S"):
        if not any(key[0] == what for key in found):
            raise InputError(
                f"no file *-{what}_SPIN_1_R_*.csr", file=folder, field=f"{what}_CSR_WRITE", remedy=RERUN
            )
    return found


def read_matrix(
    files: Mapping[int, Path], images: NDArray[np.int64] | None, n_orbitals: int, what: str
) -> Elements:
    """Read one matrix.

    Parameters
    ----------
    files
        File of every image number, from 1, or of number 0, the sum over images.
    images
        Lattice vector of every image, (n_images, 3), as the log lists them, or None.
    n_orbitals
        Dimension that the basis gives.
    what
        "KS" or "S", for messages.

    Returns
    -------
    elements
        In the file's unit (Hartree for KS); R counts between atoms wrapped into the cell [-1/2, 1/2), and is
        0 for the sum over images.

    Raises
    ------
    InputError
        If an image is missing, a file is cut, damaged or of another dimension, or there is no element at all.
    """
    first = min(files)
    if first == 0:
        images = np.zeros((1, 3), dtype=np.int64)
    if images is None:
        raise InputError(
            f"the images of {what} are not listed in the log",
            file=files[first].parent,
            field=f"{what} CSR write|",
            remedy="copy the whole log of the run",
        )
    wanted = set(range(min(first, 1), len(images) + min(first, 1)))
    if missing := sorted(wanted - set(files)):
        raise InputError(
            f"{len(missing)} of {len(images)} images of {what} are missing, the first is {missing[0]}",
            file=next(iter(files.values())).parent,
            field=f"{what}_CSR_WRITE",
            remedy="copy all CSR files of the run",
        )
    if surplus := sorted(set(files) - wanted):
        raise InputError(
            f"image {surplus[0]} is not in the log, which lists {len(images)}",
            file=files[surplus[0]],
            field=f"{what}_CSR_WRITE",
            remedy="keep the CSR files and the log of one run together",
        )
    paths = [files[image] for image in sorted(files)]
    texts = [read_text(path) for path in paths]
    try:
        table = _parse("".join(texts), n_orbitals)
    except ValueError:
        for path, text in zip(paths, texts):  # again one by one, to name the file
            try:
                _parse(text, n_orbitals)
            except ValueError as error:
                raise InputError(
                    f"not a table of row, column, value: the file is cut or damaged ({error})",
                    file=path,
                    field="CSR",
                    remedy="copy it again from the run (text, not BINARY), or run the frame again",
                ) from None
        raise
    if table.empty:
        raise InputError(
            f"the {len(paths)} file(s) of {what} hold no element: they are empty, or THRESHOLD is too large",
            file=paths[0],
            field=f"{what}_CSR_WRITE",
            remedy="copy them again from the run, or run the frame again with THRESHOLD 0.0",
        )
    shift = np.repeat(images, [text.count("\n") for text in texts], axis=0)
    row, column, value = (table[name].to_numpy() for name in _COLUMNS)
    return complete_triangle(Elements(row - 1, column - 1, shift, value))


def _parse(text: str, n_orbitals: int) -> pd.DataFrame:
    """Rows of one file or several, columns row, column and value; raise `ValueError` for anything else."""
    if not text:  # no pair of atoms has this image
        return pd.DataFrame({name: np.empty(0, dtype) for name, dtype in _COLUMNS.items()})
    table = pd.read_csv(io.StringIO(text), sep=r"\s+", names=list(_COLUMNS), dtype=_COLUMNS)
    if not text.endswith("\n") or len(table) != text.count("\n") or table["value"].isna().any():
        raise ValueError("a line is not whole")
    orbitals = table[["row", "column"]].to_numpy()
    if orbitals.min() < 1 or orbitals.max() > n_orbitals:
        raise ValueError(f"orbitals {orbitals.min()} to {orbitals.max()} where the basis has {n_orbitals}")
    return table
