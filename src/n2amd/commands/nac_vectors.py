"""`n2amd couplings vectors`: derivative couplings of a model on any structure, a vector for each atom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2amd.commands.structure_files import Repeats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from n2amd.couplings.vector_store import FrameVectors
    from n2amd.structure import Structure

#: Endings of the files that arrows are written to.
ARROW_FILES = (".extxyz", ".xyz")
DATA_FILES = (".h5", ".hdf5")


def vectors(
    model: Annotated[Path, typer.Option(help="Trained model (hamiltonian.pt).")],
    structure: Annotated[
        Path,
        typer.Option(help="Any file that ASE reads (POSCAR, CIF, extxyz), or trajectory.h5 with velocities."),
    ],
    out: Annotated[
        list[Path], typer.Option(help="NAME.h5, or NAME.extxyz with arrows for OVITO; may be repeated.")
    ],
    pair: Annotated[
        list[str] | None,
        typer.Option(help="States i,j: VBM,CBM or VBM-1,CBM+2 or numbers from 0; may be repeated."),
    ] = None,
    frame: Annotated[
        list[int] | None, typer.Option(help="Frame of a trajectory, from 0; may be repeated.")
    ] = None,
    supercell: Repeats = "1x1x1",
    settings: Annotated[
        str | None, typer.Option(help="Settings of `states` (kpoint, solver, ...): inline JSON or YAML file.")
    ] = None,
) -> None:
    """Derivative couplings d_ij = <i|grad j>, 1/Angstrom, and with velocities hbar d_ij . v."""
    from n2amd.commands.model_bands import loaded
    from n2amd.config.section import parse_supercell
    from n2amd.config.sections import load_section
    from n2amd.couplings.vector_store import FrameVectors, require_one_cell, write_vectors
    from n2amd.couplings.vectors import nac_vectors
    from n2amd.errors import within
    from n2amd.interop.nac_extxyz import write_arrows
    from n2amd.states.window import band_named, occupied_bands

    _check_names(out)
    chosen, repeats = load_section("states", settings), parse_supercell(supercell)
    predictor = loaded(model)
    if chosen.mesh_refinement != 1:
        predictor = predictor.refined(chosen.mesh_refinement)
    predictor = predictor.in_double_precision()
    found = []
    numbers: list[int | None] = [*frame] if frame else [None]
    for number in numbers:
        atoms, velocities = _moving(structure, number, repeats)
        with within(structure, number):
            occupied = occupied_bands(predictor.basis.valence_electrons(atoms.numbers))
            bands = [
                (band_named(i, occupied), band_named(j, occupied)) for i, j in map(_two, pair or ["VBM,CBM"])
            ]
            vectors = nac_vectors(predictor, atoms, bands, chosen, number)
        found.append(FrameVectors(number or 0, vectors, velocities))
    with within(structure):
        require_one_cell(found)
    for path in out:
        if path.suffix in ARROW_FILES:
            write_arrows(path, found)
        else:
            write_vectors(path, found, config=chosen, inputs=(model, structure))
    _show(found, " and ".join(map(str, out)))


def _check_names(out: list[Path]) -> None:
    from n2amd.errors import InputError

    for path in out:
        if path.suffix not in (*ARROW_FILES, *DATA_FILES):
            raise InputError(
                f"files that end with {path.suffix!r} are not written",
                file=path,
                field="out",
                remedy=f"end its name with one of {', '.join((*DATA_FILES, *ARROW_FILES))}",
            )


def _two(pair: str) -> tuple[str, str]:
    """Names of the two states of a pair."""
    from n2amd.errors import InputError

    names = pair.replace(",", " ").split()
    if len(names) != 2:
        raise InputError(f"{pair!r} is no pair of states", field="pair", remedy="write two, as VBM,CBM")
    return names[0], names[1]


def _moving(
    path: Path, frame: int | None, repeats: tuple[int, int, int]
) -> tuple[Structure, NDArray[np.float64] | None]:
    """A structure and, from a trajectory, the velocities of its atoms."""
    import numpy as np

    from n2amd.commands.structure_files import repeated, structure_of
    from n2amd.errors import InputError, within
    from n2amd.trajectory.file import read_trajectory

    with within(path, frame):
        atoms = repeated(structure_of(path, frame), repeats)
    if path.suffix not in DATA_FILES:
        return atoms, None
    velocities = read_trajectory(path).frames.velocities[frame or 0]
    if not np.isfinite(velocities).all():
        raise InputError(
            "velocities are not finite",
            file=path,
            frame=frame or 0,
            field="velocities",
            remedy="run the trajectory again",
        )
    return atoms, np.tile(velocities, (atoms.n_atoms // len(velocities), 1))


def _show(frames: list[FrameVectors], title: str) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    columns = ["frame", "states", "gap / eV", "|d| (1/A)", "largest", "sum rule", "hbar |d.v| / meV"]
    table = Table(*columns, title=title)
    levels = set()
    for frame in frames:
        vectors, coupling = frame.vectors, frame.coupling
        norms = np.linalg.norm(vectors.nac, axis=2)
        symbols = vectors.structure.to_ase().get_chemical_symbols()
        for p, (i, j) in enumerate(vectors.bands):
            atom = int(norms[p].argmax())
            table.add_row(
                str(frame.frame),
                f"{i}, {j}",
                f"{vectors.energies[p, 1] - vectors.energies[p, 0]:.4f}",
                f"{np.linalg.norm(norms[p]):.5f}",
                f"{symbols[atom]}{atom} {norms[p, atom]:.5f}",
                f"{np.linalg.norm(vectors.translation_error[p]):.1e}",
                "" if coupling is None else f"{1000 * abs(coupling[p]):.4f}",
            )
            levels |= {k for k, size in zip((int(i), int(j)), vectors.level_sizes[p]) if size > 1}
    Console().print(table)
    if levels:
        typer.echo(
            f"warning: states {sorted(levels)} belong to degenerate levels: vectors of a level's states turn "
            "into each other, only their sum of squares has a meaning",
            err=True,
        )
