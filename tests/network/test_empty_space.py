from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest_network import RANGES, random_network

from n2amd.blocks.matrix import add_overlap, fold
from n2amd.blocks.pairs import find_pairs
from n2amd.network.data import assemble, make_sample
from n2amd.network.dense import fold_tensors
from n2amd.network.empty_space import MARGIN, Floor, displaced, floor_violation, measure_floors
from n2amd.network.graph import build_graph, off_site
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.two_centre import OverlapTable, overlap


@pytest.fixture(scope="module")
def diffuse_basis() -> Basis:
    """Two s functions an atom, alike and wide: the overlap matrix is nearly singular on purpose."""

    def gaussian(width: float) -> RadialFunction:
        r = np.linspace(0, 4.5, 600)
        values = np.exp(-((r / width) ** 2)) * (1 - (r / 4.5) ** 2) ** 3
        norm = np.sqrt(np.trapezoid(values**2 * r**2, r))
        return RadialFunction(float(r[1]), values / norm, 4.5)

    shells = (Shell(0, "1s", gaussian(1.3)), Shell(0, "1s z2", gaussian(1.5)))
    return Basis({8: AtomBasis(8, shells, 6.0), 22: AtomBasis(22, shells, 4.0)})


def test_fold_tensors_equals_the_fold_of_the_assembled_matrix(basis, rutile):
    model = random_network(basis)
    pairs = off_site(find_pairs(rutile, RANGES, half=True))
    with torch.no_grad():
        site, pair = model(build_graph(rutile, (8, 22), 4.0, pairs, torch.float32))
    matrix = assemble(pairs, {z: np.flatnonzero(rutile.numbers == z) for z in site}, site, pair)
    offsets = basis.orbital_offsets(rutile.numbers)
    for k in (np.zeros(3), np.array([0.2, -0.4, 0.1])):
        dense = fold_tensors(rutile.numbers, offsets, k, site, pair, pairs)
        np.testing.assert_allclose(dense.numpy(), fold(matrix, offsets, k), atol=1e-5)


def test_floors_are_the_lowest_energies_of_the_empty_directions(diffuse_basis, rutile):
    """With H = 7 S every direction has the energy 7."""
    from n2amd.frames.frame import Frame

    s = overlap(OverlapTable.from_basis(diffuse_basis), rutile)
    h = add_overlap(s.map({key: 0 * v for key, v in s.values.items()}), s, 7.0)
    frame = Frame("made up", rutile, h, s, 16.0)
    floors = measure_floors([make_sample(frame, (8, 22), 4.0, RANGES)], [np.zeros(3)])
    assert floors
    assert all(floor.energy == pytest.approx(7.0 * MARGIN, abs=1e-6) for floor in floors)


def test_violation_is_zero_above_the_floor_and_pushes_up_below_it(diffuse_basis, rutile):
    torch.manual_seed(0)
    table = OverlapTable.from_basis(diffuse_basis)
    model = HamiltonianNetwork(diffuse_basis, Architecture((4, 2), 1, 4.0, RANGES, 20.0, 6, 16))
    kpoint = np.array([0.1, 0.2, 0.3])
    low, high = ([Floor(4e-3, energy)] for energy in (1e-9, 1e6))
    structure = displaced(rutile, np.random.default_rng(1))
    wanted = floor_violation(model, table, structure, kpoint, high)
    assert float(wanted.detach()) > 0.5
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    target = [Floor(4e-3, 50.0)]
    values = []
    for _ in range(15):
        violation = floor_violation(model, table, structure, kpoint, target)
        optimiser.zero_grad()
        violation.backward()
        optimiser.step()
        values.append(float(violation))
    assert values[-1] < 0.7 * values[0]
    assert float(floor_violation(model, table, structure, kpoint, low)) >= 0.0
