"""Self-consistent H of any structure, with the orbitals, pseudopotentials and mesh of a DFT code.

    rho_in -> H[rho_in] -> states -> rho_out;  repeated until H no longer changes

H is the code's own (see docs/decisions/learned-density.md), so that further frames of its kind need no run of
the code. Densities are mixed after D. G. Anderson, J. ACM 12, 547 (1965), in the norm of
`n2amd.baseline.density_fit`, which weighs the potential that a difference makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.density_fit import PlaneWaves, norm_weights
from n2amd.baseline.density_matrix import FilledStates, filled_states, matrix_of_states
from n2amd.baseline.forces import energy_forces
from n2amd.baseline.mesh_integrals import density_on_mesh, potential_matrix
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.zeroth import NeutralAtoms, ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import ComputationError
from n2amd.frames.frame import BandReference, Frame
from n2amd.frames.mesh import Mesh
from n2amd.structure import Structure

#: Densities that the mixing remembers.
MEMORY = 8


@dataclass(frozen=True)
class ScfSettings:
    """How a self-consistent cycle is run.

    Attributes
    ----------
    kpoints, weights
        Fractional, (n_k, 3), of k and -k one; weights that sum to 1, (n_k,).
    smearing
        Occupation of levels near the Fermi level.
    tolerance
        Largest change of an element of H between two cycles, eV.
    mixing
        Share of the new density in the first cycle.
    longest
        Cycles after which one gives up.
    energies
        Whether energy, forces and stress are known, too: not of ingredients that were fitted to H.
    """

    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    smearing: Smearing
    tolerance: float = 1e-4
    mixing: float = 0.3
    longest: int = 60
    energies: bool = True


class AndersonMixing:
    """Next density from those before: least residual in their span, one step along it."""

    def __init__(self, waves: PlaneWaves, step: float) -> None:
        self._weights = norm_weights(waves)
        self._rows, self._step = waves.rows, step
        self._densities: list[NDArray[np.float64]] = []
        self._residuals: list[NDArray[np.float64]] = []
        self._components: list[NDArray[np.complex128]] = []

    def next(self, density: NDArray[np.float64], residual: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density to try next.

        Parameters
        ----------
        density, residual
            What H was made of, and what its states have beyond it, (n1, n2, n3) each; or (2, n1, n2, n3) with
            a magnetisation.
        """
        fields = residual.reshape(-1, *residual.shape[-3:])
        spectrum = np.concatenate(
            [np.fft.rfftn(field).ravel()[self._rows] * np.sqrt(self._weights) for field in fields]
        )
        self._densities = [*self._densities, density][-MEMORY:]
        self._residuals = [*self._residuals, residual][-MEMORY:]
        self._components = [*self._components, spectrum][-MEMORY:]
        shares = self._shares()
        best = sum(c * d for c, d in zip(shares, self._densities))
        left = sum(c * r for c, r in zip(shares, self._residuals))
        return np.asarray(best + self._step * left)

    def _shares(self) -> NDArray[np.float64]:
        """Shares that sum to 1 of the densities so far, (n,)."""
        rows = np.array(self._components)
        rows = np.concatenate([rows.real, rows.imag], axis=1)
        # differences, not the residuals themselves: their Gram matrix is singular where the answer is exact
        others = np.linalg.lstsq((rows[:-1] - rows[-1]).T, -rows[-1], rcond=1e-10)[0]
        return np.append(others, 1 - others.sum())


