"""`n2amd hamiltonian predict`, `bands`: a trained model used on any structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from n2amd.commands.structure_files import Repeats

if TYPE_CHECKING:
    from n2amd.blocks.matrix import BlockMatrix
    from n2amd.frames.frame import Frame
    from n2amd.network.predict import HamiltonianPredictor
    from n2amd.states.band_path import CellPaths
    from n2amd.structure import Structure

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="Trained model (hamiltonian.pt).")]
StructureFile = Annotated[
    Path,
    typer.Argument(
        metavar="STRUCTURE", help="Any file that ASE reads (POSCAR, CIF, extxyz), or trajectory.h5."
    ),
]
SpinOrbit = Annotated[
    bool,
    typer.Option(
        "--spin-orbit",
        help="Add the spin-orbit coupling of the pseudopotentials (OpenMX: .vps).",
    ),
]


def loaded(model: Path) -> HamiltonianPredictor:
    """Load a model for one thread."""
    import torch

    from n2amd.network.predict import load_predictor

    torch.set_num_threads(1)
    return load_predictor(model)


def predict(
    model: ModelFile,
    structure: StructureFile,
    out: Annotated[Path, typer.Option(help="What to write: a DeepH folder, or NAME.npz.")],
    supercell: Repeats = "1x1x1",
    frame: Annotated[
        list[int] | None,
        typer.Option(help="Frame of a trajectory, from 0; several become folders OUT/000000, ..."),
    ] = None,
    legacy: Annotated[bool, typer.Option("--legacy", help="Older DeepH layout (DeepH-pack).")] = False,
) -> None:
    """Predict H(R) and S(R) of a structure: a DeepH folder, or an archive of numpy."""
    from n2amd.commands.structure_files import repeated, structure_of
    from n2amd.config.section import parse_supercell
    from n2amd.errors import InputError, within
    from n2amd.interop.deeph import write_deeph, write_deeph_frame
    from n2amd.interop.npz import write_npz

    numbers: list[int | None] = [*frame] if frame else [None]
    archive = out.suffix == ".npz"
    if archive and (len(numbers) > 1 or legacy):
        raise InputError(
            f"{len(numbers)} frames{' in the older layout' * legacy} in one archive",
            file=out,
            remedy="name a folder, or one frame and no layout",
        )
    repeats = parse_supercell(supercell)
    predictor = loaded(model)
    with within(structure):
        found = [
            predicted_frame(
                predictor,
                repeated(structure_of(structure, n), repeats),
                structure.stem if n is None else f"{structure.stem}_{n}",
            )
            for n in numbers
        ]
    if archive:
        write_npz(out, found[0], predictor.basis)
    elif len(found) == 1:
        write_deeph_frame(out, found[0], predictor.basis, legacy=legacy)
    else:
        write_deeph(out, found, predictor.basis, legacy=legacy)
    cell, n = found[0].structure, len(found)
    typer.echo(
        f"{out}: H and S of {f'{n} frames of ' if n > 1 else ''}{cell.n_atoms} atoms, "
        f"{int(predictor.basis.orbital_counts(cell.numbers).sum())} orbitals, "
        f"{found[0].n_electrons:g} electrons"
    )


def predicted_frame(predictor: HamiltonianPredictor, structure: Structure, name: str) -> Frame:
    """H and S of a structure on the same pairs, as a frame of a data set has them.

    Raises
    ------
    InputError
        If the model does not know an element.
    """
    from n2amd.blocks.pair_codes import on_common_pairs
    from n2amd.frames.frame import Frame

    state = predictor.states.state_of(structure.numbers)
    electrons = predictor.basis.valence_electrons(structure.numbers) + state.excess
    hamiltonian, overlap = on_common_pairs(*predictor.predict(structure))
    return Frame(
        name,
        structure,
        hamiltonian,
        overlap,
        electrons,
        charge=-state.excess + 0.0,
        origin={"code": "n2amd"},
        fixed_moment=state.moment,
    )


@dataclass(frozen=True)
class _Case:
    """What bands are drawn of.

    Attributes
    ----------
    structure
        The cell that was asked about: its lattice gives the path.
    hamiltonian, overlap
        Of the model, for this cell repeated.
    electrons
        In the repeated cell, or in each of its spin channels.
    name
        Of the structure or frame, for messages.
    dft
        DFT's own H, in the model's gauge.
    repeats
        How often the cell is repeated.
    """

    structure: Structure
    hamiltonian: BlockMatrix
    overlap: BlockMatrix
    electrons: tuple[float, ...]
    name: str
    dft: BlockMatrix | None = None
    repeats: tuple[int, int, int] = (1, 1, 1)

    @property
    def n_atoms(self) -> int:
        """Atoms of the repeated cell."""
        a, b, c = self.repeats
        return a * b * c * self.structure.n_atoms


def bands(
    model: ModelFile,
    structure: Annotated[
        Path | None,
        typer.Argument(
            metavar="[STRUCTURE]",
            help="Any file that ASE reads, or trajectory.h5; with --on it may be left out.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Bands to write: .json or .csv.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure to draw: .svg, .png or .pdf.")] = None,
    path: Annotated[
        str | None, typer.Option(help="Special points, e.g. GXMG or G-X-M,R-G; default: seekpath's path.")
    ] = None,
    points: Annotated[int, typer.Option(min=2, help="k points along the path.")] = 150,
    supercell: Repeats = "1x1x1",
    primitive: Annotated[
        bool, typer.Option("--primitive", help="Take the standard primitive cell of the crystal.")
    ] = False,
    on: Annotated[
        Path | None, typer.Option(help="Data set whose own H of the same frame is laid over the model's.")
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option(
            help="Frame of the structure file by number, or with --on of the data set by name or number; "
            "default: its smallest that the model was not trained on."
        ),
    ] = None,
    spin_orbit: SpinOrbit = False,
) -> None:
    """Band structure of a model for any structure, and DFT's beside it, along a path of k points."""
    from n2amd.analysis.figures.draw import draw_report
    from n2amd.config.section import parse_supercell
    from n2amd.errors import InputError
    from n2amd.states.band_report import csv_of_bands, lines_of

    if out is not None and out.suffix not in (".json", ".csv"):
        raise InputError("bands are written as .json or .csv", file=out, remedy="name it so")
    repeats = parse_supercell(supercell)
    predictor = loaded(model)
    if on is not None:
        if primitive or max(repeats) > 1:
            raise InputError(
                "DFT's H is that of its own cell", field="on", remedy="leave out --primitive and --supercell"
            )
        case = _of_dataset(predictor, on, structure, frame, spin_orbit)
    elif structure is not None:
        case = _of_file(predictor, structure, frame, repeats, primitive, spin_orbit)
    else:
        raise InputError("there is no structure", field="structure", remedy="name one, or a data set (--on)")
    document, paths = _solved(predictor, case, path, points)
    inputs = [file for file in (model, structure, on) if file is not None]
    if out is not None:
        write_report(out, document, csv_of_bands, predictor.training.get("settings"), inputs)
    if figure is not None:
        draw_report("bands", document, figure)
    for note in paths.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(
        f"{case.name}: {len(document['kpoints'])} k points along {document['path']}, {case.n_atoms} atoms"
    )
    for said in lines_of(document):
        typer.echo(said)


