"""`n2amd couplings`: join the shards, follow the states, make couplings; compare them with DFT's; vectors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from n2amd.commands import nac_vectors

if TYPE_CHECKING:
    from n2amd.couplings.store import Couplings

app = typer.Typer(help="Track states through time and make couplings.", no_args_is_help=True)

Settings = Annotated[
    str | None, typer.Option("--settings", help="Settings of `couplings`: inline JSON or a YAML file.")
]
StatesSettingsOption = Annotated[
    str | None, typer.Option("--states-settings", help="Settings of `states`: inline JSON or a YAML file.")
]


class Format(StrEnum):
    """Programs that couplings are written for."""

    hefei = "hefei"
    hefei_dish = "hefei-dish"
    hefei_dev = "hefei-dev"
    pyxaid = "pyxaid"
    libra = "libra"


@app.command()
def assemble(
    shards: Annotated[list[Path], typer.Argument(help="Every shard's file, in any order.")],
    out: Annotated[Path, typer.Option(help="Couplings (HDF5).")],
    settings: Settings = None,
    states_settings: StatesSettingsOption = None,
    trajectory: Annotated[
        Path | None, typer.Option(help="trajectory.h5, which the shards are held against.")
    ] = None,
) -> None:
    """Join the shards of a trajectory into tracked energies, overlaps and couplings."""
    from n2amd.config.sections import load_section
    from n2amd.couplings.assemble import assemble as join_shards
    from n2amd.couplings.shards import check_trajectory, read_shards
    from n2amd.couplings.store import write_couplings

    chosen = load_section("couplings", settings)
    states = load_section("states", states_settings)
    found = read_shards(shards)
    if trajectory is not None:
        check_trajectory(found, trajectory)
    couplings = join_shards([shard for _, shard in found], chosen, states)
    config = {"couplings": chosen.model_dump(mode="json"), "states": states.model_dump(mode="json")}
    write_couplings(out, couplings, config=config, inputs=sorted(shards))
    _show(out, couplings)


def _show(out: Path, couplings: Couplings) -> None:
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    edge = couplings.edge_coupling
    moved = (couplings.tracking.successor != np.arange(len(couplings.band_index))).any(axis=1)
    table = Table("quantity", "value", title=str(out))
    for name, value in (
        ("frames, states", f"{couplings.n_frames}, {len(couplings.band_index)}"),
        ("mean gap", f"{couplings.gap.mean():.4f} eV (sd {couplings.gap.std():.4f})"),
        ("VBM-CBM coupling, rms", f"{1000 * np.sqrt((edge**2).mean()):.3f} meV"),
        ("intervals with a crossing", f"{moved.sum()} of {len(moved)}"),
        (
            "intervals with a transported group",
            f"{(couplings.tracking.n_clusters > 0).sum()} of {len(moved)}",
        ),
        ("largest leak out of the kept states", f"{couplings.tracking.window_leak.max():.3f}"),
    ):
        table.add_row(name, value)
    Console().print(table)
    _show_levels(couplings)
    if couplings.scheme == "analytic" and couplings.order == "energy" and moved.any():
        typer.echo(
            f"warning: in {moved.sum()} intervals states cross within a step, which no analytic coupling "
            "between them shows; choose couplings.order: character where carriers pass through them",
            err=True,
        )
    if touched := int((couplings.tracking.edge_clusters > 0).sum()):
        typer.echo(
            f"warning: in {touched} intervals a near-degenerate group reaches from the kept states to the "
            "window's edge; raise states.margin",
            err=True,
        )


def _show_levels(couplings: Couplings) -> None:
    """Say where the states lie, and how clearly levels of a defect are told from the bands."""
    from n2amd.couplings.defect import CLEAR, contrast, localisation, state_labels
    from n2amd.couplings.projection import participation

    if couplings.defect is None or couplings.projection is None:
        return
    levels = couplings.defect
    names = state_labels(len(couplings.band_index), couplings.vbm, levels.columns)
    zero = couplings.energies[:, couplings.edges[0]].mean()
    spread, local = participation(couplings.projection), localisation(couplings.projection, levels.atoms)
    for column, name in enumerate(names):
        typer.echo(
            f"{name:>9}: {'filled' if column <= couplings.vbm else 'empty'}, band "
            f"{couplings.band_index[column]}, {couplings.energies[:, column].mean() - zero:+.3f} eV from the "
            f"VBM, on {spread[:, column].mean():.1f} atoms, L {local[:, column].mean():.3g}"
        )
    ratio, smallest = contrast(levels, couplings.projection)
    moved = (couplings.tracking.successor[:, list(levels.columns)] != levels.columns).any(axis=1)
    typer.echo(
        f"L of the levels {ratio:.1f} times that of the bands, {smallest:.1f} times at least; they pass a "
        f"band state in {moved.sum()} of {len(moved)} intervals"
    )
    if ratio < CLEAR and levels.atoms:
        typer.echo(
            f"warning: the levels of the defect are hardly told from the bands (L {ratio:.2f} times as "
            "large): name the atoms that they live on, or they are no levels",
            err=True,
        )


@app.command()
def parity(
    dataset: Annotated[Path, typer.Option(help="Data set of consecutive DFT frames (HDF5).")],
    model: Annotated[Path, typer.Option(help="Trained Hamiltonian network (hamiltonian.pt).")],
    out: Annotated[Path, typer.Option(help="Report (JSON).")],
    settings: Settings = None,
    states_settings: StatesSettingsOption = None,
    temperature: Annotated[
        float, typer.Option(min=0.1, help="Temperature of the surface hopping on both, K.")
    ] = 300.0,
) -> None:
    """Compare couplings and populations of the network's H with those of DFT's H on the same frames."""
    from rich.console import Console
    from rich.table import Table

    from n2amd.commands.progress import frame_progress
    from n2amd.config.sections import load_section
    from n2amd.couplings.parity import compare_couplings, own_couplings, solve_both
    from n2amd.dataset.store import read_frames, read_structures
    from n2amd.errors import InputError
    from n2amd.fields import number, whole
    from n2amd.hopping.population_parity import compare_populations
    from n2amd.network.predict import load_predictor
    from n2amd.states.frame_solver import window_electrons
    from n2amd.states.window import with_margin_that_fits
    from n2amd.storage import open_hdf5, write_json

    chosen = load_section("couplings", settings)
    if chosen.scheme == "analytic":
        raise InputError(
            "DFT's own frames have no derivative of H, so that no analytic couplings can be compared",
            field="couplings.scheme",
            remedy="compare with hst",
        )
    states = load_section("states", states_settings)
    if states.spin_orbit is not None:
        raise InputError(
            "DFT's couplings and a model's are compared without spin-orbit coupling",
            field="states.spin_orbit",
            remedy="leave it out here",
        )
    with open_hdf5(dataset, "dataset") as file:
        if not whole(file, "consecutive"):
            raise InputError(
                "the frames are not consecutive",
                file=dataset,
                field="consecutive",
                remedy="ingest an MD run with `n2amd dataset ingest --consecutive --timestep-fs`",
            )
        timestep, n_frames = number(file, "timestep_fs", positive=True), whole(file, "n_frames", 0)
    predictor = load_predictor(model)
    cross_overlap = predictor.cross_overlap(chosen.overlap)
    structure = read_structures(dataset)[0]
    electrons = window_electrons(predictor, structure, states.spin)
    n_orbitals = int(predictor.basis.orbital_offsets(structure.numbers)[-1])
    states = with_margin_that_fits(states, electrons, n_orbitals)
    with frame_progress("parity of couplings", target=out) as report:
        both = solve_both(
            read_frames(dataset),
            predictor,
            cross_overlap,
            chosen,
            states,
            report=lambda done: report(done, n_frames),
        )
    document = compare_couplings(both, chosen, states, timestep)
    of_dft = own_couplings(both, "dft", chosen, states, timestep)
    of_model = own_couplings(both, "model", chosen, states, timestep)
    document["populations"] = populations = compare_populations(of_dft, of_model, temperature)
    config = {"couplings": chosen.model_dump(mode="json"), "states": states.model_dump(mode="json")}
    write_json(out, document, config=config, inputs=(dataset, model))
    table = Table("gap / eV", "pairs", "rms DFT / meV", "MAE / meV", title=f"{out}")
    for row in document["by_gap"]:
        limits = f"{row['gap_from_eV']:.2f} - {row['gap_to_eV']:.2f}"
        table.add_row(limits, str(row["n"]), f"{row['rms_dft_meV']:.3f}", f"{row['mae_meV']:.3f}")
    edge = document["gap_edge"]
    table.add_row(
        "VBM-CBM", str(document["n_frames"] - 1), f"{edge['rms_dft_meV']:.3f}", f"{edge['mae_meV']:.3f}"
    )
    Console().print(table)
    if populations is None:
        typer.echo("populations: none, for the frames are too few or their gap stands still")
        return
    recombined = populations["recombination"]
    if (ratio := recombined["lifetime_ratio"]) is not None:
        typer.echo(
            f"lifetime at {populations['dephasing_fs']:.3g} fs: {recombined['lifetime_dft_ns']:.3g} ns from "
            f"DFT's H, {recombined['lifetime_model_ns']:.3g} ns from the network's ({ratio:.2f} times)"
        )
    for carrier, found in populations["relaxation"].items():
        typer.echo(
            f"populations of the hot {carrier} over 1 ps differ by {found['rms_difference']:.3f} (rms), "
            f"{found['largest_difference']:.3f} at most"
        )


@app.command()
def export(
    couplings: Annotated[Path, typer.Argument(help="Couplings (HDF5).")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")],
    format: Annotated[
        Format, typer.Option(help="hefei: public namd; hefei-dish: public dish; hefei-dev; pyxaid; libra.")
    ] = Format.hefei_dev,
    dynamics: Annotated[
        str | None, typer.Option("--settings", help="Settings of `dynamics`: inline JSON or a YAML file.")
    ] = None,
    method: Annotated[str, typer.Option(help="hefei-dev: dish or fssh.")] = "dish",
    temperature: Annotated[float, typer.Option(min=0.1, help="Temperature in inp, K.")] = 300.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the start frames.")] = 1,
) -> None:
    """Write the couplings for another program: Hefei-NAMD's run folder, or vibronic Hamiltonians."""
    from n2amd.config.sections import load_section
    from n2amd.couplings.store import read_couplings
    from n2amd.errors import InputError
    from n2amd.hopping.spin_states import have_spins
    from n2amd.interop import hefei, libra, pyxaid

    vibronic, found = format in (Format.pyxaid, Format.libra), read_couplings(couplings)
    if have_spins(found) or (found.spin == "spinors" and not vibronic):
        raise InputError(
            f"{format.value} knows no " + ("pairs of spinors" if found.spin else "spins that flip"),
            file=couplings,
            field="states.spin_orbit",
            remedy="run `n2amd dynamics run`",
        )
    if vibronic:
        writer = pyxaid if format is Format.pyxaid else libra
        number = writer.write(out, found)
        typer.echo(f"{out}: {number} Hamiltonians for {format.value}")
        return
    code: hefei.Code = {Format.hefei: "namd", Format.hefei_dish: "dish"}.get(format, "dev")  # type: ignore
    frames, bands = hefei.export(
        out, couplings, load_section("dynamics", dynamics), code, method, temperature, seed
    )
    typer.echo(f"{out}: {frames} frames of bands {bands[0]}..{bands[1]}, with INICON, DEPHTIME and inp")


app.command()(nac_vectors.vectors)
