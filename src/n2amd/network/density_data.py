"""From DFT frames to samples of the density network: densities, functions, normal equations, state responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.baseline.ingredients import Ingredients
from n2amd.baseline.mesh_potential import local_xc_kernel
from n2amd.baseline.model_density import (
    FrameDensity,
    ModelDensity,
    choose_functions,
    coefficients_by_element,
    fit_equations,
    frame_density,
    frames_for_choice,
)
from n2amd.baseline.state_response import state_response
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dataset.frame import Frame
from n2amd.network.density_training import DensitySample
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import build_graph
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure


def choose_model(frames: Sequence[Frame], basis: Basis, ingredients: Ingredients) -> ModelDensity:
    """Choose the density functions on some of the training frames; the mean atoms are filled in later."""
    chosen = frames_for_choice([f.structure for f in frames])
    auxiliary = choose_functions((frame_density(frames[k], basis, ingredients) for k in chosen), basis)
    return ModelDensity(auxiliary, {z: np.zeros(auxiliary.n_functions(z)) for z in auxiliary.atoms})


@dataclass(frozen=True)
class FittedFrame:
    """A frame's sample and the fit of its own density."""

    sample: DensitySample
    structure: Structure
    coefficients: NDArray[np.float64]


def fit_frame(frame: Frame, zeroth: ZerothHamiltonian, message_cutoff: float) -> FittedFrame:
    """Density, fit, and response of the states of one frame.

    The states' missing energies are measured at the fitted density, so that the linear response only has to
    bridge what a network misses.
    """
    basis, ingredients, auxiliary = zeroth.basis, zeroth.ingredients, zeroth.model.auxiliary
    structure = frame.structure
    density: FrameDensity = frame_density(frame, basis, ingredients)
    equations = fit_equations(density, auxiliary)
    coefficients = equations.solve(auxiliary.charges_of(structure.numbers), -frame.charge)
    atoms = zeroth.densities(structure, density.mesh)
    mesh, potential = zeroth.potential(structure, coefficients)
    reference = zeroth.assemble(structure, mesh, potential, frame.hamiltonian.pairs)
    kernel = local_xc_kernel(density.valence + atoms.core, rydberg=ingredients.rydberg, bohr=ingredients.bohr)
    states = state_response(density.frame, basis, ingredients, auxiliary, mesh, kernel, reference)
    sample = DensitySample(
        frame.name,
        build_graph(structure, basis.numbers, message_cutoff, {}, torch.float32),
        FieldWaves.of(structure),
        -frame.charge,
        torch.from_numpy(equations.matrix),
        torch.from_numpy(equations.right),
        equations.norm,
        torch.from_numpy(states.response),
        torch.from_numpy(states.missing + states.response.astype(np.float64) @ coefficients),
        states.edges,
        states.levels,
    )
    return FittedFrame(sample, structure, coefficients)


def fit_frames(
    frames: Sequence[Frame],
    zeroth: ZerothHamiltonian,
    message_cutoff: float,
    report: Callable[[int, int], None],
) -> list[FittedFrame]:
    """`fit_frame` for each frame; `report` is told how many of how many are done."""
    fitted = []
    for done, frame in enumerate(frames, 1):
        fitted.append(fit_frame(frame, zeroth, message_cutoff))
        report(done, len(frames))
    return fitted


def with_means(model: ModelDensity, fitted: Sequence[FittedFrame]) -> ModelDensity:
    """Return the model with the mean coefficients of fitted frames: spherical, l = 0 only."""
    rows = coefficients_by_element(model.auxiliary, [(f.structure, f.coefficients) for f in fitted])
    mean = {}
    for z, values in rows.items():
        n_spherical = model.auxiliary.counts(z)[0]
        mean[z] = np.zeros(values.shape[1])
        mean[z][:n_spherical] = values[:, :n_spherical].mean(axis=0)
    return ModelDensity(model.auxiliary, mean)
