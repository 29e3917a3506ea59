"""DFT that is to be run: the program, its basis for every element, and the structures it gets."""

from __future__ import annotations

from collections.abc import Sequence

from n2amd.config.data import DataSource
from n2amd.dft.engines.engine import engine_for
from n2amd.errors import InputError
from n2amd.preflight.faults import Faults
from n2amd.structure import Structure


def check_engine(source: DataSource, place: str, structures: Sequence[Structure], faults: Faults) -> None:
    """Refuse elements without a basis and meshes that are too coarse; warn of a program that is not here."""
    assert source.engine is not None
    engine = engine_for(source.engine)
    try:
        engine.command()
    except InputError as error:  # nodes of a cluster may have what the login node has not
        faults.warn(place, f"{error} (on this machine)")
    with faults.at(place):
        engine.check(structures)
