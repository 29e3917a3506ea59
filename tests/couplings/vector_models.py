"""Untrained models of titania: every part of a predicted H is there, and none of it is smooth by chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.baseline.model_density import ModelDensity
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.checkpoint import HamiltonianModel
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.network.predict import HamiltonianPredictor
from n2amd.orbitals.basis import Basis, RadialFunction, Shell
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

TITANIA = Path(__file__).resolve().parents[2] / "resources" / "tio2-honpas"
RANGES = {(8, 8): 4.2, (8, 22): 4.0, (22, 22): 4.6}


def md_frame(number: int) -> Structure:
    """Geometry of a frame of the DFT trajectory of six atoms, 1 fs apart."""
    return read_frame(TITANIA / "TiO2_6_md" / f"frame_{number:04d}")[0].structure


def random_pairs(basis: Basis) -> HamiltonianNetwork:
    """An untrained network of blocks; its elements are some tenths of an eV."""
    torch.manual_seed(1)
    shape = {"layers": 1, "message_cutoff": 4.0, "neighbours": 20.0, "n_radial": 6, "radial_hidden": 16}
    network = HamiltonianNetwork(basis, Architecture((4, 3, 2, 1, 1), ranges=RANGES, **shape))
    for name, buffer in network.named_buffers():
        if name.startswith("reference"):
            buffer.normal_(std=0.3)
    return network.eval()


def density_functions() -> ModelDensity:
    """Gaussians of l = 0..4 that end smoothly, and atoms that hand over their electrons in part."""
    atoms, r = {}, 0.02 * np.arange(126)
    for z, counts in {8: (2, 1, 1, 1, 1), 22: (1, 2, 1, 0, 1)}.items():
        atoms[z] = tuple(
            Shell(l, f"{l}.{k}", RadialFunction(0.02, values, 2.5))
            for l, n in enumerate(counts)
            for k, values in enumerate(
                np.exp(-(1.0 + 0.6 * k) * r**2) * (1 - (r / 2.5) ** 2) ** 3 for k in range(n)
            )
        )
    auxiliary = AuxiliaryBasis(atoms)
    mean = {z: np.zeros(auxiliary.n_functions(z)) for z in atoms}
    for z, electrons in ((8, 1.0), (22, -2.0)):
        mean[z][0] = electrons / auxiliary.charges(z)[0]
    return ModelDensity(auxiliary, mean)


def random_density(zeroth: ZerothHamiltonian, spread: float) -> DensityNetwork:
    """An untrained network of densities around average atoms."""
    torch.manual_seed(2)
    architecture = DensityArchitecture((4, 3, 2, 1, 1), 1, 4.0, 20.0, n_radial=6, radial_hidden=16)
    network = DensityNetwork(zeroth.model.auxiliary, architecture)
    rng = np.random.default_rng(2)
    rows = {z: mean + rng.normal(scale=spread, size=(40, len(mean))) for z, mean in zeroth.model.mean.items()}
    network.fit_scales(rows)
    return network.eval()


def titania_models() -> dict[str, HamiltonianPredictor]:
    """Predictors in float64: H0 of a density, that and blocks, and blocks alone."""
    return {name: model.in_double_precision() for name, model in single_precision_models().items()}


def single_precision_models() -> dict[str, HamiltonianPredictor]:
    """The same as states are solved with."""
    frame, basis = read_frame(TITANIA / "TiO2_6_train" / "frame_0000")
    zeroth = ZerothHamiltonian(basis, frame.ingredients, density_functions())
    density, pairs = random_density(zeroth, 0.02), random_pairs(basis)
    table = OverlapTable.from_basis(basis)
    models = {
        "density": HamiltonianModel(basis, zeroth, density, None),
        "density+pair": HamiltonianModel(basis, zeroth, density, pairs),
        "atoms": HamiltonianModel(basis, zeroth, None, None),
        "pair": HamiltonianModel(basis, None, None, pairs),
    }
    return {name: HamiltonianPredictor(model, table, {}) for name, model in models.items()}
