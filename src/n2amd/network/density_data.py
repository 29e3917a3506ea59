"""From DFT frames to samples of the density network: densities, functions, equations, state responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.baseline.density_fit import (
    Design,
    NormalEquations,
    PlaneWaves,
    normal_equations,
    normal_equations_of,
)
from n2amd.baseline.model_density import (
    FrameDensity,
    ModelDensity,
    choose_functions,
    coefficients_by_element,
    frame_density,
    frames_for_choice,
    require_resolved,
)
from n2amd.baseline.rebuilt import rebuilt_hamiltonian
from n2amd.baseline.slope_kernel import slope_kernel
from n2amd.baseline.state_response import StateResponse, state_response
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dataset.electrons import require_charge
from n2amd.errors import InputError
from n2amd.frames.channels import WHOLE, electrons_of_spins
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.network.density_training import DensitySample, MagneticPart
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import build_graph
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.two_centre import overlap
from n2amd.structure import Structure

#: Norm of the magnetisation of a frame without a total spin over that of its density, at most.
HIDDEN_MOMENTS = 1e-4


def choose_model(frames: Sequence[Frame], basis: Basis, ingredients: Ingredients) -> ModelDensity:
    """Choose the density functions on some of the training frames; the mean atoms are filled in later."""
    require_resolved(frames[0].structure, ingredients)
    chosen = frames_for_choice([f.structure for f in frames])
    densities = (frame_density(frames[k], basis, ingredients) for k in chosen)
    return without_means(choose_functions(densities, ingredients.density_orbitals(basis)))


def without_means(auxiliary: AuxiliaryBasis) -> ModelDensity:
    """Return a model of density functions whose average atoms are not known yet."""
    return ModelDensity(auxiliary, {z: np.zeros(auxiliary.n_functions(z)) for z in auxiliary.atoms})


@dataclass(frozen=True)
class FittedFrame:
    """A frame's sample and the fit of its own density, and of its magnetisation where it has one."""

    sample: DensitySample
    structure: Structure
    coefficients: NDArray[np.float64]

    @property
    def of_density(self) -> NDArray[np.float64]:
        """Coefficients of the density, (n_total,)."""
        return self.coefficients if self.coefficients.ndim == 1 else self.coefficients[0]


@dataclass(frozen=True)
class Magnetisation:
    """Electrons of spin up minus those of spin down, and the equations of the fit of where they are."""

    moment: float
    equations: NormalEquations

    @property
    def part(self) -> MagneticPart:
        """What a sample keeps of it."""
        return MagneticPart(self.moment, torch.from_numpy(self.equations.right), self.equations.norm)

    @classmethod
    def of(cls, frame: Frame, equations: NormalEquations, density_norm: float) -> Magnetisation:
        """Take the moment of a frame.

        Raises
        ------
        InputError
            If moments of atoms cancel: only the sign of the total tells up from down.
        """
        up, down = electrons_of_spins(frame)
        if abs(up - down) < WHOLE and equations.norm > HIDDEN_MOMENTS * density_norm:
            raise InputError(
                "the spins of its atoms cancel (an antiferromagnet): the network tells up from down by the "
                "total spin, which is zero",
                frame=frame.name,
                field="hamiltonian",
                remedy="use frames with a total spin, or without spins",
            )
        return cls(round(up - down, 6), equations)


def fit_frame(
    frame: Frame, zeroth: ZerothHamiltonian, message_cutoff: float, *, beside_pairs: bool = False
) -> FittedFrame:
    """Density, fit, and response of the states of one frame.

    The states' missing energies are measured at the fitted density, so that the linear response only has to
    bridge what a network misses.

    Parameters
    ----------
    frame
        DFT frame.
    zeroth
        H0 with the density functions.
    message_cutoff
        Of the network's graph, Angstrom.
    beside_pairs
        H has a part that no density makes (exact exchange), which a pair network learns: the states are
        those of H0 of the frame's own density. A density bent until H0 has a hybrid's gap is no density.
    """
    basis, ingredients, auxiliary = zeroth.basis, zeroth.ingredients, zeroth.model.auxiliary
    structure = frame.structure
    require_charge(frame, basis)
    density: FrameDensity = frame_density(frame, basis, ingredients)
    design = Design.of(density.frame.structure, auxiliary, density.waves)
    equations = normal_equations(design, density.difference)
    charges = auxiliary.charges_of(structure.numbers)
    coefficients, magnetic = equations.solve(charges, -frame.charge), None
    if density.magnetisation is not None:
        of_spin = normal_equations(design, density.magnetisation, equations.matrix)
        magnetic = Magnetisation.of(frame, of_spin, equations.norm)
        coefficients = np.stack([coefficients, magnetic.equations.solve(charges, magnetic.moment)])
    reference = zeroth.matrix(structure, coefficients, frame.hamiltonian.pairs)
    kernel = slope_kernel(zeroth, structure, coefficients)
    wanted = density.frame
    if beside_pairs:
        wanted = replace(wanted, hamiltonian=rebuilt_hamiltonian(frame, basis, ingredients))
    states = state_response(wanted, basis, ingredients, design, *kernel, reference)
    shown = frame.name, structure, -frame.charge, coefficients
    return _fitted(*shown, equations, states, zeroth, message_cutoff, magnetic)