def _solved(
    predictor: HamiltonianPredictor, case: _Case, path: str | None, points: int
) -> tuple[dict[str, Any], CellPaths]:
    """Content of `bands.json`, and the paths that the cell offers."""
    import numpy as np

    from n2amd.commands.progress import frame_progress
    from n2amd.config.states import CHANNELS
    from n2amd.states.band_path import band_path, paths_of
    from n2amd.states.band_report import Bands, band_report, channel_report
    from n2amd.states.bands import band_structure, followed_vectors
    from n2amd.states.spin_parts import filled_bands

    filled = filled_bands(case.hamiltonian.n_spin, case.electrons)
    paths = paths_of(case.structure, followed_vectors(case.hamiltonian))
    line = band_path(case.structure, [path] if path else None, points, paths)
    kpoints = line.kpoints * np.array(case.repeats)
    numbers = np.tile(case.structure.numbers, int(np.prod(case.repeats)))
    offsets = predictor.basis.orbital_offsets(numbers)
    solved = []
    for spin, n_occupied in enumerate(filled):
        with frame_progress("bands", "k points") as report:
            own = band_structure(case.hamiltonian, case.overlap, offsets, kpoints, spin, report)
        dft = None if case.dft is None else band_structure(case.dft, case.overlap, offsets, kpoints, spin)
        solved.append(Bands(own, n_occupied, dft))
    if len(solved) == 1:
        document = band_report(line, kpoints, solved[0])
    else:
        document = channel_report(line, kpoints, dict(zip(CHANNELS, solved)))
    document |= {"frame": case.name, "supercell": case.repeats, "lattice": line.lattice}
    document["space_group"] = None if paths.crystal is None else paths.crystal.space_group
    return document, paths


def write_report(
    out: Path,
    document: dict[str, Any],
    table: Callable[[dict[str, Any]], str],
    config: Any,
    inputs: Sequence[Path],
) -> None:
    """Write a document as .json, or as the table that a function makes of it."""
    from n2amd.storage import atomic_path, write_json

    if out.suffix == ".json":
        write_json(out, document, config=config, inputs=inputs)
        return
    with atomic_path(out) as part:
        part.write_text(table(document), encoding="utf-8")


