from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest_network import RANGES, graph_of, random_network
from e3nn import o3

from n2amd.blocks.matrix import fold
from n2amd.blocks.pairs import find_pairs
from n2amd.errors import InputError
from n2amd.network.data import assemble
from n2amd.network.graph import build_graph, collate, off_site
from n2amd.network.wigner import wigner_matrices
from n2amd.structure import Structure


def orbital_rotation(basis, z, rotation, inversion):
    matrices = wigner_matrices(rotation[None], 2)
    return torch.block_diag(*(matrices[s.l][0] * (-1 if inversion else 1) ** s.l for s in basis[z].shells))


def predict(model, structure):
    pairs = off_site(find_pairs(structure, RANGES, half=True))
    with torch.no_grad():
        site, pair = model(graph_of(structure))
    return assemble(pairs, {z: np.flatnonzero(structure.numbers == z) for z in site}, site, pair)


@pytest.mark.parametrize("name", ["rutile", "cubic", "random"])
@pytest.mark.parametrize("inversion", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_blocks_transform_under_rotations_and_inversions(
    basis, rutile, cubic, name, inversion, dtype, tolerance, request
):
    structure = {"rutile": rutile, "cubic": cubic}.get(name)
    if structure is None:
        shaken = rutile.positions + np.random.default_rng(0).normal(scale=0.1, size=rutile.positions.shape)
        structure = rutile.with_positions(shaken)
    model = random_network(basis)
    if dtype == torch.float64:
        model = double(model)
    rotation = o3.rand_matrix(dtype=torch.float64)
    q = rotation.numpy() * (-1 if inversion else 1)
    moved = Structure(structure.cell @ q.T, structure.positions @ q.T, structure.numbers)
    # the same pairs, listed once: at ideal geometries rounding may flip which bonds lie at a cutoff
    pairs = off_site(find_pairs(structure, RANGES, half=True))
    one, two = (build_graph(s, (8, 22), 4.0, pairs, dtype) for s in (structure, moved))
    with torch.no_grad():
        (site, pair), (site2, pair2) = model(one), model(two)
    for z, blocks in site.items():
        d = orbital_rotation(basis, z, rotation, inversion)
        assert (site2[z].double() - d @ blocks.double() @ d.T).abs().max() < tolerance * blocks.abs().max()
    for (a, b), blocks in pair.items():
        left, right = (orbital_rotation(basis, z, rotation, inversion) for z in (a, b))
        error = (pair2[a, b].double() - left @ blocks.double() @ right.T).abs().max()
        assert error < tolerance * blocks.abs().max()


def double(model):
    from n2amd.network.shell_blocks import coupling

    model = model.double()
    for name, buffer in model.named_buffers():
        if ".coupling_" in name:  # float32 constants cast up would carry 1e-8
            l1, l2 = (int(part) for part in name.split("_")[-2:])
            buffer.copy_(coupling(l1, l2))
    return model


def test_folded_hamiltonian_is_hermitian_at_any_k(basis, rutile):
    matrix = predict(random_network(basis), rutile)
    offsets = basis.orbital_offsets(rutile.numbers)
    for k in ([0, 0, 0], [0.5, 0, 0.5], [0.13, -0.31, 0.47]):
        dense = fold(matrix, offsets, np.array(k))
        np.testing.assert_array_equal(dense, dense.conj().T)


def test_translation_leaves_every_block(basis, rutile):
    model = random_network(basis)
    one = predict(model, rutile)
    two = predict(model, rutile.with_positions(rutile.positions + np.array([0.3, -1.7, 2.9])))
    for key, blocks in one.values.items():
        np.testing.assert_allclose(two.values[key], blocks, atol=2e-5 * np.abs(blocks).max())


def test_permutation_of_the_atoms_permutes_the_matrix(basis, rutile):
    model = random_network(basis)
    order = np.random.default_rng(5).permutation(rutile.n_atoms)
    permuted = Structure(rutile.cell, rutile.positions[order], rutile.numbers[order])
    dense = []
    for structure in (rutile, permuted):
        offsets = basis.orbital_offsets(structure.numbers)
        dense.append((fold(predict(model, structure), offsets, np.array([0.2, 0.1, -0.3])), offsets))
    (a, offsets), (b, _) = dense
    rows = np.concatenate([np.arange(offsets[k], offsets[k + 1]) for k in order])
    np.testing.assert_allclose(b, a[np.ix_(rows, rows)], atol=1e-5 * np.abs(a).max())


def test_supercell_repeats_the_blocks(basis, rutile):
    """Folding the 2x1x2 supercell at Gamma gives the eigenvalues of the unit cell at the folded k points."""
    model = random_network(basis)
    small, large = rutile, rutile.supercell((2, 1, 2))
    h_large = fold(predict(model, large), basis.orbital_offsets(large.numbers))
    h_small = predict(model, small)
    offsets = basis.orbital_offsets(small.numbers)
    expected = [
        np.linalg.eigvalsh(fold(h_small, offsets, np.array(k)))
        for k in ([0, 0, 0], [0.5, 0, 0], [0, 0, 0.5], [0.5, 0, 0.5])
    ]
    np.testing.assert_allclose(np.linalg.eigvalsh(h_large), np.sort(np.concatenate(expected)), atol=2e-4)


def test_smooth_where_atoms_enter_the_cutoff(basis):
    """Value and slope of the blocks stay continuous when a third atom crosses the message cutoff."""
    model = double(random_network(basis))
    cell = 40.0 * np.eye(3)

    def block(x):
        positions = np.array([[0, 0, 0], [0, 2.0, 0], [x, 0.3, 0.2]])
        structure = Structure(cell, positions, np.array([22, 8, 8]))
        with torch.no_grad():
            site, pair = model(graph_of(structure, torch.float64))
        return torch.cat([site[22].flatten(), pair[8, 22][:1].flatten()])

    edge = np.sqrt(4.0**2 - 0.3**2 - 0.2**2)
    h = 1e-4
    left, here, right = (block(edge + s * h) for s in (-1, 0, 1))
    assert (left - 2 * here + right).abs().max() / h < 1e-3 * here.abs().max()


def test_tangent_matches_finite_differences_on_the_ideal_crystal(basis, cubic):
    """Every bond sits on a pole or chart border here; e3nn's angles give NaN."""
    model = double(random_network(basis))
    graph = graph_of(cubic, torch.float64)
    velocity = torch.randn(
        graph.positions.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )

    def blocks(positions):
        site, pair = model(graph.at(positions))
        return torch.cat([x.flatten() for x in [*site.values(), *pair.values()]])

    _, slope = torch.func.jvp(blocks, (graph.positions,), (velocity,))

    def difference_of(h):
        return (blocks(graph.positions + h * velocity) - blocks(graph.positions - h * velocity)) / (2 * h)

    difference = (4 * difference_of(1e-5) - difference_of(2e-5)) / 3  # Richardson: the h^2 error cancels
    assert torch.isfinite(slope).all()
    torch.testing.assert_close(slope, difference, atol=1e-6, rtol=1e-6)


def test_frames_side_by_side_do_not_see_each_other(basis, rutile, cubic):
    model = random_network(basis)
    alone = [model(graph_of(s)) for s in (rutile, cubic)]
    site, pair = model(collate([graph_of(s) for s in (rutile, cubic)]))
    for z in site:
        torch.testing.assert_close(site[z], torch.cat([a[0][z] for a in alone]), atol=1e-5, rtol=1e-5)
    for key in pair:
        torch.testing.assert_close(pair[key], torch.cat([a[1][key] for a in alone]), atol=1e-5, rtol=1e-5)


def test_unknown_element_is_named(basis, rutile):
    strange = Structure(rutile.cell, rutile.positions, np.where(rutile.numbers == 22, 40, rutile.numbers))
    with pytest.raises(InputError, match="Z = 40 is not in the model"):
        build_graph(strange, (8, 22), 4.0, {})


def test_network_is_float32_whatever_torch_takes_for_default(basis, rutile):
    """A force field loaded by nequip in the same process leaves float64 as torch's default."""
    expected = predict(random_network(basis), rutile)
    torch.set_default_dtype(torch.float64)
    try:
        model = random_network(basis)
        assert torch.get_default_dtype() == torch.float64
        found = predict(model, rutile)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    for key, blocks in expected.values.items():
        np.testing.assert_array_equal(found.values[key], blocks)