def self_consistent(
    zeroth: ZerothHamiltonian,
    structure: Structure,
    settings: ScfSettings,
    *,
    name: str,
    charge: float = 0.0,
    moment: float | None = None,
    start: NDArray[np.float64] | None = None,
    report: Callable[[int, float], None] = lambda cycle, change: None,
) -> Frame:
    """Compute a frame: H at self-consistency, S, levels and Fermi level, energy, forces and stress.

    Parameters
    ----------
    zeroth
        Orbitals and ingredients of the DFT code.
    structure
        Atoms.
    settings
        k points, smearing, convergence.
    name
        Of the frame.
    charge
        Of the cell, e.
    moment
        Electrons of spin up minus those of spin down, fixed; None: no spin.
    start
        Density to start from, e.g. a network's, beyond that of neutral atoms, on the mesh of the ingredients,
        1/A^3, with a moment beside its magnetisation, (2, n1, n2, n3); None: neutral atoms.
    report
        Called after every cycle with its number and the largest change of H, eV.

    Raises
    ------
    ComputationError
        If H still changes after the last cycle.
    InputError
        If an element has no ingredients.
    """
    cycle = _Cycle.of(zeroth, structure)
    spins = () if moment is None else (2,)
    nothing = np.zeros((*spins, *cycle.mesh.shape))
    # kinetic and non-local parts do not change
    fixed = zeroth.assemble(structure, cycle.mesh, nothing, cycle.pairs)
    change = nothing if start is None else start
    frame = Frame(
        name,
        structure,
        hamiltonian=fixed,
        overlap=cycle.overlap(),
        n_electrons=zeroth.basis.valence_electrons(structure.numbers) - charge,
        charge=charge,
        origin={
            "code": "n2amd",
            "functional": zeroth.ingredients.functional,
            "smearing": str(settings.smearing),
        },
        ingredients=zeroth.ingredients,
        fixed_moment=moment,
    )
    mixing = AndersonMixing(PlaneWaves.of(cycle.mesh), settings.mixing)
    before = None
    for number in range(1, settings.longest + 1):
        frame = replace(frame, hamiltonian=cycle.hamiltonian(fixed, change))
        moved = np.inf if before is None else _largest_change(frame.hamiltonian, before)
        report(number, moved)
        states = cycle.states(frame, settings)
        if moved <= settings.tolerance:
            return cycle.finished(frame, states, settings)
        residual = cycle.new_density(frame, states) - change
        before = frame.hamiltonian
        change = mixing.next(change, residual)
    raise ComputationError(
        f"{name}: H still changes by {1e3 * moved:.3g} meV after {settings.longest} cycles; mix less than "
        f"{settings.mixing:g} or allow more cycles"
    )


@dataclass(frozen=True)
class _Cycle:
    """What stays the same from cycle to cycle."""

    zeroth: ZerothHamiltonian
    placed: Structure
    mesh: Mesh
    atoms: NeutralAtoms
    pairs: Mapping[SpeciesPair, PairIndex]

    @classmethod
    def of(cls, zeroth: ZerothHamiltonian, structure: Structure) -> _Cycle:
        mesh = zeroth.ingredients.mesh_of(structure.cell)
        return cls(
            zeroth,
            zeroth.ingredients.on_mesh(structure),
            mesh,
            zeroth.densities(structure, mesh),
            find_pairs(structure, zeroth.ranges, half=True),
        )

    def overlap(self) -> BlockMatrix:
        """S on the pairs of H."""
        table = self.zeroth.overlap
        return BlockMatrix(
            self.pairs,
            {key: table.evaluate(key, index.vectors(self.placed))[None] for key, index in self.pairs.items()},
        )

    def hamiltonian(self, fixed: BlockMatrix, change: NDArray[np.float64]) -> BlockMatrix:
        """H of a density that differs from neutral atoms by `change`, eV."""
        potential = self.zeroth.potential_of(self.mesh, self.atoms, change)
        local = potential_matrix(self.zeroth.orbitals, self.placed, self.mesh, potential, self.pairs)
        return BlockMatrix(self.pairs, {key: fixed.values[key] + local.values[key] for key in self.pairs})

    def states(self, frame: Frame, settings: ScfSettings) -> FilledStates:
        """Occupied states of a frame's H."""
        return filled_states(
            frame,
            self.zeroth.basis,
            kpoints=(settings.kpoints, settings.weights),
            smearing=settings.smearing,
        )

    def new_density(self, frame: Frame, states: FilledStates) -> NDArray[np.float64]:
        """Density of states beyond that of neutral atoms, and with spins their magnetisation, 1/A^3."""
        matrix = matrix_of_states(states, frame, self.zeroth.basis, self.pairs)
        spins = density_on_mesh(self.zeroth.orbitals, self.placed, self.mesh, matrix)
        if len(spins) == 1:
            return np.asarray(spins[0] - self.atoms.density)
        return np.stack([spins[0] + spins[1] - self.atoms.density, spins[0] - spins[1]])

    def finished(self, frame: Frame, states: FilledStates, settings: ScfSettings) -> Frame:
        """Return the frame with its levels, and energy and forces where they are known."""
        bands = BandReference(states.kpoints, states.weights, states.levels)
        if frame.fixed_moment is None:
            frame = replace(frame, fermi_level=float(states.fermi_levels[0]))
        frame = replace(frame, bands=bands)
        if not (settings.energies and self.zeroth.ingredients.discretisation.energies):
            return frame
        density, weighted = (
            matrix_of_states(states, frame, self.zeroth.basis, self.pairs, energy_weighted=w)
            for w in (False, True)
        )
        found = energy_forces(self.zeroth, frame.structure, density, weighted, states.smearing_energy)
        return replace(frame, energy=found.energy.free, forces=found.forces, stress=found.stress)


def _largest_change(new: BlockMatrix, old: BlockMatrix) -> float:
    return max(float(np.abs(new.values[key] - old.values[key]).max()) for key in new.pairs)
