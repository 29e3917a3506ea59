"""Radial functions recovered from overlaps alone: exact data, real data, what data cannot tell."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import ComputationError, InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.overlap_fit import LimitedTable, OverlapFit, OverlapLimits, fit_overlap, held_out_frames
from n2amd.orbitals.overlap_samples import collect, estimated_cutoffs
from n2amd.orbitals.radial_recovery import Recovery, recover
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure

Samples = list[tuple[Structure, BlockMatrix]]


def compact_shell(l: int, exponent: float, cutoff: float = 2.0) -> Shell:
    """A normalised orbital that ends with a slope, as numerical orbitals do."""
    r = np.arange(0.0, cutoff + 0.005, 0.01)
    values = np.exp(-exponent * r**2) - np.exp(-exponent * cutoff**2)
    values /= np.sqrt(np.trapezoid(values**2 * r ** (2 * l + 2), r))
    return Shell(l, f"{l} {exponent}", RadialFunction(0.01, values, cutoff))


@pytest.fixture(scope="module")
def compact() -> Basis:
    """Two elements whose orbitals end at 2 A."""
    first = AtomBasis(1, (compact_shell(0, 1.2), compact_shell(1, 1.6)))
    second = AtomBasis(6, (compact_shell(0, 1.5), compact_shell(0, 3.0), compact_shell(1, 1.1)))
    return Basis({1: first, 6: second})


def without_functions(basis: Basis) -> Basis:
    document = basis.to_json()
    bare = Basis.from_json(document)
    return Basis(
        {
            z: AtomBasis(z, tuple(Shell(s.l, s.label) for s in atom.shells), atom.valence_charge)
            for z, atom in bare.atoms.items()
        }
    )


@pytest.fixture(scope="module")
def clusters(compact: Basis) -> Samples:
    """Random clusters with no two atoms nearer than 1.2 A."""
    table, rng = OverlapTable.from_basis(compact), np.random.default_rng(0)
    samples = []
    for _ in range(5):
        lattice = np.stack(np.meshgrid(*[np.arange(2.0)] * 3, indexing="ij"), -1).reshape(-1, 3) * 1.9
        positions = lattice + rng.uniform(-0.35, 0.35, lattice.shape)
        numbers = rng.choice([1, 6], len(lattice))
        structure = Structure(np.eye(3) * 99, positions, numbers, (False,) * 3)
        samples.append((structure, overlap(table, structure)))
    return samples


@pytest.fixture(scope="module")
def fitted(compact: Basis, clusters: Samples) -> OverlapFit:
    return fit_overlap(without_functions(compact), clusters[:-1], clusters[-1:])


def vectors(length: float, n: int = 12) -> np.ndarray:
    found = np.random.default_rng(1).normal(size=(n, 3))
    return length * found / np.linalg.norm(found, axis=1)[:, None]


@pytest.fixture(scope="module")
def recovery(compact: Basis, clusters: Samples) -> Recovery:
    return recover(without_functions(compact), collect(compact, clusters))


def test_overlaps_of_frames_that_were_not_seen(fitted: OverlapFit) -> None:
    limits = fitted.limits
    assert limits.held_out_frames == 1
    assert limits.mean_error < limits.largest_error < 1e-6
    assert limits.on_site_error < 1e-5


@pytest.mark.parametrize("length", [0.01, 0.05, 0.1, 0.5, 0.9])
def test_overlaps_at_distances_that_no_bond_has(compact: Basis, recovery: Recovery, length: float) -> None:
    """Those of an atom with its own displaced image above all; they are within the doubt that is stated."""
    exact, found = OverlapTable.from_basis(compact), OverlapTable.from_basis(recovery.basis)
    on_site = max(
        np.abs(found.evaluate((z, z), np.zeros((1, 3))) - exact.evaluate((z, z), np.zeros((1, 3)))).max()
        for z in (1, 6)
    )
    for key in [(1, 1), (1, 6), (6, 6)]:
        error = np.abs(found.evaluate(key, vectors(length)) - exact.evaluate(key, vectors(length))).max()
        doubt = recovery.doubt(key, np.array([length]))[0] + on_site
        assert error < doubt < 1e-4, (key, length)


def test_limits_say_that_everything_is_known(fitted: OverlapFit) -> None:
    assert fitted.limits.between_times
    fitted.limits.require_between_times()
    assert all(pair.known_from == 0.0 for pair in fitted.limits.pairs.values())


def test_functions_themselves(compact: Basis, fitted: OverlapFit) -> None:
    """All of them, up to one common sign that no overlap shows."""
    signs = set()
    for z in compact.numbers:
        for true, found in zip(compact[z].shells, fitted.basis[z].shells):
            r = np.linspace(0.1, 1.9, 40)
            a, b = (
                np.interp(r, shell.radial.step * np.arange(len(shell.radial.values)), shell.radial.values)
                for shell in (true, found)
            )
            sign = np.sign(a @ b)
            signs.add(float(sign))
            # as parts of the norm: at the nucleus overlaps see little of them, and rounding decides there
            difference, norm = (np.trapezoid((r * f) ** 2, r) for f in (sign * b - a, a))
            assert difference < 2.5e-3 * norm
            assert 1.9 < found.radial.cutoff < 2.4
    assert len(signs) == 1


def test_cutoffs_follow_from_the_overlaps(compact: Basis, clusters: Samples) -> None:
    """A little short, since overlaps are negligible before the orbitals end."""
    radii = estimated_cutoffs(compact, collect(compact, clusters))
    assert all(1.6 < radius < 2.02 for radius in radii.values())


def test_survives_a_file(fitted: OverlapFit) -> None:
    again = OverlapFit.from_document(fitted.to_document())
    assert again.limits == fitted.limits
    assert again.basis == fitted.basis
    with pytest.raises(InputError, match="not the result of an overlap fit"):
        OverlapFit.from_document({"basis": {}})


def test_matrices_between_two_geometries(compact: Basis, clusters: Samples, fitted: OverlapFit) -> None:
    now = clusters[0][0]
    later = now.with_positions(
        now.positions + np.random.default_rng(3).normal(scale=0.01, size=now.positions.shape)
    )
    table = LimitedTable(OverlapTable.from_basis(fitted.basis), fitted.limits)
    exact, found = (overlap(t, now, later) for t in (OverlapTable.from_basis(compact), table))
    for key, index in exact.pairs.items():
        rows = {tuple(row) for row in np.column_stack([index.i, index.j, index.shift]).tolist()}
        mine = found.pairs[key]
        listed = [tuple(row) for row in np.column_stack([mine.i, mine.j, mine.shift]).tolist()]
        assert rows <= set(listed) or np.abs(exact.values[key]).min() < 1e-6
        order = {row: n for n, row in enumerate(listed)}
        for n, row in enumerate(np.column_stack([index.i, index.j, index.shift]).tolist()):
            block = found.values[key][0, order[tuple(row)]] if tuple(row) in order else 0.0
            assert np.abs(block - exact.values[key][0, n]).max() < 2e-5


@pytest.fixture(scope="module")
def long_bonds(compact: Basis) -> OverlapFit:
    """Bonds of 2.9 A and more only, of orbitals that end at 2 A: their inner parts are anybody's guess."""
    table = OverlapTable.from_basis(compact)
    samples = []
    for direction in np.linspace(2.9, 3.9, 21)[:, None] * vectors(1.0, 21):
        dimer = Structure(np.eye(3) * 99, np.stack([np.zeros(3), direction]), np.array([6, 6]), (False,) * 3)
        samples.append((dimer, overlap(table, dimer)))
    carbon = without_functions(Basis({6: compact[6]}))
    return fit_overlap(carbon, samples[::2], samples[1::2])


