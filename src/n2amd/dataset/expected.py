"""Results of structures that were given to somebody to compute: are they there, and are they all?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from n2amd.dataset.store import read_structures
from n2amd.errors import InputError
from n2amd.structure import Structure

#: Codes write positions with fewer digits than they were given, Angstrom (root mean square).
SAME_A = 0.005


def require_results(folders: Sequence[Path], count: int, wanted: Path, code: str) -> None:
    """Say what is to be computed and where the results go, unless there is something already.

    Parameters
    ----------
    folders
        Folders of the results.
    count
        Structures to compute.
    wanted
        File with the structures.
    code
        The DFT code.

    Raises
    ------
    InputError
        If a folder does not exist or is empty.
    """
    for folder in folders:
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(
                f"{count} structures wait for their labels",
                file=wanted,
                remedy=f"compute them with {code}, put the output into {folder}, one folder a frame, and run "
                "the same command again",
            )


def require_all(
    dataset: Path, structures: Sequence[Structure], wanted: Path, folders: Sequence[Path]
) -> None:
    """Hold the frames of a data set against the structures that were to be computed.

    Parameters
    ----------
    dataset
        What was made of the results; removed where it is not of these structures.
    structures, wanted
        The structures, and the file that holds them.
    folders
        Folders of the results.

    Raises
    ------
    InputError
        If a structure was not computed, or a frame is of none of them.
    """
    found = read_structures(dataset)
    missing = [k for k, s in enumerate(structures) if all(s.moved_from(other) > SAME_A for other in found)]
    others = [k for k, s in enumerate(found) if all(s.moved_from(other) > SAME_A for other in structures)]
    if not missing and not others:
        return
    dataset.unlink()
    where = ", ".join(map(str, folders))
    if missing:
        raise InputError(
            f"of {len(structures)} structures these have no result (counted from 0): {missing}",
            file=wanted,
            remedy=f"compute them too, or with these very positions and atoms in this order, into {where}",
        )
    raise InputError(
        f"{len(others)} frames are of none of the structures, the first is frame {others[0]}",
        file=where,
        field="positions",
        remedy=f"leave in the folder the results of {wanted} alone",
    )
