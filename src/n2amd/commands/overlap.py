"""`n2amd overlap`: radial functions from overlaps, overlaps of a structure from radial functions."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from n2amd.orbitals.overlap_fit import OverlapFit

app = typer.Typer(
    help="Look at the overlaps of a structure; recover radial functions from overlaps.", no_args_is_help=True
)


class OverlapKind(StrEnum):
    """What couplings are made of (`couplings.overlap`)."""

    exact = "exact"
    electron_translation_free = "electron-translation-free"


@app.command()
def check(
    structure: Annotated[Path, typer.Argument(help="Structure, any format ASE reads.")],
    basis: Annotated[
        Path,
        typer.Option(help="File that holds the basis: data set (.h5), overlap fit (.json) or network (.pt)."),
    ],
    supercell: Annotated[str, typer.Option(help="Repeats, e.g. 2x2x2.")] = "1x1x1",
    kmesh: Annotated[str, typer.Option(help="k points of the cell, Gamma included.")] = "2x2x2",
) -> None:
    """Print how far overlaps reach, how close atoms come, and the condition number of S(k).

    A condition number above 1e6 says that the basis is nearly linearly dependent at this geometry: errors of
    the Hamiltonian grow by that factor in the highest bands. S that is not positive definite is an error.
    """
    from ase.data import chemical_symbols

    from n2amd.config.section import parse_supercell
    from n2amd.dataset.store import read_basis
    from n2amd.errors import ComputationError
    from n2amd.interop.structures import read_structure
    from n2amd.orbitals.overlap_report import report_overlap
    from n2amd.orbitals.two_centre import OverlapTable

    if basis.suffix == ".pt":
        from n2amd.network.checkpoint import load_model

        shells = load_model(basis)[0].basis
    elif basis.suffix == ".json":
        from n2amd.orbitals.overlap_fit import OverlapFit
        from n2amd.storage import read_json

        shells = OverlapFit.from_document(read_json(basis)).basis
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


@app.command()
def fit(
    dataset: Annotated[Path, typer.Option(help="Data set whose basis has no radial functions.")],
    out: Annotated[Path, typer.Option(help="Radial functions, errors and limits to write (overlap.json).")],
    require: Annotated[
        OverlapKind | None,
        typer.Option(help="Fail where these couplings will be refused; the file is written all the same."),
    ] = None,
) -> None:
    """Recover the radial functions of a basis from the overlaps of a data set, and say how good they are.

    For data without radial functions: DeepH folders, SIESTA without .ion.xml. Every fifth frame is held out
    to measure the error on.
    """
    from n2amd.commands.progress import frame_progress
    from n2amd.dataset.store import n_frames, read_basis, read_frames
    from n2amd.errors import InputError
    from n2amd.orbitals.overlap_fit import fit_overlap, held_out_frames
    from n2amd.storage import single_writer, write_json

    basis, total = read_basis(dataset), n_frames(dataset)
    if basis.has_radial_functions:
        raise InputError(
            "the basis has its radial functions, so overlaps need no fit",
            file=dataset,
            field="basis",
            remedy="go on without it",
        )
    aside = held_out_frames(total)
    kept = [k for k in range(total) if k not in aside]
    with single_writer(out), frame_progress("reading overlaps", target=out) as progress:
        found = fit_overlap(
            basis,
            ((f.structure, f.overlap) for f in read_frames(dataset, kept)),
            ((f.structure, f.overlap) for f in read_frames(dataset, aside)),
            progress=lambda done: progress(done, total),
        )
        write_json(out, found.to_document(), inputs=[dataset])
    _show(out, found)
    if require == OverlapKind.exact:
        found.limits.require_between_times(out)


def _show(out: Path, found: OverlapFit) -> None:
    from ase.data import chemical_symbols
    from rich.console import Console
    from rich.table import Table

    limits = found.limits
    console = Console()
    table = Table("pair", "distances", "shortest / A", "range / A", "known from / A", title=str(out))
    for (a, b), pair in limits.pairs.items():
        reach = max(r.reach for s in found.basis[a].shells if (r := s.radial)) + max(
            r.reach for s in found.basis[b].shells if (r := s.radial)
        )
        shortest = "none" if pair.shortest is None else f"{pair.shortest:.3f}"
        name = f"{chemical_symbols[a]}-{chemical_symbols[b]}"
        table.add_row(name, str(pair.distances), shortest, f"{reach:.2f}", f"{pair.known_from:.2f}")
    console.print(table)
    table = Table("element", "S(t, t+dt): doubt", "known up to a step of / A")
    for z, doubt in limits.moved_doubt.items():
        table.add_row(chemical_symbols[z], f"{doubt:.1e}", f"{limits.moved_to[z]:g}")
    console.print(table)
    typer.echo(
        f"{limits.held_out_frames} held-out frames: overlaps of two atoms are missed by "
        f"{limits.mean_error:.1e} on average, {limits.largest_error:.1e} at most, "
        f"those on one atom by {limits.on_site_error:.1e} at most"
    )
    usable = (
        "exact or electron-translation-free" if limits.between_times else "electron-translation-free only"
    )
    typer.echo(f"{out}: couplings.overlap may be {usable}")
