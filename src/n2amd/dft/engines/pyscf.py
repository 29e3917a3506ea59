"""PySCF as an engine: a Python process of its own for every frame."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from n2amd.config.engines import PyscfSettings
from n2amd.dft.engines.engine import require_name
from n2amd.dft.pyscf.frame import NAME
from n2amd.dft.pyscf.real_space import Mesh, mesh_for, supercell_radius
from n2amd.errors import ComputationError, InputError
from n2amd.structure import Structure

JOB, FAILURE = "job.json", "failure.json"
#: Radius of the supercell that the mesh of H(R) must hold, Angstrom. Measured for Si, largest error of a
#: band up to n_occupied + 5: 0.003 meV at 11.5 A, 1 meV at 9.6 A, 100 meV at 7.7 A, 840 meV at 5.8 A
#: (docs/engines.md).
WANTED_RADIUS, SAFE_RADIUS, SMALLEST_RADIUS = 11.0, 10.0, 7.5
#: Radius of the supercell that the SCF mesh of HSE06 must hold, Angstrom. Measured for Si: 0.15 meV at 7.7 A,
#: 1.4 meV at 5.8 A, 6 meV at 3.8 A.
EXCHANGE_RADIUS = 7.0


def basis_name(name: str) -> str:
    """Translate CP2K's name of a basis, DZVP-MOLOPT-SR-GTH, to PySCF's, gth-dzvp-molopt-sr."""
    lower = name.lower()
    return f"gth-{lower.removesuffix('-gth')}" if lower.endswith("-gth") else lower


def installed() -> bool:
    """Whether this environment has PySCF."""
    return find_spec("pyscf") is not None


def real_space_mesh(structure: Structure, settings: PyscfSettings) -> Mesh:
    """Return the mesh that H(R) is made of.

    Raises
    ------
    InputError
        If the one that is asked for is too coarse for the range of H.
    """
    if settings.real_space_mesh is None:
        return mesh_for(structure.cell, WANTED_RADIUS)
    radius = supercell_radius(structure.cell, settings.real_space_mesh)
    if radius < SMALLEST_RADIUS:
        wanted = mesh_for(structure.cell, SAFE_RADIUS)
        raise InputError(
            f"{settings.real_space_mesh} holds H(R) to {radius:.1f} A only, {SMALLEST_RADIUS} A are needed",
            field="engine.real_space_mesh",
            remedy=f"use {list(wanted)} or denser, or leave it out",
        )
    if radius < SAFE_RADIUS:
        log.warning(
            "real_space_mesh %s holds H(R) to %.1f A; below %s A bands between the k points are off by 1 to "
            "100 meV",
            settings.real_space_mesh,
            radius,
            SAFE_RADIUS,
        )
    return settings.real_space_mesh


def _warn_of_coarse_exchange(structure: Structure, settings: PyscfSettings) -> None:
    """Say on the error stream that HSE06's exchange meets its own images."""
    radius = supercell_radius(structure.cell, settings.kpoints)
    if settings.functional == "HSE06" and radius < EXCHANGE_RADIUS:
        log.warning(
            "with kpoints %s the exchange of HSE06 is repeated after %.1f A; below %g A bands between the k "
            "points are off by more than the ingestion allows; use %s or denser",
            list(settings.kpoints),
            2 * radius,
            2 * EXCHANGE_RADIUS,
            list(mesh_for(structure.cell, EXCHANGE_RADIUS)),
        )


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pyscf:
    """PySCF with its settings; see `n2amd.dft.engines.engine.Engine`."""

    settings: PyscfSettings

    def check(self, structures: Iterable[Structure]) -> None:
        """Refuse open cells, coarse meshes and, where PySCF is here, elements without basis or potential."""
        listed = list(structures)
        if installed():
            self._check_elements({symbol for s in listed for symbol in s.to_ase().get_chemical_symbols()})
        for structure in listed:
            if not all(structure.pbc):
                raise InputError(
                    "PySCF frames must be periodic in three directions",
                    field="pbc",
                    remedy="add vacuum and periodicity along the open direction",
                )
        for structure in listed[:1]:
            real_space_mesh(structure, self.settings)
            _warn_of_coarse_exchange(structure, self.settings)

    def _check_elements(self, elements: Iterable[str]) -> None:
        from pyscf.lib.exceptions import BasisNotFoundError
        from pyscf.pbc.gto import basis, pseudo

        for element in sorted(elements):
            wanted = basis_name(require_name("basis", self.settings.basis_of(element), element))
            for what, load, name in (
                ("basis", basis.load, wanted),
                ("pseudopotential", pseudo.load, self.settings.pseudopotential),
            ):
                try:
                    load(name, element)
                except (BasisNotFoundError, KeyError, RuntimeError, OSError):
                    raise InputError(
                        f"PySCF has no {what} {name!r} for {element}",
                        field=f"engine.{what}",
                        remedy=f"choose one that has {element}",
                    ) from None

    def prepare(self, structure: Structure, folder: Path) -> None:
        """Write the job."""
        job = {
            "settings": self.settings.model_dump(mode="json"),
            "mesh": real_space_mesh(structure, self.settings),
            "cell": structure.cell.tolist(),
            "positions": structure.positions.tolist(),
            "numbers": structure.numbers.tolist(),
        }
        (folder / JOB).write_text(json.dumps(job))

    def command(self) -> list[str]:
        """Return the command."""
        if not installed():
            raise InputError(
                "PySCF is not installed in this environment",
                field="engine",
                remedy="install it: pip install 'n2amd[pyscf]'",
            )
        return [sys.executable, "-m", "n2amd.dft.engines.pyscf_job", JOB]

    def conclude(self, folder: Path) -> None:
        """Raise `ComputationError` unless the frame was written."""
        if (folder / NAME).exists():
            return
        if (folder / FAILURE).exists():
            raise ComputationError(json.loads((folder / FAILURE).read_text())["reason"])
        raise ComputationError(f"PySCF stopped before its end; see {folder / 'run.log'}")
