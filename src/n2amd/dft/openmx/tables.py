"""Tables of OpenMX' DFT_DATA, .pao and .vps: where they are found and how a block of numbers is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import locate
from n2amd.errors import InputError

#: What DATA.PATH is where the input does not say.
DATA_PATH = "../DFT_DATA19"


def find_table(folder: Path, name: str, kind: str, data_path: str | None) -> Path | None:
    """Return the file NAME.KIND of DFT_DATA, None where there is none.

    It is looked for in DATA.PATH of the input and, from the folder of the frame upwards, beside the frames,
    in folders of the kind's name (pao, PAO; vps, VPS), and in a folder of DATA.PATH's name: versions of
    DFT_DATA have different tables of the same name.
    """
    folder, data = folder.resolve(), Path(data_path or DATA_PATH)
    below = ("", kind, kind.upper(), f"{data.name}/{kind.upper()}")
    places = [
        folder / data / kind.upper(),
        *(above / place for above in (folder, *folder.parents) for place in below),
    ]
    found = (locate(place, f"{name}.{kind}") for place in places if place.is_dir())
    return next((path for path in found if path is not None), None)


def read_block(path: Path, text: str, name: str, columns: int, remedy: str) -> NDArray[np.float64]:
    """Numbers of the block <name .. name>, (n_rows, n_columns), with at least 3 rows and ascending radii.

    Columns are ln r, r (Bohr), and values.

    Raises
    ------
    InputError
        If it is missing or cut, or has less than `columns` columns.
    """
    start, end = text.find(f"<{name}"), text.find(f"{name}>")
    if start < 0 or end < 0:
        raise InputError("the table is missing or cut", file=path, field=name, remedy=remedy)
    try:
        table = np.array([line.split() for line in text[start:end].splitlines()[1:]], dtype=float)
    except ValueError as error:
        raise InputError(f"not a table of numbers ({error})", file=path, field=name, remedy=remedy) from None
    if table.ndim != 2 or len(table) < 3 or table.shape[1] < columns or (np.diff(table[:, 1]) <= 0).any():
        raise InputError(
            f"the radii do not ascend, or there are less than 3 rows or {columns} columns",
            file=path,
            field=name,
            remedy=remedy,
        )
    return table
