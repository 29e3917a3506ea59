"""Fitted two-centre functions: exact data, real data, limits."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.blocks.matrix import BlockMatrix, with_partners
from n2amd.dataset.frame import Frame
from n2amd.errors import ComputationError, InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.spline_fit import TwoCentreFit, fit_two_centre, sampled_ranges
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure


@pytest.fixture(scope="module")
def clusters(gaussian_basis: Basis) -> tuple[OverlapTable, list[tuple[Structure, BlockMatrix]]]:
    table, rng = OverlapTable.from_basis(gaussian_basis), np.random.default_rng(0)
    structures = []
    for _ in range(60):
        lattice = np.stack(np.meshgrid(*[np.arange(3.0)] * 3, indexing="ij"), -1).reshape(-1, 3) * 2.4
        positions = lattice + rng.uniform(-0.5, 0.5, lattice.shape)
        structures.append(
            Structure(np.eye(3) * 99, positions, rng.choice([1, 6], len(lattice)), (False,) * 3)
        )
    return table, [(s, overlap(table, s)) for s in structures]


def largest_error(fit: TwoCentreFit, structure: Structure, matrix: BlockMatrix) -> float:
    return max(
        float(np.abs(fit.evaluate(key, index.vectors(structure)) - matrix.values[key][0]).max())
        for key, index in matrix.pairs.items()
    )


def test_recovers_two_centre_functions(
    clusters: tuple[OverlapTable, list[tuple[Structure, BlockMatrix]]], gaussian_basis: Basis
) -> None:
    table, samples = clusters
    ranges = dict.fromkeys(table.ranges, 7.0)  # Gaussians this far apart overlap by 1e-9
    fit = fit_two_centre(gaussian_basis, iter(samples[:-5]), ranges)
    assert max(largest_error(fit, *sample) for sample in samples[-5:]) < 2e-5
    assert fit.ranges == ranges
    # either order of a species pair, and every directed pair, are served alike
    structure, matrix = samples[-1]
    assert largest_error(fit, structure, with_partners(matrix)) < 2e-5
    directed = [(s, with_partners(m)) for s, m in samples[:-5]]
    again = fit_two_centre(gaussian_basis, directed, ranges)
    v = np.array([[2.0, 1.0, 0.3]])
    np.testing.assert_allclose(again.evaluate((1, 6), v), fit.evaluate((1, 6), v), atol=1e-9)


def test_fits_a_real_overlap(tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    table = OverlapTable.from_basis(tio2_basis)
    samples = [(frame.structure, frame.overlap) for frame in tio2_frames]
    fit = fit_two_centre(tio2_basis, samples, table.ranges)
    assert max(largest_error(fit, *sample) for sample in samples) < 1e-5
    np.testing.assert_allclose(fit.on_site[22], table.evaluate((22, 22), np.zeros((1, 3)))[0], atol=1e-6)
    # behind the common protocol the fit gives whole matrices too
    matrix = overlap(fit, tio2_frames[0].structure)
    assert largest_error(fit, tio2_frames[0].structure, matrix) == 0.0


def test_held_out_frames_at_distances_the_data_cover(tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    """Within 1e-5 of the DFT code's S wherever the fit answers, which is for nearly all bonds."""
    train, test = tio2_frames[:6], tio2_frames[6:8]
    samples = [(frame.structure, frame.overlap) for frame in train]
    ranges = sampled_ranges(samples)
    exact = OverlapTable.from_basis(tio2_basis).ranges
    assert all(exact[key] - 0.3 < range_ < exact[key] + 0.02 for key, range_ in ranges.items())
    fit = fit_two_centre(tio2_basis, samples, ranges)
    answered, bonds = 0, 0
    for frame in test:
        for key, index in frame.overlap.pairs.items():
            vectors = index.vectors(frame.structure)
            known = ~fit.uncovered(key, np.linalg.norm(vectors, axis=1)) | index.on_site
            answered, bonds = answered + known.sum(), bonds + len(known)
            error = fit.evaluate(key, vectors[known]) - frame.overlap.values[key][0][known]
            assert np.abs(error).max() < 1e-5
    assert answered > 0.9 * bonds


def test_takes_most_of_a_hamiltonian(tio2_frames: list[Frame], tio2_basis: Basis) -> None:
    *train, test = tio2_frames
    ranges = {
        key: 0.01
        + max(
            np.linalg.norm(f.hamiltonian.pairs[key].vectors(f.structure), axis=1).max() for f in tio2_frames
        )
        for key in test.hamiltonian.pairs
    }
    samples = ((f.structure, f.hamiltonian) for f in train)
    fit = fit_two_centre(tio2_basis, samples, ranges, n_knots=40, roughness=1e-6, reach=0.5)
    for key, index in test.hamiltonian.pairs.items():
        blocks = test.hamiltonian.values[key][0]
        rest = blocks - fit.evaluate(key, index.vectors(test.structure))
        assert np.abs(rest).mean() < 0.2 * np.abs(blocks).mean()


def test_ends_smoothly(
    clusters: tuple[OverlapTable, list[tuple[Structure, BlockMatrix]]], gaussian_basis: Basis
) -> None:
    table, samples = clusters
    short = dict.fromkeys(table.ranges, 3.0)  # a cut through the data
    fit = fit_two_centre(gaussian_basis, samples, short, n_knots=30)
    x = np.array([0.36, 0.48, 0.8])
    at = lambda r: fit.evaluate((1, 6), r * x[None])[0]  # noqa: E731
    assert not at(3.0).any()
    h = 1e-3
    third = np.abs(at(3 - 2 * h)).max() / (2 * h) ** 3
    assert np.abs(at(3 - h)).max() / h**3 == pytest.approx(third, rel=0.05)


def test_refuses_what_it_cannot_know(
    clusters: tuple[OverlapTable, list[tuple[Structure, BlockMatrix]]], gaussian_basis: Basis
) -> None:
    table, samples = clusters
    fit = fit_two_centre(gaussian_basis, samples[:3], table.ranges)
    with pytest.raises(ComputationError, match=r"1 bonds of elements \(1, 1\), the shortest of 0\.010 A"):
        fit.evaluate((1, 1), np.array([[0.01, 0, 0]]))
    near, far = (
        s
        for s in (
            Structure(np.eye(3) * 99, d * np.eye(3)[:2], np.array([1, 6]), (False,) * 3) for d in (1.4, 2.1)
        )
    )
    two = fit_two_centre(gaussian_basis, [(s, overlap(table, s)) for s in (near, far)], table.ranges)
    with pytest.raises(ComputationError, match=r"it covers 1\.97-1\.99, 2\.96-2\.98 A\); add frames"):
        two.evaluate((6, 1), np.array([[2.5, 0, 0]]))
    with pytest.raises(InputError, match="no samples"):
        fit_two_centre(gaussian_basis, [], table.ranges)
    with pytest.raises(InputError, match="no range"):
        fit_two_centre(gaussian_basis, samples[:1], {(1, 1): 3.0})
    structure, matrix = samples[0]
    spinor = matrix.map({key: blocks.astype(complex) for key, blocks in matrix.values.items()})
    with pytest.raises(InputError, match="complex"):
        fit_two_centre(gaussian_basis, [(structure, spinor)], table.ranges)