def frame_of_density(
    name: str,
    structure: Structure,
    coefficients: NDArray[np.float64],
    excess: float,
    zeroth: ZerothHamiltonian,
    message_cutoff: float,
) -> FittedFrame:
    """Sample of a frame of which only the density is known: its Hamiltonian is H0 of that.

    Parameters
    ----------
    name, structure
        The frame.
    coefficients
        Of its density, (n_total,).
    excess
        Electrons beyond the neutral atoms.
    zeroth, message_cutoff
        As for `fit_frame`.
    """
    ingredients, auxiliary = zeroth.ingredients, zeroth.model.auxiliary
    placed = ingredients.on_mesh(structure)
    h0 = zeroth.matrix(structure, coefficients)
    electrons = zeroth.basis.valence_electrons(structure.numbers) + excess
    frame = Frame(name, placed, h0, overlap(zeroth.overlap, structure), electrons)
    kernel = slope_kernel(zeroth, structure, coefficients)
    design = Design.of(placed, auxiliary, PlaneWaves.of(kernel[0]))
    states = state_response(frame, zeroth.basis, ingredients, design, *kernel, h0)
    equations = normal_equations_of(design, coefficients)
    return _fitted(name, structure, excess, coefficients, equations, states, zeroth, message_cutoff)


def _fitted(
    name: str,
    structure: Structure,
    excess: float,
    coefficients: NDArray[np.float64],
    equations: NormalEquations,
    states: StateResponse,
    zeroth: ZerothHamiltonian,
    message_cutoff: float,
    magnetic: Magnetisation | None = None,
) -> FittedFrame:
    """Put a sample together; the states' elements are wanted where DFT has them, not where the fit does."""
    sample = DensitySample(
        name,
        build_graph(structure, zeroth.basis.numbers, message_cutoff, {}, torch.float32),
        FieldWaves.of(structure),
        excess,
        torch.from_numpy(equations.matrix),
        torch.from_numpy(equations.right),
        equations.norm,
        torch.from_numpy(states.response),
        torch.from_numpy(states.missing + states.response.astype(np.float64) @ coefficients.ravel()),
        states.edges,
        states.levels,
        None if magnetic is None else magnetic.part,
    )
    return FittedFrame(sample, structure, coefficients)


def fit_frames(
    frames: Sequence[Frame],
    zeroth: ZerothHamiltonian,
    message_cutoff: float,
    report: Callable[[int, int], None],
    *,
    beside_pairs: bool = False,
) -> list[FittedFrame]:
    """`fit_frame` for each frame; `report` is told how many of how many are done."""
    fitted = []
    for done, frame in enumerate(frames, 1):
        fitted.append(fit_frame(frame, zeroth, message_cutoff, beside_pairs=beside_pairs))
        report(done, len(frames))
    return fitted


def with_means(model: ModelDensity, fitted: Sequence[FittedFrame]) -> ModelDensity:
    """Return the model with the mean coefficients of fitted frames: spherical, l = 0 only."""
    rows = coefficients_by_element(model.auxiliary, [(f.structure, f.of_density) for f in fitted])
    mean = {}
    for z, values in rows.items():
        n_spherical = model.auxiliary.counts(z)[0]
        mean[z] = np.zeros(values.shape[1])
        mean[z][:n_spherical] = values[:, :n_spherical].mean(axis=0)
    return ModelDensity(model.auxiliary, mean)