def test_couplings_between_times_are_refused_with_the_remedy(long_bonds: OverlapFit) -> None:
    assert long_bonds.limits.largest_error < 1e-5
    assert not long_bonds.limits.between_times
    with pytest.raises(InputError, match="element 6 with its own image displaced") as caught:
        long_bonds.limits.require_between_times()
    assert caught.value.field == "couplings.overlap"
    assert "electron-translation-free" in str(caught.value.remedy)


def test_short_bonds_are_refused_longer_ones_and_the_atom_itself_are_not(long_bonds: OverlapFit) -> None:
    table = LimitedTable(OverlapTable.from_basis(long_bonds.basis), long_bonds.limits)
    assert 0.5 < long_bonds.limits.pairs[6, 6].known_from < 2.9
    with pytest.raises(ComputationError, match=r"1 bonds of elements \(6, 6\), the shortest of 0\.500 A"):
        table.evaluate((6, 6), np.array([[0.5, 0, 0], [3.1, 0, 0]]))
    on_site = table.evaluate((6, 6), np.zeros((1, 3)))[0]
    np.testing.assert_allclose(np.diag(on_site), 1.0, atol=2e-5)


def test_overlaps_that_no_functions_have(compact: Basis, clusters: Samples) -> None:
    """One element in a thousand is off: the fit misses held-out frames, and says by how much."""
    rng = np.random.default_rng(0)
    noisy = [
        (s, m.map({key: blocks + 1e-3 * rng.normal(size=blocks.shape) for key, blocks in m.values.items()}))
        for s, m in clusters
    ]
    with pytest.raises(ComputationError, match=r"1 held-out frames are missed by up to .*e-0[23]"):
        fit_overlap(without_functions(compact), noisy[:-1], noisy[-1:])


def test_atoms_that_never_overlap(compact: Basis) -> None:
    atom = Structure(np.eye(3) * 99, np.zeros((1, 3)), np.array([6]), (False,) * 3)
    samples = [(atom, overlap(OverlapTable.from_basis(compact), atom))]
    with pytest.raises(InputError, match="no two atoms overlap"):
        collect(compact, samples)


def test_every_fifth_frame_is_held_out() -> None:
    assert held_out_frames(1) == []
    assert held_out_frames(3) == [2]
    assert held_out_frames(12) == [4, 9]


@pytest.mark.slow
def test_titanium_dioxide_as_if_it_came_without_radial_functions(
    tio2_frames: list[Frame], tio2_basis: Basis
) -> None:
    """Four times better than the files' single precision allows a spline through the same data."""
    samples = [(frame.structure, frame.overlap) for frame in tio2_frames]
    fit = fit_overlap(without_functions(tio2_basis), samples[:4], samples[4:])
    assert fit.limits.largest_error < 1e-6
    assert fit.limits.between_times
    exact, found = OverlapTable.from_basis(tio2_basis), OverlapTable.from_basis(fit.basis)
    for z in (8, 22):
        for length in (0.01, 0.03, 0.1):
            error = np.abs(
                found.evaluate((z, z), vectors(length)) - exact.evaluate((z, z), vectors(length))
            ).max()
            assert error < fit.limits.moved_doubt[z] < 1e-4
    assert OverlapLimits.from_document(fit.limits.to_document()) == fit.limits
