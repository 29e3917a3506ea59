from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from n2amd.baseline.scf_kpoints import scf_kpoints
from n2amd.baseline.self_consistent import ScfSettings, self_consistent
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.pairs import find_pairs
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.dataset.store import create_dataset
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.graph import Graph, build_graph, off_site
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.network.training import train
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.structure import Structure

#: How the network of `ions` is trained.
SPIN_SETTINGS = HamiltonianSettings(
    preset="test", density_steps=40, validation_fraction=0.2, test_fraction=0.2
)
SI2 = Path(__file__).parents[1] / "data" / "honpas-si2" / "frame_0000"
RANGES = {(8, 8): 4.2, (8, 22): 4.0, (22, 22): 4.6}


@pytest.fixture(scope="session")
def basis() -> Basis:
    """Two elements with s, p and d shells: every kind of irreducible part up to L = 4 occurs."""
    oxygen = AtomBasis(8, (Shell(0, "2s"), Shell(1, "2p"), Shell(2, "3d")), 6.0)
    titanium = AtomBasis(22, (Shell(0, "4s"), Shell(0, "4s z2"), Shell(1, "4p"), Shell(2, "3d")), 4.0)
    return Basis({8: oxygen, 22: titanium})


@pytest.fixture
def rutile() -> Structure:
    """Ideal rutile: bonds along x + y, z and in the mirror planes, where bond frames like to fail."""
    u, a, c = 0.305, 4.59, 2.956
    fractional = np.array(
        [
            [0, 0, 0],
            [0.5, 0.5, 0.5],
            [u, u, 0],
            [1 - u, 1 - u, 0],
            [0.5 - u, 0.5 + u, 0.5],
            [0.5 + u, 0.5 - u, 0.5],
        ]
    )
    cell = np.diag([a, a, c])
    return Structure(cell, fractional @ cell, np.array([22, 22, 8, 8, 8, 8]))


@pytest.fixture
def cubic() -> Structure:
    """Rock-salt cell: all nearest bonds exactly along +-x, +-y, +-z, the poles and borders of the charts."""
    cell = 4.2 * np.eye(3)
    ti = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]) @ cell
    o = np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0.5]]) @ cell
    return Structure(cell, np.vstack([ti, o]), np.array([22] * 4 + [8] * 4))


def random_network(
    basis: Basis, seed: int = 0, channels: tuple[int, ...] = (6, 5, 4, 3, 2)
) -> HamiltonianNetwork:
    """Untrained network with a random reference, so that every path contributes."""
    torch.manual_seed(seed)
    model = HamiltonianNetwork(
        basis, Architecture(channels, 2, 4.0, RANGES, 20.0, n_radial=6, radial_hidden=16)
    )
    for name, buffer in model.named_buffers():
        if name.startswith("reference"):
            buffer.normal_(std=0.3)
    return model.eval()


def graph_of(structure: Structure, dtype: torch.dtype = torch.float32) -> Graph:
    pairs = off_site(find_pairs(structure, RANGES, half=True))
    return build_graph(structure, (8, 22), 4.0, pairs, dtype)


@pytest.fixture(scope="session")
def ions(tmp_path_factory):
    """A data set of five displaced cells of Si2 with a charge of 1 and a moment of 1, and a network of it."""
    frame, basis = read_frame(SI2, "honpas")
    zeroth = ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)
    points, weights = scf_kpoints(frame)
    settings = ScfSettings(points[:3], weights[:3] / weights[:3].sum(), Smearing(0.1), energies=False)
    folder = tmp_path_factory.mktemp("ions")
    with create_dataset(folder / "d.h5", code="honpas") as writer:
        for seed in range(5):
            moved = np.random.default_rng(seed).normal(scale=0.12, size=(2, 3))
            structure = frame.structure.with_positions(frame.structure.positions + moved)
            found = self_consistent(zeroth, structure, settings, name=f"ion {seed}", charge=1.0, moment=1.0)
            writer.append(replace(found, origin={**found.origin, "code": "honpas"}), basis, {})
    train(folder / "d.h5", SPIN_SETTINGS, folder / "model.pt", folder / "work", lambda *told: None)
    return folder


def add_to_last_layers(layers, changes: torch.Tensor) -> int:
    """Add a draw of the doubt, (n_weights,), to a head's last layers; return its length."""
    start = 0
    with torch.no_grad():
        for layer in layers:
            for l, weight in enumerate(layer.natural):
                width = len(weight) + (l == 0)
                change = changes[start : start + width * weight.shape[1]].reshape(width, -1)
                start += change.numel()
                weight.add_(change[: len(weight)])
                if l == 0:
                    layer.bias.add_(change[-1])
    return start
