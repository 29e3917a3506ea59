"""`n2amd overlap`: overlap matrices of a structure, from the radial functions of a basis alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look at the overlaps of a structure before anything is run.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `check` a verb of its own."""


@app.command()
def check(
    structure: Annotated[Path, typer.Argument(help="Structure, any format ASE reads.")],
    basis: Annotated[
        Path, typer.Option(help="File that holds the basis: data set (.h5) or Hamiltonian network (.pt).")
    ],
    supercell: Annotated[str, typer.Option(help="Repeats, e.g. 2x2x2.")] = "1x1x1",
    kmesh: Annotated[str, typer.Option(help="k points of the cell, Gamma included.")] = "2x2x2",
) -> None:
    """Print how far overlaps reach, how close atoms come, and the condition number of S(k).

    A condition number above 1e6 says that the basis is nearly linearly dependent at this geometry: errors of
    the Hamiltonian grow by that factor in the highest bands. S that is not positive definite is an error.
    """
    from ase.data import chemical_symbols

    from n2amd.config import parse_supercell
    from n2amd.dataset.store import read_basis
    from n2amd.errors import ComputationError
    from n2amd.interop.structures import read_structure
    from n2amd.orbitals.overlap_report import report_overlap
    from n2amd.orbitals.two_centre import OverlapTable

    if basis.suffix == ".pt":
        from n2amd.network.checkpoint import load_model

        shells = load_model(basis)[0].basis
    else:
        shells = read_basis(basis)
    cell = read_structure(structure).supercell(parse_supercell(supercell))
    report = report_overlap(OverlapTable.from_basis(shells), cell, parse_supercell(kmesh))
    typer.echo(f"{structure}: {cell.n_atoms} atoms, {report.n_orbitals} orbitals")
    typer.echo(f"{'pair':8}{'range (A)':>12}{'shortest bond (A)':>20}{'pairs':>10}")
    for key, range_ in sorted(report.ranges.items()):
        name = "-".join(chemical_symbols[z] for z in key)
        bond = f"{report.shortest[key]:.3f}" if key in report.shortest else "none"
        typer.echo(f"{name:8}{range_:12.2f}{bond:>20}{report.n_pairs[key]:10}")
    typer.echo(
        f"eigenvalues of S(k) on {kmesh}: {report.lowest:.3e} .. {report.highest:.3f}, "
        f"condition number {report.condition:.2e}"
    )
    if report.lowest <= 0:
        raise ComputationError(
            f"S is not positive definite (lowest eigenvalue {report.lowest:.2e}): atoms are too close, "
            "or the basis is not the one of this material"
        )
