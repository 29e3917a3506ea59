"""What a later stage would refuse whatever the data are, told when the configuration is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from n2amd.config.dynamics import OF_PAIRS
from n2amd.config.section import SUPERCELL

if TYPE_CHECKING:
    from n2amd.config.job import Config

#: Codes whose frames do not say what their Hamiltonian is made of: networks of atom pairs learn it.
WITHOUT_DENSITY = ("abacus", "deeph")
#: Folders beside those of the materials, and beside those of a material's functionals and supercells.
FOLDERS_OF_RESULTS, FOLDERS_OF_MATERIALS = ("logs", "benchmarks", "figures"), ("figures",)


def contradictions(job: Config, name: str) -> Iterator[str]:
    """Say what about one material will be refused at a later stage, whatever its data."""
    material = job.materials[name]
    yield from _names_that_are_taken(job, name)
    trajectory, states, dynamics = (job.section(s, name) for s in ("trajectory", "states", "dynamics"))
    label = material.trajectory_functional
    yield from _other_materials(job, name)
    if material.forcefield_of is None and (reason := material.functionals[label].lacks_forces):
        yield (
            f"materials.{name}: the force field would be trained on {label!r}, but {reason}; "
            "name a functional with forces in forcefield_functional"
        )
    yield from _active_learning(job, name)
    yield from _spin_channels(job, name)
    if states.spin_orbit is not None:
        yield from _spin_orbit(job, name)
    if states.defect is not None:
        yield from _levels_of_a_defect(job, name)
    if job.section("couplings", name).scheme == "analytic" and dynamics.scheme != "hst":
        yield (
            f"dynamics.scheme = {dynamics.scheme} takes overlaps, so that couplings.scheme = analytic would "
            "change nothing: set dynamics.scheme to hst, or couplings.scheme to hst"
        )
    steps = int(dynamics.duration_fs / trajectory.timestep_fs + 1e-9)
    if steps < dynamics.output_stride:
        yield (
            f"dynamics.duration_fs = {dynamics.duration_fs:g} is {steps} steps of trajectory.timestep_fs = "
            f"{trajectory.timestep_fs:g}, fewer than dynamics.output_stride = {dynamics.output_stride}: no "
            "population would be stored after the start"
        )
    band = {"electron": "conduction", "hole": "valence"}.get(dynamics.carrier)
    several = band is None or getattr(states, band) > 1
    if "dish_renewal" in dynamics.methods and dynamics.detailed_balance == "none" and several:
        yield (
            "dish_renewal is for two states, and dynamics.detailed_balance = none makes all of them matter: "
            "set it to gap, leave dish_renewal out, or keep only the band edges (states.valence, "
            "states.conduction)"
        )
    tau = dynamics.dephasing_time_fs
    # the band of dephasing times reaches one fs beyond, and a waiting time must fit into half the trajectory
    needed = 4 if tau is None else 2 * (int((tau + 1) / trajectory.timestep_fs * (1 + 1e-12)) + 1) + 1
    if trajectory.frames < needed:
        given = "" if tau is None else f" with dynamics.dephasing_time_fs = {tau:g}"
        yield f"trajectory.frames = {trajectory.frames} are too few for a lifetime{given}: {needed} at least"


def _other_materials(job: Config, name: str) -> Iterator[str]:
    """Say which material or functional that this one takes something from is none of the job."""
    material = job.materials[name]
    if (owner := material.forcefield_of) is not None:
        place = f"materials.{name}.forcefield_of = {owner}"
        if owner not in job.materials or owner == name:
            others = ", ".join(other for other in job.materials if other != name) or "none"
            yield f"{place} is none of the other materials: {others}"
        elif job.materials[owner].forcefield_of is not None:
            yield f"{place} has no force field of its own: name {job.materials[owner].forcefield_of}"
        if material.forcefield_functional is not None:
            yield f"{place}: forcefield_functional is for a force field of its own: leave it out"
    for label, source in material.functionals.items():
        if (kept := source.rebuilt) is None:
            continue
        place = f"materials.{name}.functionals.{label}.rebuilt"
        if kept.material not in job.materials:
            yield f"{place}.material = {kept.material} is none of {', '.join(job.materials)}"
        elif kept.functional not in job.materials[kept.material].functionals:
            known = ", ".join(job.materials[kept.material].functionals)
            yield f"{place}.functional = {kept.functional} is none of {known}"
        elif (like := job.materials[kept.material].functionals[kept.functional]).rebuilt is not None:
            yield (
                f"{place}: frames of {kept.material} {kept.functional} are rebuilt themselves: name one with "
                "paths"
            )
        elif like.written_by != source.written_by:
            yield (
                f"{place}: code is {source.written_by}, of {kept.material} {kept.functional} it is "
                f"{like.written_by}: set it to that"
            )


def _spin_channels(job: Config, name: str) -> Iterator[str]:
    """Say where two places name different channels, and what a pristine cell lacks."""
    material, spin = job.materials[name], job.section("states", name).spin
    for label, source in material.functionals.items():
        if None not in (spin, source.spin) and source.spin != spin:
            yield (
                f"materials.{name}.functionals.{label}.spin = {source.spin}, but states.spin = {spin}: name "
                "the channel in one place"
            )
    if (other := material.pristine) is None:
        return
    place = f"materials.{name}.pristine"
    if job.section("states", name).defect is None:
        yield f"{place}: there are no levels of a defect to compare with it: set states.defect"
    if other.material not in job.materials:
        yield f"{place}.material = {other.material} is none of {', '.join(job.materials)}"
    elif other.functional not in (None, *job.materials[other.material].functionals):
        known = ", ".join(job.materials[other.material].functionals)
        yield f"{place}.functional = {other.functional} is none of {known}"
    elif job.section("states", other.material).defect is not None:
        yield (
            f"{place}: states.defect is set for {other.material} too: set it in the overrides of {name} alone"
        )
    if other.supercell not in job.supercells:
        yield f"{place}.supercell = {other.supercell} is none of {', '.join(job.supercells)}"


def _spin_orbit(job: Config, name: str) -> Iterator[str]:
    """Say what does not go with spin-orbit coupling, or has none."""
    picture, place = job.section("states", name).spin_orbit, f"materials.{name}: states.spin_orbit = "
    dynamics = job.section("dynamics", name)
    for label, source in job.materials[name].functionals.items():
        if source.written_by != "openmx":
            yield (
                f"{place}{picture}: the coupling is known of OpenMX' .vps files alone, and {label} is of "
                f"{source.written_by}: leave it out"
            )
        if source.spin is not None:
            yield f"{place}{picture}: it couples the channels, and {label} names one: leave its spin out"
    if job.section("hamiltonian", name).model == "pair":
        yield f"{place}{picture}: it is of H0's pseudopotentials: set hamiltonian.model to auto or density"
    if dynamics.carrier == "pair":
        yield f"{place}{picture}: pairs of an electron and a hole are not known with it: set dynamics.carrier"
    if picture == "spin_states" and dynamics.scheme == "hst":
        yield f"{place}spin_states: hst flips no spin: set dynamics.scheme to local_diabatic"
    if picture == "spin_states" and "dish_renewal" in dynamics.methods:
        yield f"{place}spin_states: dish_renewal is for two states, and each has two spins: take dish"
    if picture == "spinors":
        others = [method for method in dynamics.methods if method not in OF_PAIRS]
        if others:
            yield (
                f"{place}spinors: {others[0]} hops between single states, which degenerate pairs are not: "
                f"take dynamics.methods of {', '.join(OF_PAIRS)}"
            )
        if job.section("couplings", name).scheme == "analytic":
            yield f"{place}spinors: no couplings along velocities are known: set couplings.scheme to hst"


def _levels_of_a_defect(job: Config, name: str) -> Iterator[str]:
    """Say what does not go with levels of a defect."""
    dynamics, defect = job.section("dynamics", name), job.section("states", name).defect
    if defect.atoms is not None and job.section("couplings", name).order == "energy":
        yield (
            "states.defect: levels of a defect keep their columns by character only: set couplings.order to "
            "character"
        )
    if dynamics.carrier == "pair":
        yield (
            "states.defect: pairs of an electron and a hole know no levels of a defect: set dynamics.carrier "
            "to electron or hole"
        )
    if "dish_renewal" in dynamics.methods:
        yield (
            "states.defect: dish_renewal is for two states, and a level between the band edges is a third: "
            "take dish, and `n2amd analysis rates` for rates without trajectories"
        )


def _names_that_are_taken(job: Config, name: str) -> Iterator[str]:
    """Say which names would have two things share a folder of the results."""
    if name in FOLDERS_OF_RESULTS:
        yield f"a material cannot be called {name!r}: the results have such a folder; give it another name"
    for label in job.materials[name].functionals:
        if label in FOLDERS_OF_MATERIALS or re.fullmatch(SUPERCELL, label):
            yield (
                f"materials.{name}: a functional cannot be called {label!r}: the results have such a folder; "
                "give it another label"
            )


def _active_learning(job: Config, name: str) -> Iterator[str]:
    """Say what of its rounds could not be done."""
    model = job.section("hamiltonian", name).model
    frames = job.section("trajectory", name).frames
    for label, source in job.materials[name].functionals.items():
        wanted, where = source.active_learning, f"materials.{name}.functionals.{label}.active_learning"
        if not wanted.rounds:
            continue
        if model in ("pair", "atoms+pair"):
            yield (
                f"{where}: frames are chosen by the doubt of a learned density, which hamiltonian.model = "
                f"{model} has none of; set it to auto, density or density+pair, or rounds to 0"
            )
        if wanted.rounds * wanted.frames > min(wanted.candidates, frames):
            yield (
                f"{where}: {wanted.rounds} rounds of {wanted.frames} frames are more than the "
                f"{min(wanted.candidates, frames)} that are looked at (candidates, trajectory.frames)"
            )
        if source.written_by in WITHOUT_DENSITY:
            yield (
                f"{where}: no density is learned from frames of {source.written_by}, and its doubt is what "
                "chooses frames: set rounds to 0"
            )
