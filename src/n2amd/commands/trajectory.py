"""`n2amd trajectory`: molecular dynamics with the force field."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Run molecular dynamics; look at and export trajectories.", no_args_is_help=True)


@app.command()
def run(
    structure: Annotated[Path, typer.Option(help="Unit cell, any format ASE reads.")],
    supercell: Annotated[str, typer.Option(help="Repeats, e.g. 2x2x2.")],
    forcefield: Annotated[Path, typer.Option(help="Force field (forcefield.model).")],
    out: Annotated[Path, typer.Option(help="Trajectory to write (trajectory.h5).")],
    workdir: Annotated[Path, typer.Option(help="Folder of restart points; a killed run resumes from it.")],
    settings: Annotated[
        str | None, typer.Option(help="Section `trajectory`: inline JSON or a YAML file.")
    ] = None,
    material: Annotated[str | None, typer.Option(help="Name kept in the file; default: the formula.")] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load the force field though it was not made here; its code runs.")
    ] = False,
) -> None:
    """Equilibrate (Langevin), then keep every NVE frame."""
    import numpy as np

    from n2amd.config.section import parse_supercell
    from n2amd.config.sections import load_section
    from n2amd.forcefield.calculator import load_forcefield, require_species
    from n2amd.interop.structures import read_structure
    from n2amd.progress import told_to_workflow
    from n2amd.provenance import sha256_of_files
    from n2amd.sources import digest_of_program
    from n2amd.storage import make_folder, single_writer
    from n2amd.trajectory.file import write_trajectory
    from n2amd.trajectory.health import judge_trajectory
    from n2amd.trajectory.md import MolecularDynamics
    from n2amd.trust import accept

    chosen = load_section("trajectory", settings)
    unit = read_structure(structure)
    cell = unit.supercell(parse_supercell(supercell))
    if trust:
        accept(forcefield)
    loaded = load_forcefield(forcefield)
    require_species(loaded, cell.to_ase().get_chemical_symbols(), structure)
    with single_writer(out):
        make_folder(workdir)
        identity = digest_of_program("commands/trajectory.py:run") + sha256_of_files([forcefield])
        with told_to_workflow("molecular dynamics", "steps", out) as report:
            dynamics = MolecularDynamics(cell, loaded.calculator, chosen, workdir, identity, report)
            dynamics.run()
        scalars = [(block.temperature, block.conserved) for block in dynamics.blocks()]
        summary = judge_trajectory(
            *(np.concatenate(column) for column in zip(*scalars)),
            timestep_fs=chosen.timestep_fs,
            n_atoms=cell.n_atoms,
            settings=chosen,
            file=out,
        )
        attributes = {
            "timestep_fs": chosen.timestep_fs,
            "temperature_K": chosen.temperature_K,
            "material": material or unit.to_ase().get_chemical_formula("metal", empirical=True),
            "supercell": supercell,
            "seed": chosen.seed,
            "drift_meV_per_atom_per_ps": summary.drift_meV_per_atom_per_ps,
            "mean_temperature_K": summary.mean_temperature_K,
            "highest_temperature_K": summary.highest_temperature_K,
        }
        inputs = [structure, forcefield]
        write_trajectory(out, cell, dynamics.blocks(), attributes=attributes, config=chosen, inputs=inputs)
    typer.echo(
        f"{out}: {chosen.frames} frames of {cell.n_atoms} atoms, {summary.mean_temperature_K:.0f} K "
        f"(sd {summary.temperature_std_K:.0f}), drift {summary.drift_meV_per_atom_per_ps:+.3f} meV/atom/ps"
    )


@app.command()
def export(
    trajectory: Annotated[Path, typer.Argument(help="Trajectory (trajectory.h5).")],
    out: Annotated[Path, typer.Option(help="Extended XYZ to write.")],
) -> None:
    """Write a trajectory as extended XYZ, readable by ASE and OVITO."""
    from n2amd.trajectory.file import export_extxyz

    typer.echo(f"{out}: {export_extxyz(trajectory, out)} frames")


@app.command()
def info(trajectory: Annotated[Path, typer.Argument(help="Trajectory (trajectory.h5).")]) -> None:
    """Print what a trajectory holds."""
    from n2amd.trajectory.file import read_trajectory

    read = read_trajectory(trajectory)
    for key, value in sorted(read.attributes.items()):
        typer.echo(f"{key:28s} {value}")
