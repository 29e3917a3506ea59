"""`n2amd hamiltonian dos`: density of states, where states live, and the charge of one, of any structure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from n2amd.commands.model_bands import ModelFile, SpinOrbit, StructureFile, loaded, write_report
from n2amd.commands.structure_files import FrameNumber, Repeats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from n2amd.analysis.dos_report import MeshEdges
    from n2amd.analysis.projection import Groups
    from n2amd.blocks.matrix import BlockMatrix
    from n2amd.network.predict import HamiltonianPredictor
    from n2amd.orbitals.basis import Basis
    from n2amd.states.density_of_states import MeshStates
    from n2amd.states.projection import Partition, Projection
    from n2amd.states.spin_parts import SpinPart
    from n2amd.structure import Structure

#: The norm of a state on the mesh of a cube file may be off by so much.
NORM_TOLERANCE = 0.01
#: States this near to one another, eV, count as degenerate: a cube file holds their mean.
DEGENERATE = 1e-3
#: A density of states goes this far beyond the conduction band minimum, eV; points of its grid in a width.
BEYOND, FINENESS = 10.0, 5


class Project(StrEnum):
    """What a density of states is projected on."""

    element = "element"
    atom = "atom"
    orbital = "orbital"
    shell = "shell"


class PartitionName(StrEnum):
    """How the charge between two atoms is shared."""

    mulliken = "mulliken"
    loewdin = "loewdin"


class Spin(StrEnum):
    """A channel of collinear spins."""

    up = "up"
    down = "down"


@dataclass(frozen=True)
class _Part:
    """What is known of a closed shell, of spinors, or of a spin channel.

    Attributes
    ----------
    spin
        Channel, H, filled bands.
    states
        On the mesh.
    edges
        Of the gap there.
    """

    spin: SpinPart
    states: MeshStates
    edges: MeshEdges

    @property
    def name(self) -> str:
        """Up or down; empty of a closed shell and of spinors."""
        return self.spin.channel or ""

    @property
    def projection(self) -> Projection:
        """Weights of the states, which are always asked for here."""
        assert self.states.projection is not None
        return self.states.projection


@dataclass(frozen=True)
class _Solved:
    """All that is known of a structure.

    Attributes
    ----------
    structure, basis, overlap
        Atoms, their orbitals, S.
    offsets
        First orbital of each atom and the total.
    parts
        One, or spin up and spin down.
    """

    structure: Structure
    basis: Basis
    overlap: BlockMatrix
    offsets: NDArray[np.int64]
    parts: tuple[_Part, ...]

    @property
    def vbm(self) -> float:
        """Highest valence band maximum, eV."""
        return max(part.edges.vbm for part in self.parts)


def dos(
    model: ModelFile,
    structure: StructureFile,
    out: Annotated[Path | None, typer.Option(help="Density of states to write: .json or .csv.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure to draw: .svg, .png or .pdf.")] = None,
    states: Annotated[
        Path | None, typer.Option(help="Table of all states with their inverse participation ratios (.csv).")
    ] = None,
    cube: Annotated[Path | None, typer.Option(help="Charge density of a state to write (.cube).")] = None,
    state: Annotated[
        str | None, typer.Option(help="State of the cube file: vbm, cbm, or a band from 0. Default: vbm.")
    ] = None,
    kpoint: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Its k point, fractional. Default: that of the edge; of a band, Gamma."),
    ] = None,
    kpoints: Annotated[
        tuple[int, int, int], typer.Option(help="Mesh of k points around Gamma, e.g. 4 4 4.")
    ] = (1, 1, 1),
    width: Annotated[float, typer.Option(help="Standard deviation of the Gaussians, eV.")] = 0.05,
    energies: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Energies shown, eV over the VBM. Default: from the lowest to 10 over the CBM."),
    ] = None,
    project: Annotated[Project | None, typer.Option(help="Parts wanted: on elements, ...")] = None,
    partition: Annotated[PartitionName, typer.Option(help="Weights on orbitals.")] = PartitionName.mulliken,
    spacing: Annotated[float, typer.Option(help="Largest step of the cube file's mesh, Angstrom.")] = 0.15,
    spin: Annotated[
        Spin | None, typer.Option(help="Channel of the cube file's state, of a model with collinear spins.")
    ] = None,
    spin_orbit: SpinOrbit = False,
    supercell: Repeats = "1x1x1",
    frame: FrameNumber = None,
) -> None:
    """Density of states and its parts, how localised each state is, and the charge density of a state."""
    from n2amd.analysis.dos_report import csv_of_dos
    from n2amd.commands.structure_files import repeated, structure_of
    from n2amd.config.section import parse_supercell
    from n2amd.errors import within

    repeats = parse_supercell(supercell)
    _check_options(out, cube, (state, kpoint, spin), kpoints, width, energies, spacing)
    predictor = loaded(model)
    with within(structure):
        cell = repeated(structure_of(structure, frame), repeats)
        solved = _solve(predictor, cell, kpoints, partition.value, spin_orbit)
    of_cube = None if cube is None else _of_channel(solved, spin)
    groups = _groups(solved, project)
    report = _report(solved, groups, width, energies) | {"width_eV": width, "kpoints": kpoints}
    if out is not None:
        write_report(out, report, csv_of_dos, predictor.training.get("settings"), [model, structure])
    if figure is not None:
        from n2amd.analysis.figures.draw import draw_report

        draw_report("dos", report, figure)
    if states is not None:
        _write_states(states, solved, groups)
    _say(structure, solved, report)
    if cube is not None and of_cube is not None:
        _write_cube(cube, solved, of_cube, state or "vbm", kpoint, spacing)


def _check_options(
    out: Path | None,
    cube: Path | None,
    of_cube: tuple[str | None, tuple[float, float, float] | None, Spin | None],
    kpoints: tuple[int, int, int],
    width: float,
    energies: tuple[float, float] | None,
    spacing: float,
) -> None:
    """Refuse what cannot be meant, before anything is computed."""
    from n2amd.errors import InputError

    def refuse(problem: str, field: str, remedy: str) -> None:
        raise InputError(problem, field=field, remedy=remedy)

    if out is not None and out.suffix not in (".json", ".csv"):
        refuse(f"{out} is neither .json nor .csv", "out", "name it so")
    state = of_cube[0]
    if cube is None and any(given is not None for given in of_cube):
        refuse("a state is named, but no file for its charge", "state", "give --cube")
    if state is not None and state not in ("vbm", "cbm") and not state.isdecimal():
        refuse(f"{state!r} is no state", "state", "give vbm, cbm, or the number of a band, from 0")
    if min(kpoints) < 1:
        refuse(f"a mesh of {' '.join(map(str, kpoints))} k points", "kpoints", "give three numbers from 1 on")
    if not width > 0:
        refuse(f"Gaussians of {width:g} eV", "width", "give a positive width")
    if energies is not None and not energies[0] < energies[1]:
        refuse(f"energies from {energies[0]:g} to {energies[1]:g} eV", "energies", "give the lower one first")
    if not spacing > 0:
        refuse(f"a step of {spacing:g} Angstrom", "spacing", "give a positive one")


def _solve(
    predictor: HamiltonianPredictor,
    cell: Structure,
    mesh: tuple[int, int, int],
    partition: Partition,
    spin_orbit: bool,
) -> _Solved:
    """All states of a structure on a mesh of k points, with their weights on shells."""
    from n2amd.analysis.dos_report import MeshEdges
    from n2amd.commands.progress import frame_progress
    from n2amd.dft.engines.kmesh import half_mesh
    from n2amd.network.spinors import spinor_hamiltonian
    from n2amd.states.bands import band_edges, require_dense
    from n2amd.states.density_of_states import mesh_states
    from n2amd.states.projection import first_orbitals, sites_of
    from n2amd.states.spin_parts import filled_bands, spin_parts

    basis = predictor.basis
    offsets = basis.orbital_offsets(cell.numbers)
    require_dense((2 if spin_orbit else 1) * int(offsets[-1]))
    electrons = predictor.electrons_of_spins(cell)
    filled_bands(len(electrons), electrons)  # before anything is computed
    hamiltonian, overlap = predictor.predict(cell)
    if spin_orbit:
        hamiltonian = spinor_hamiltonian(predictor, cell, hamiltonian)
    sites = sites_of(cell, basis, "shells")
    wanted = (sites, first_orbitals(sites, basis))
    parts = []
    for part in spin_parts(hamiltonian, electrons):
        with frame_progress("states", "k points") as report:
            points = half_mesh(mesh)
            states = mesh_states(part.hamiltonian, overlap, offsets, points, wanted, partition, report)
        found = band_edges(states.energies, part.n_occupied)
        edges = MeshEdges(found.vbm, found.cbm, found.at_vbm, found.at_cbm, part.n_occupied)
        parts.append(_Part(part, states, edges))
    return _Solved(cell, basis, overlap, offsets, tuple(parts))


def _groups(solved: _Solved, project: Project | None) -> Groups | None:
    from n2amd.analysis.projection import By, groups_of

    if project is None:
        return None
    names: dict[Project, By] = {
        Project.element: "species",
        Project.atom: "atom",
        Project.orbital: "orbital",
        Project.shell: "shell",
    }
    return groups_of(solved.parts[0].projection, names[project])


def _report(
    solved: _Solved, groups: Groups | None, width: float, energies: tuple[float, float] | None
) -> dict[str, Any]:
    """Content of `dos.json`."""
    import numpy as np

    from n2amd.analysis.dos_report import SpectralParts, channel_dos_report, dos_report
    from n2amd.analysis.projection import shares
    from n2amd.states.density_of_states import REACH, density_of_states

    low = min(float(part.states.energies.min()) for part in solved.parts) - REACH * width
    high = max(part.edges.cbm for part in solved.parts) + BEYOND
    if energies is not None:
        low, high = solved.vbm + energies[0], solved.vbm + energies[1]
    grid = np.linspace(low, high, 1 + int(np.ceil((high - low) * FINENESS / width)))
    spectra = {}
    for part in solved.parts:
        found, each = part.states, part.spin.per_band
        total = each * density_of_states(found.energies, grid, width, found.weights)
        groups_of_part = {}
        if groups is not None:
            share = shares(part.projection, groups)
            columns = each * density_of_states(found.energies, grid, width, found.weights, share)
            groups_of_part = dict(zip(groups.names, columns.T))
        spectra[part.spin.channel] = SpectralParts(total, groups_of_part, part.edges, part.projection)
    points = solved.parts[0].states.kpoints
    if None in spectra:
        return dos_report(grid, points, spectra[None])
    return channel_dos_report(grid, points, {name: s for name, s in spectra.items() if name is not None})


def _write_states(out: Path, solved: _Solved, groups: Groups | None) -> None:
    from n2amd.analysis.dos_report import csv_of_states
    from n2amd.storage import atomic_path

    mesh = solved.parts[0].states
    found = {part.name: (part.states.energies - solved.vbm, part.projection) for part in solved.parts}
    table = csv_of_states(mesh.kpoints, mesh.weights, found, groups)
    with atomic_path(out) as part:
        part.write_text(table, encoding="utf-8")


def _say(structure: Path, solved: _Solved, report: dict[str, Any]) -> None:
    n_k, n = solved.parts[0].states.energies.shape
    spins = " of either spin" if len(solved.parts) > 1 else ""
    typer.echo(
        f"{structure.name}: {solved.structure.n_atoms} atoms, {n} states{spins} at each of {n_k} k points, "
        f"gap {report['gap_eV']:.3f} eV on this mesh"
    )
    for channel, found in report.get("channels", {"": report}).items():
        of_channel = f"spin {channel}, " if channel else ""
        if channel:
            typer.echo(f"spin {channel}: {found['n_occupied']} filled bands, gap {found['gap_eV']:.3f} eV")
        for name in ("vbm", "cbm"):
            edge = found[name]
            place = " ".join(f"{x:.3f}" for x in edge["kpoint"])
            typer.echo(
                f"{of_channel}{name.upper()}: band {edge['band']} at ({place}), IPR {edge['ipr']:.3g}, "
                f"on {edge['atoms']:.1f} atoms"
            )


def _of_channel(solved: _Solved, spin: Spin | None) -> _Part:
    """The part that a cube file is of.

    Raises
    ------
    InputError
        If no channel is named of a model that has them, or one of a model that has none.
    """
    from n2amd.errors import InputError

    found = [part for part in solved.parts if part.name == (spin.value if spin else "")]
    if not found:
        named = "no spin channel is chosen" if spin is None else f"spin {spin.value} of a model without spin"
        remedy = "give --spin up or down" if spin is None else "leave it out"
        raise InputError(named, field="spin", remedy=remedy)
    return found[0]


def _write_cube(
    out: Path,
    solved: _Solved,
    part: _Part,
    state: str,
    kpoint: tuple[float, float, float] | None,
    spacing: float,
) -> None:
    """Write the mean charge density of a state and those degenerate with it, its norm checked."""
    import numpy as np

    from n2amd.baseline.mesh_states import charge_on_mesh
    from n2amd.errors import ComputationError, InputError
    from n2amd.frames.mesh import mesh_of_spacing
    from n2amd.interop.cube import write_cube
    from n2amd.orbitals.uniform_radial import uniform_basis
    from n2amd.states.density_of_states import states_at

    edges, n = part.edges, part.states.energies.shape[1]
    band = {"vbm": edges.n_occupied - 1, "cbm": edges.n_occupied}.get(state)
    k = part.states.kpoints[edges.at_vbm if state == "vbm" else edges.at_cbm]
    if band is None:
        band, k = int(state), np.zeros(3)
    if band >= n:
        raise InputError(f"there is no band {band}", field="state", remedy=f"choose one of 0..{n - 1}")
    k = k if kpoint is None else np.array(kpoint)
    energies, found, _ = states_at(part.spin.hamiltonian, solved.overlap, solved.offsets, k)
    alike = np.flatnonzero(np.abs(energies - energies[band]) < DEGENERATE)
    mesh = mesh_of_spacing(solved.structure.cell, spacing)
    orbitals, n_orbitals = uniform_basis(solved.basis), int(solved.offsets[-1])
    # of spinors both halves
    halves = found[:, alike].reshape(-1, n_orbitals, len(alike))
    charge = np.sum([charge_on_mesh(orbitals, solved.structure, mesh, half, k) for half in halves], axis=0)
    norm = float(charge.sum()) * mesh.volume_element
    if abs(norm - 1) > NORM_TOLERANCE:
        raise ComputationError(
            f"{out}: the charge of band {band} adds up to {norm:.3f} on a mesh of steps of {spacing:g} "
            "Angstrom instead of 1; lower --spacing"
        )
    place = " ".join(f"{x:.3f}" for x in k)
    of_channel = f"spin {part.name}, " if part.name else ""
    title = f"{of_channel}band {band} at k = ({place}), {energies[band] - edges.vbm:+.3f} eV from the VBM"
    write_cube(out, solved.structure, charge, title)
    mean = f", mean of {len(alike)} degenerate states" if len(alike) > 1 else ""
    typer.echo(f"{out}: {title}{mean}, {'x'.join(map(str, mesh.shape))} points, norm {norm:.4f}")
