from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell

floats = st.floats(allow_nan=False, allow_infinity=False)
radial_functions = st.builds(
    RadialFunction,
    step=st.floats(1e-4, 0.1),
    values=st.lists(floats, min_size=1, max_size=20).map(np.array),
    cutoff=st.floats(0.1, 20),
)
shells = st.builds(Shell, l=st.integers(0, 4), label=st.text(max_size=8), radial=st.none() | radial_functions)
entries = st.tuples(st.lists(shells, min_size=1, max_size=4).map(tuple), floats)
bases = st.dictionaries(st.integers(1, 118), entries, max_size=4).map(
    lambda atoms: Basis({z: AtomBasis(z, shells, charge) for z, (shells, charge) in atoms.items()})
)


@given(bases)
def test_json_keeps_every_bit(basis: Basis) -> None:
    back = Basis.from_json(basis.to_json())
    assert back == basis
    assert back.to_json() == basis.to_json()
    for z in basis.numbers:
        for ours, theirs in zip(basis[z].shells, back[z].shells):
            if ours.radial is not None:
                assert theirs.radial is not None
                assert theirs.radial.values.tobytes() == ours.radial.values.tobytes()
                assert hash(theirs.radial) == hash(ours.radial)


@given(bases.filter(lambda b: b.atoms), st.lists(st.integers(0, 99), max_size=8))
def test_offsets_count_orbitals(basis: Basis, picks: list[int]) -> None:
    numbers = np.array([basis.numbers[k % len(basis.numbers)] for k in picks], dtype=np.int64)
    offsets = basis.orbital_offsets(numbers)
    assert offsets.dtype == np.int64
    assert offsets[0] == 0
    assert np.array_equal(np.diff(offsets), basis.orbital_counts(numbers))
    for z in basis.numbers:
        atom, covered = basis[z], []
        for shell, orbitals in atom.shell_slices():
            assert orbitals.stop - orbitals.start == 2 * shell.l + 1
            covered += range(orbitals.start, orbitals.stop)
        assert covered == list(range(atom.n_orbitals))
        assert [s.start for _, s in atom.shell_slices()] == list(atom.offsets)


def titania() -> Basis:
    radial = RadialFunction(0.1, np.ones(5), 2.5)
    short = RadialFunction(0.1, np.ones(5), 1.5)
    titanium = AtomBasis(22, (Shell(0, "4s", radial), Shell(2, "3d", short), Shell(1, "4p", short)), 4.25)
    return Basis({22: titanium, 8: AtomBasis(8, (Shell(0, "2s", radial), Shell(1, "2p")), 6.0)})


def test_a_material() -> None:
    basis = titania()
    numbers = np.array([22, 8, 8])
    assert basis.numbers == (8, 22)
    assert basis.orbital_offsets(numbers).tolist() == [0, 9, 13, 17]
    assert basis[22].offsets == (0, 1, 6)
    assert basis.valence_electrons(numbers) == 16.25
    assert basis[22].cutoff == 2.5
    assert basis[8].cutoff is None
    assert 8 in basis
    assert np.int64(22) in basis
    assert 11 not in basis


def test_another_radial_function_is_another_basis() -> None:
    ours = RadialFunction(0.1, np.array([1.0, 0.5]), 1.0)
    assert ours == RadialFunction(0.1, [1.0, 0.5], 1.0)  # type: ignore[arg-type]
    for step, values, cutoff in [(0.2, [1, 0.5], 1), (0.1, [1, 0.6], 1), (0.1, [1, 0.5], 2), (0.1, [1], 1)]:
        assert ours != RadialFunction(step, np.array(values, float), cutoff)
    assert ours != "1s"


def test_a_missing_element_is_named() -> None:
    with pytest.raises(InputError, match=r"no element with atomic number 11 \(it has 8, 22\)"):
        titania().orbital_offsets(np.array([22, 11]))
