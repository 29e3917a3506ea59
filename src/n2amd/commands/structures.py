"""`n2amd structures`: structures for DFT, made of one crystal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

app = typer.Typer(
    help="Make structures for DFT: supercells, thermal rattles, strain, slides, ripples, tubes, defects.",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Argument(help="Structure file, any format ASE reads.")]
Out = Annotated[Path, typer.Option(help="Extended XYZ file to write.")]
Count = Annotated[int, typer.Option(min=1, max=10**7, help="Structures to make.")]
Supercell = Annotated[str, typer.Option(help="Repeats, e.g. 2x2x2.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed; structure n depends on the seed and on n alone.")]


@app.command()
def rattle(
    structure: Source,
    out: Out,
    count: Count = 10,
    temperature_k: Annotated[
        list[float] | None, typer.Option(help="Kelvin; several are taken in turn. Default: 300.")
    ] = None,
    debye_temperature_k: Annotated[
        float | None, typer.Option(help="Debye temperature, Kelvin: widths from the Debye model.")
    ] = None,
    sigma_a: Annotated[
        float | None, typer.Option(help="Standard deviation along each axis, Angstrom, instead.")
    ] = None,
    closest: Annotated[
        float, typer.Option(help="Shortest distance allowed, as a fraction of the species pair's.")
    ] = 0.7,
    supercell: Supercell = "1x1x1",
    seed: Seed = 1,
) -> None:
    """Displace every atom by a Gaussian; atoms that come too close draw again."""
    from n2amd.errors import InputError

    if sigma_a is None and debye_temperature_k is None:
        raise InputError(
            "how far the atoms move is not said",
            field="sigma",
            remedy="give --debye-temperature-k (thermal) or --sigma-a",
        )
    recipe = {
        "temperatures_K": temperature_k or [300.0],
        "debye_temperature_K": debye_temperature_k,
        "sigma_A": sigma_a,
        "closest": closest,
        "supercell": supercell,
        "seed": seed,
    }
    _make(structure, out, recipe, count)


@app.command()
def strain(
    structure: Source,
    out: Out,
    count: Count = 10,
    largest: Annotated[float, typer.Option(help="Largest component of the strain.")] = 0.02,
    supercell: Supercell = "1x1x1",
    seed: Seed = 1,
) -> None:
    """Deform the cell by random symmetric strains."""
    _make(structure, out, {"strain": largest, "supercell": supercell, "seed": seed}, count)


@app.command()
def slide(
    structure: Source,
    out: Out,
    count: Count = 10,
    largest_a: Annotated[float, typer.Option(help="Largest slide of a layer, Angstrom.")] = 1.0,
    axis: Annotated[str, typer.Option(help="Lattice vector that layers are stacked along: a, b or c.")] = "c",
    layer_gap_a: Annotated[float, typer.Option(help="Empty height that parts two layers, Angstrom.")] = 1.5,
    supercell: Supercell = "1x1x1",
    seed: Seed = 1,
) -> None:
    """Slide the layers of a stack in their planes."""
    recipe = {
        "slide_A": largest_a,
        "slide_axis": axis,
        "layer_gap_A": layer_gap_a,
        "supercell": supercell,
        "seed": seed,
    }
    _make(structure, out, recipe, count)


@app.command()
def ripple(
    structure: Source,
    out: Out,
    count: Count = 10,
    largest_per_a: Annotated[
        float, typer.Option(help="Largest curvature of a crest, 1/Angstrom: 1 / radius of a like tube.")
    ] = 0.2,
    sigma_a: Annotated[
        float | None, typer.Option(help="Rattle each atom too, standard deviation along an axis, Angstrom.")
    ] = None,
    axis: Annotated[str, typer.Option(help="Lattice vector that leaves the sheet: a, b or c.")] = "c",
    supercell: Supercell = "4x1x1",
    seed: Seed = 1,
) -> None:
    """Bend a sheet into waves along its lattice vectors, as curved as a tube, in a small cell."""
    recipe = {
        "ripple_per_A": largest_per_a,
        "sigma_A": sigma_a,
        "slide_axis": axis,
        "supercell": supercell,
        "seed": seed,
    }
    _make(structure, out, recipe, count)


@app.command()
def roll(
    structure: Source,
    out: Out,
    tube: Annotated[
        list[str], typer.Option(help="Circumference n,m: n a + m b of the sheet; give it again for more.")
    ],
    count: Annotated[int, typer.Option(min=1, max=10**7, help="Structures of each tube.")] = 1,
    sigma_a: Annotated[
        float | None, typer.Option(help="Rattle each atom, standard deviation along an axis, Angstrom.")
    ] = None,
    vacuum_a: Annotated[
        float, typer.Option(min=0, help="Empty space between a tube and its images, Angstrom.")
    ] = 10.0,
    axis: Annotated[str, typer.Option(help="Lattice vector that leaves the sheet: a, b or c.")] = "c",
    seed: Seed = 1,
) -> None:
    """Roll a sheet up into tubes."""
    import json

    from n2amd.config.sections import load_section
    from n2amd.interop.extxyz import write_structures
    from n2amd.interop.structures import read_structure
    from n2amd.structures.distortions import generate
    from n2amd.structures.rolls import read_indices, rolled

    recipe = load_section(
        "structures", json.dumps({"sigma_A": sigma_a, "slide_axis": axis, "supercell": "1x1x1", "seed": seed})
    )
    sheet, origin = read_structure(structure), _origin(structure)
    tubes = {
        name: rolled(sheet, read_indices(name), "abc".index(recipe.slide_axis), vacuum_a) for name in tube
    }
    made = (
        (one.structure, {**one.record, "tube": name, **origin})
        for name, ideal in tubes.items()
        for one in generate(ideal, recipe, 0, count - 1)
    )
    typer.echo(f"{out}: {write_structures(out, made)} structures of {len(tubes)} tubes")


@app.command()
def supercell(
    structure: Source, out: Out, repeats: Annotated[str, typer.Option(help="Repeats, e.g. 2x2x2.")]
) -> None:
    """Repeat the cell."""
    _make(structure, out, {"supercell": repeats}, 1)


@app.command()
def defect(
    structure: Source,
    out: Annotated[Path, typer.Option(help="File to write: .extxyz, or a POSCAR (.vasp, or so called).")],
    atom: Annotated[int | None, typer.Option(min=0, help="Atom of the supercell, from 0.")] = None,
    element: Annotated[
        str | None, typer.Option(help="Element of the atom: the first one, or that at --position.")
    ] = None,
    position: Annotated[
        str | None, typer.Option(help="Where the atom is, Angstrom, e.g. 5.5,3.7,1.5.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Element that takes its place; default: a vacancy.")] = None,
    supercell: Supercell = "1x1x1",
) -> None:
    """Take an atom out, or replace it; says which atoms are around it, for `states.defect.atoms`."""
    from n2amd.config.section import parse_supercell
    from n2amd.interop.extxyz import write_structures
    from n2amd.interop.structures import read_structure
    from n2amd.poscar import write_poscar
    from n2amd.structures.defects import choose_atom, with_defect

    whole = read_structure(structure).supercell(parse_supercell(supercell))
    chosen = choose_atom(whole, atom, element, None if position is None else _position(position))
    made = with_defect(whole, chosen, by)
    if out.suffix == ".vasp" or out.name.startswith("POSCAR"):
        write_poscar(out, made.structure, made.kind)
    else:
        record = {"defect": made.kind, "site_A": " ".join(f"{x:.6f}" for x in made.site)}
        write_structures(out, [(made.structure, {**record, **_origin(structure)})])
    around = ", ".join(f"{k} ({d:.3f} A)" for k, d in zip(made.neighbours, made.distances))
    typer.echo(
        f"{out}: {made.kind} at {', '.join(f'{x:.3f}' for x in made.site)} A, atom {made.removed} of "
        f"{whole.n_atoms}; around it {around}"
    )


def _position(text: str) -> NDArray[np.float64]:
    """Read "5.5,3.7,1.5"."""
    import numpy as np

    from n2amd.errors import InputError

    try:
        found = np.array([float(word) for word in text.replace(",", " ").split()])
    except ValueError:
        found = np.zeros(0)
    if found.shape != (3,) or not np.isfinite(found).all():
        raise InputError(
            f"{text!r} is no position", field="--position", remedy="write three numbers, as in 5.5,3.7,1.5"
        )
    return found


@app.command()
def generate(
    structure: Source,
    out: Out,
    settings: Annotated[
        str | None, typer.Option(help="Section `structures`: inline JSON or a YAML file.")
    ] = None,
    first: Annotated[int, typer.Option(min=0, help="Number of the first structure.")] = 0,
    last: Annotated[
        int | None, typer.Option(min=0, help="Number of the last structure; default: all of the recipe.")
    ] = None,
) -> None:
    """Everything at once: supercell, strain, slides, ripple, rattle, as the recipe says."""
    from n2amd.config.sections import load_section

    recipe = load_section("structures", settings)
    _write(structure, out, recipe, first, recipe.frames - 1 if last is None else last)


def _make(structure: Path, out: Path, recipe: dict[str, Any], count: int) -> None:
    import json

    from n2amd.config.sections import load_section

    _write(structure, out, load_section("structures", json.dumps(recipe)), 0, count - 1)


def _write(source: Path, out: Path, recipe: Any, first: int, last: int) -> None:
    from n2amd.config.section import parse_supercell
    from n2amd.errors import InputError
    from n2amd.interop.extxyz import write_structures
    from n2amd.interop.structures import read_structure
    from n2amd.structures.distortions import generate

    if recipe.file is not None:
        raise InputError(
            f"the recipe takes its structures from {recipe.file}, there is nothing to make",
            field="structures.file",
            remedy="use that file as it is, or leave `file` out",
        )
    if last < first:
        raise InputError(f"the last structure ({last}) comes before the first ({first})", field="last")
    crystal = read_structure(source)
    origin = _origin(source)
    count = write_structures(
        out, ((made.structure, {**made.record, **origin}) for made in generate(crystal, recipe, first, last))
    )
    atoms = crystal.supercell(parse_supercell(recipe.supercell)).n_atoms
    typer.echo(f"{out}: {count} structures of {atoms} atoms")


def _origin(source: Path) -> dict[str, str]:
    """What a made structure says of where it is from."""
    from n2amd.provenance import created_by, sha256_of_files

    return {
        "made_from": source.name,
        "made_from_sha256": sha256_of_files([source]),
        "made_by": created_by(),
    }