def _of_file(
    predictor: HamiltonianPredictor,
    file: Path,
    frame: str | None,
    supercell: tuple[int, int, int],
    primitive: bool,
    spin_orbit: bool,
) -> _Case:
    """The model's matrices of a structure file."""
    from n2amd.commands.structure_files import repeated, structure_of
    from n2amd.errors import InputError, within
    from n2amd.network.spinors import spinor_hamiltonian
    from n2amd.states.bands import require_dense
    from n2amd.states.special_points import points_of_crystal
    from n2amd.states.spin_parts import filled_bands

    if frame is not None and not frame.isdecimal():
        raise InputError(f"{frame!r} is no number", field="frame", remedy="count frames of a file from 0")
    with within(file):
        cell = structure_of(file, None if frame is None else int(frame))
        if primitive:
            crystal = points_of_crystal(cell)
            if crystal is None:
                raise InputError("no symmetry is found", field="primitive", remedy="leave out --primitive")
            cell = crystal.primitive
        large = repeated(cell, supercell)
        require_dense((2 if spin_orbit else 1) * int(predictor.basis.orbital_counts(large.numbers).sum()))
        electrons = predictor.electrons_of_spins(large)
        filled_bands(len(electrons), electrons)  # before anything is computed
        hamiltonian, overlap = predictor.predict(large)
        if spin_orbit:
            hamiltonian = spinor_hamiltonian(predictor, large, hamiltonian)
    name = file.name if frame is None else f"{file.name}, frame {frame}"
    return _Case(cell, hamiltonian, overlap, electrons, name, repeats=supercell)


def _of_dataset(
    predictor: HamiltonianPredictor, dataset: Path, file: Path | None, frame: str | None, spin_orbit: bool
) -> _Case:
    """The model's H and DFT's of a frame of a data set, with DFT's S."""
    from n2amd.dataset.store import read_frames
    from n2amd.errors import within
    from n2amd.network.evaluation import predict_aligned
    from n2amd.network.spinors import scalar_part, spinor_hamiltonian
    from n2amd.states.bands import require_dense

    index = _frame_of(predictor, dataset, file, frame)
    chosen = next(iter(read_frames(dataset, [index])))
    with within(dataset, chosen.name):
        n_orbitals = int(predictor.basis.orbital_counts(chosen.structure.numbers).sum())
        require_dense((2 if spin_orbit else 1) * n_orbitals)
        predicted = predict_aligned(predictor, scalar_part(chosen) if spin_orbit else chosen).aligned
        if spin_orbit:
            predicted = spinor_hamiltonian(predictor, chosen.structure, predicted)
        # the model's own are whole numbers; `predict_aligned` held them against the frame's
        collinear = chosen.hamiltonian.n_spin == 2
        electrons = predictor.electrons_of_spins(chosen.structure) if collinear else (chosen.n_electrons,)
    return _Case(chosen.structure, predicted, chosen.overlap, electrons, chosen.name, chosen.hamiltonian)


def _frame_of(predictor: HamiltonianPredictor, dataset: Path, file: Path | None, frame: str | None) -> int:
    """Number of the frame of a data set that is asked for.

    By name or number; else the one with the atoms of the file; else the smallest that the model was not
    trained on, whose bands are the least folded.
    """
    from n2amd.commands.structure_files import structure_of
    from n2amd.dataset.store import read_names, read_structures
    from n2amd.errors import InputError

    names, structures = read_names(dataset), read_structures(dataset)
    if frame is not None:
        named = [k for k, name in enumerate(names) if name == frame]
        if not named and frame.isdecimal() and int(frame) < len(names):
            named = [int(frame)]
        if not named:
            raise InputError(
                f"there is no frame {frame!r}",
                file=dataset,
                field="frame",
                remedy=f"choose one of 0..{len(names) - 1}, or a name, e.g. {names[0]}",
            )
    elif file is None:
        split = predictor.training.get("split", {})
        unseen = [k for part in ("test", "validation") for k in split.get(part, []) if k < len(names)]
        return min(unseen or range(len(names)), key=lambda k: structures[k].n_atoms)
    else:
        named = list(range(len(names)))
    if file is None:
        return named[0]
    wanted = structure_of(file)
    same = [k for k in named if structures[k].moved_from(wanted) < 1e-3]
    if not same:
        raise InputError(
            f"none of {len(named)} frames has the atoms of {file}"
            if len(named) > 1
            else f"frame {names[named[0]]} does not have the atoms of {file}",
            file=dataset,
            field="frame",
            remedy="leave out the structure: the frame's own is taken",
        )
    return same[0]
