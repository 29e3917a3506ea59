"""The option of `dataset ingest` and `dft scf` that averages forces over places of the DFT code's mesh."""

from __future__ import annotations

from typing import Annotated

import typer


def _known(sampling: int) -> int:
    """Refuse numbers of places that there are none of; only those who ask load what knows them."""
    if sampling != 1:
        from n2amd.baseline.forces import PLACES

        if sampling not in PLACES:
            raise typer.BadParameter(f"{sampling} is none of {', '.join(map(str, PLACES))}")
    return sampling


GridCellSamplingOption = Annotated[
    int,
    typer.Option(
        callback=_known,
        help="Take energies and forces as means over 2 or 4 places of the code's mesh (SIESTA, HONPAS): "
        "without the force that the mesh exerts on the atoms.",
    ),
]
