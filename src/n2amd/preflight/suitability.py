"""Hold DFT data against the whole job: what a later stage would refuse is refused before training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ase.data import chemical_symbols

from n2amd.config.forcefield import ForceFieldSettings
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.section import parse_supercell
from n2amd.config.states import StatesSettings
from n2amd.dataset.electrons import with_valence_charges
from n2amd.dataset.split import split_indices
from n2amd.errors import InputError
from n2amd.ingestion.offer import Offer
from n2amd.network.charge_states import ChargeState, ChargeStates
from n2amd.orbitals.basis import Basis
from n2amd.states.band_path import band_path
from n2amd.states.window import state_window
from n2amd.structure import Structure


@dataclass(frozen=True)
class Demands:
    """What a job asks of the data of one functional.

    Attributes
    ----------
    structure, supercells
        Unit cell, and its supercells, AxBxC.
    states, hamiltonian
        Settings of these stages.
    forcefield
        Settings of the force field, if it is trained on these data.
    fits_overlap
        Whether radial functions are recovered from overlaps.
    path
        Special points of the band structure; empty: the lattice's own.
    """

    structure: Structure
    supercells: Sequence[str]
    states: StatesSettings
    hamiltonian: HamiltonianSettings
    forcefield: ForceFieldSettings | None
    fits_overlap: bool
    path: Sequence[str] = ()


def check_suits(offer: Offer, demands: Demands) -> None:
    """Refuse data that some stage of the job would refuse.

    Raises
    ------
    InputError
        Naming the stage's field, what was found and what to do.
    """
    _check_elements(offer, demands.structure)
    if (spin := demands.states.spin) is not None and offer.n_spin != 2:
        raise InputError(
            f"spin {spin} is asked for, the Hamiltonian has {offer.n_spin} spin component"
            f"{'' if offer.n_spin == 1 else 's'}",
            field="states.spin",
            remedy="leave it out, or use spin-polarised runs (collinear: 2 components)",
        )
    _check_spin(offer, demands)
    if demands.states.spin_orbit is not None and offer.spin_orbit is False:
        raise InputError(
            "no pseudopotential tells j = l + 1/2 from l - 1/2: there is no spin-orbit coupling to add",
            field="states.spin_orbit",
            remedy="put the .vps files of OpenMX' DFT_DATA beside the frames (vps/), or leave it out",
        )
    _check_radial_functions(offer.basis, demands.fits_overlap)
    _check_split(offer.n_frames, "hamiltonian", demands.hamiltonian)
    if demands.forcefield is not None:
        if offer.without:
            what, frame = next(iter(offer.without.items()))
            raise InputError(
                f"the frame has no {what}, which the force field is trained on",
                frame=frame,
                field=what,
                remedy="use DFT output with energies and forces (SIESTA: WriteForces true), or name another "
                "functional in forcefield_functional",
            )
        _check_split(offer.n_frames, "forcefield", demands.forcefield)
    basis = with_valence_charges(offer.basis, offer.census)
    known = [
        (name, numbers, ChargeState(excess, moment)) for name, numbers, excess, moment in offer.electrons
    ]
    charges = ChargeStates.of(known, spin=offer.n_spin == 2)
    for name in demands.supercells:
        cell = demands.structure.supercell(parse_supercell(name))
        _check_cell(basis, cell, name, demands.states, charges)
    band_path(demands.structure, list(demands.path) or None, 2)


def _check_spin(offer: Offer, demands: Demands) -> None:
    if offer.n_spin not in (1, 2):
        raise InputError(
            f"the Hamiltonian has {offer.n_spin} spin components, the network predicts 1 or 2 (collinear)",
            field="hamiltonian",
            remedy="use runs without spin-orbit coupling",
        )
    if offer.n_spin == 2 and demands.states.spin is None:
        raise InputError(
            "the Hamiltonian has 2 spin components, and no spin channel is chosen",
            field="states.spin",
            remedy="set spin of the functional to up or down, or use runs without spin polarisation",
        )
    if offer.n_spin == 2 and demands.hamiltonian.model not in ("auto", "density"):
        raise InputError(
            f"collinear spins need a learned density, and the model is {demands.hamiltonian.model}",
            field="hamiltonian.model",
            remedy="set it to auto or density",
        )


def _check_elements(offer: Offer, structure: Structure) -> None:
    unknown = sorted({int(z) for z in structure.numbers} - set(offer.census.elements))
    if unknown:
        names = ", ".join(chemical_symbols[z] for z in unknown)
        held = ", ".join(chemical_symbols[z] for z in offer.census.elements)
        raise InputError(
            f"the structure holds {names}, of which no DFT frame has an atom (they have {held})",
            field="structure",
            remedy="add frames with every element of the structure, or correct its file",
        )


def _check_radial_functions(basis: Basis, fits_overlap: bool) -> None:
    if not basis.has_radial_functions and not fits_overlap:
        raise InputError(
            "the DFT files give no radial functions, so overlaps of new geometries are unknown",
            field="fit_overlap",
            remedy="put the code's radial functions (.ion.xml, .pao) beside the frames, or set fit_overlap "
            "to true to recover them from the overlaps",
        )
    if basis.has_radial_functions and fits_overlap:
        raise InputError(
            "the DFT files give the radial functions, so overlaps need no fit",
            field="fit_overlap",
            remedy="leave it out",
        )


def _check_split(n_frames: int, section: str, settings: HamiltonianSettings | ForceFieldSettings) -> None:
    try:
        split_indices(n_frames, settings.validation_fraction, settings.test_fraction, settings.seed)
    except InputError as error:
        raise InputError(error.problem, field=f"{section}.{error.field}", remedy=error.remedy) from None


def _check_cell(
    basis: Basis, cell: Structure, name: str, states: StatesSettings, charges: ChargeStates
) -> None:
    if cell.n_atoms < 2:
        raise InputError(
            f"the supercell {name} has one atom, which does not move against its centre of mass",
            field="supercells",
            remedy="repeat the cell",
        )
    around = (states.defect.atoms or []) if states.defect is not None else []
    if max(around, default=0) >= cell.n_atoms:
        raise InputError(
            f"there is no atom {max(around)}, the supercell {name} has {cell.n_atoms} (counted from 0)",
            field="states.defect.atoms",
            remedy="name atoms around the defect",
        )
    n_orbitals = int(basis.orbital_offsets(cell.numbers)[-1])
    try:
        state = charges.state_of(cell.numbers)
        electrons = basis.valence_electrons(cell.numbers) + state.excess
        if states.spin is not None and state.moment is not None:
            electrons = (electrons + (state.moment if states.spin == "up" else -state.moment)) / 2
        state_window(electrons, n_orbitals, states)
    except InputError as error:
        raise InputError(
            f"supercell {name}: {error.problem}", field=error.field, remedy=error.remedy
        ) from None
