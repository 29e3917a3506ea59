"""The reader of .scfout against a writer, and against files with one defect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openmx_writer import scfout_bytes, scfout_pieces

from n2amd.blocks.matrix import fold
from n2amd.dft.openmx.blocks import gather_blocks
from n2amd.dft.openmx.scfout import Scfout, Tail, read_scfout
from n2amd.errors import InputError
from n2amd.units import OPENMX_HARTREE_EV

ARRAYS = ("cell", "positions", "orbitals", "i", "j", "shift", "hamiltonian", "imaginary", "overlap")


@st.composite
def files(draw: st.DrawFn) -> Scfout:
    """Contents with Hermitian matrices on a symmetric list of neighbours, in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_atoms, spin, layout = (
        draw(st.integers(1, 3)),
        draw(st.sampled_from([0, 1, 3])),
        draw(st.sampled_from([0, 3])),
    )
    orbitals = rng.integers(1, 5, n_atoms)
    home = {(a, a, 0, 0, 0) for a in range(n_atoms)}
    bonds = set()
    for _ in range(draw(st.integers(0, 6))):
        a, b = rng.integers(0, n_atoms, 2)
        shift = rng.integers(-2, 3, 3)
        bonds |= {(int(a), int(b), *map(int, shift)), (int(b), int(a), *map(int, -shift))}
    bonds = sorted(bonds - home)
    rng.shuffle(bonds)
    pairs = np.array([p for a in range(n_atoms) for p in [(a, a, 0, 0, 0), *(b for b in bonds if b[0] == a)]])
    i, j, shift = pairs[:, 0], pairs[:, 1], pairs[:, 2:]
    n_real, n_imaginary = {0: (1, 0), 1: (2, 0), 3: (4, 3)}[spin]
    sizes = orbitals[i] * orbitals[j]
    matrices = rng.normal(size=(n_real + n_imaginary + 1, sizes.sum()))
    first = np.cumsum(sizes) - sizes
    place = {tuple(p): n for n, p in enumerate(pairs.tolist())}
    for n, (a, b, *r) in enumerate(pairs.tolist()):
        partner = place[(b, a, *(-x for x in r))]
        for m, matrix in enumerate(matrices):
            if spin == 3 and m in (2, 3, 6):
                continue  # up-down has its partner in down-up, which the file leaves out
            block = matrix[first[n] : first[n] + sizes[n]].reshape(orbitals[a], orbitals[b])
            other = matrix[first[partner] : first[partner] + sizes[n]].reshape(orbitals[b], orbitals[a])
            sign = -1 if spin == 3 and m in (4, 5) else 1
            mean = (block + sign * other.T) / 2
            block[:], other[:] = mean, sign * mean.T
    tail = draw(st.none() | st.just(Tail(-0.25, 8.0, "System.Name toy\n\n# ü", "")))
    momentum = rng.normal(size=(3, sizes.sum())) if tail is not None and layout == 3 else None
    return Scfout(
        layout,
        spin,
        np.eye(3) * rng.uniform(5, 9) + rng.uniform(-1, 1, (3, 3)),
        rng.uniform(-5, 5, (n_atoms, 3)),
        orbitals,
        i,
        j,
        shift,
        matrices[:n_real],
        matrices[n_real:-1],
        matrices[-1],
        momentum,
        tail,
    )


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "toy.scfout"
    path.write_bytes(data)
    return path


shared = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared
@given(contents=files(), order=st.sampled_from("<>"))
def test_reading_inverts_writing(tmp_path, contents, order):
    back = read_scfout(written(tmp_path, scfout_bytes(contents, order)))
    assert (back.layout, back.spin, back.tail) == (contents.layout, contents.spin, contents.tail)
    for name in ARRAYS:
        assert np.array_equal(getattr(back, name), getattr(contents, name)), name
    assert (back.momentum is None) == (contents.momentum is None)
    if contents.momentum is not None:
        assert np.array_equal(back.momentum, contents.momentum)


@shared
@given(contents=files(), k=st.tuples(*[st.floats(-0.5, 0.5)] * 3))
def test_blocks_fold_to_the_bloch_sums_of_the_file(contents, k):
    """Dense H(k) and S(k) element by element from the records, against the folded blocks."""
    numbers = 3 + contents.orbitals  # equal elements have equal orbitals
    hamiltonian, overlap, hermiticity = gather_blocks(Path("toy"), contents, numbers)
    assert hermiticity < 1e-12
    ends = np.cumsum(contents.orbitals)
    offsets = np.concatenate([[0], ends])
    n = int(ends[-1])
    raw = np.concatenate([contents.hamiltonian, contents.imaginary, contents.overlap[None]])
    dense = np.zeros((len(raw), n, n), complex)
    position = 0
    for a, b, shift in zip(contents.i, contents.j, contents.shift):
        for row in range(contents.orbitals[a]):
            for column in range(contents.orbitals[b]):
                place = offsets[a] + row, offsets[b] + column
                dense[:, place[0], place[1]] += np.exp(2j * np.pi * (shift @ k)) * raw[:, position]
                position += 1
    folded = [fold(hamiltonian, offsets, np.array(k), spin) for spin in range(hamiltonian.n_spin)]
    if contents.spin == 3:
        up_down = dense[2] + 1j * (dense[3] + dense[6])
        expected = [dense[0] + 1j * dense[4], up_down, up_down.conj().T, dense[1] + 1j * dense[5]]
    else:
        expected = list(dense[: len(folded)])
    assert np.array(folded) == pytest.approx(OPENMX_HARTREE_EV * np.array(expected), abs=1e-10)
    assert fold(overlap, offsets, np.array(k)) == pytest.approx(dense[-1], abs=1e-12)


@pytest.fixture
def contents() -> Scfout:
    """Two atoms that are neighbours in the home cell and across its border."""
    pairs = np.array([(0, 0, 0), (0, 1, 0), (0, 1, -1), (1, 1, 0), (1, 0, 0), (1, 0, 1)])
    shift = pairs[:, 2:] * [1, 0, 0]
    size = 6 * 4 * 4
    tail = Tail(-0.2, 8.0, "System.Name toy", "")
    return Scfout(
        3,
        0,
        8 * np.eye(3),
        np.array([[0.0, 0, 0], [4, 0, 0]]),
        np.array([4, 4]),
        pairs[:, 0],
        pairs[:, 1],
        shift,
        np.ones((1, size)),
        np.empty((0, size)),
        np.ones(size),
        np.ones((3, size)),
        tail,
    )


def test_a_file_that_ends_early_names_the_block_and_the_bytes(contents, tmp_path):
    """Cut in the middle of every piece: between two of them only the end of the overlap is an end."""
    pieces = [(name, piece) for name, piece in scfout_pieces(contents) if piece]
    start = 0
    for name, piece in pieces:
        kept = start + len(piece) // 2
        data = scfout_bytes(contents)[:kept]
        with pytest.raises(InputError) as caught:
            read_scfout(written(tmp_path, data))
        assert caught.value.file == tmp_path / "toy.scfout"
        if name != "header":
            # position and density matrices are passed over together with what they belong to
            assert caught.value.field == name
            assert f"{len(piece) // 2} bytes of {len(piece)} are there" in str(caught.value)
        start += len(piece)


def test_bytes_after_the_end_are_refused_but_an_appended_log_is_kept(contents, tmp_path):
    with pytest.raises(InputError, match="5 bytes follow the end"):
        read_scfout(written(tmp_path, scfout_bytes(contents) + b"extra"))
    log = "This calculation was performed by OpenMX Ver. 3.9\n"
    assert read_scfout(written(tmp_path, scfout_bytes(contents) + log.encode())).tail.log == log


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"# a text file, not a matrix", b"\xff" * 64])
def test_something_else_is_no_scfout(data, tmp_path):
    with pytest.raises(InputError, match=r"not a \.scfout file"):
        read_scfout(written(tmp_path, data))


def test_layouts_of_unreleased_versions_are_refused(contents, tmp_path):
    data = bytearray(scfout_bytes(contents))
    data[4:8] = np.array([4 * 2], "<i4").tobytes()
    with pytest.raises(InputError, match="layout 2 was written by unreleased versions"):
        read_scfout(written(tmp_path, bytes(data)))


@pytest.mark.parametrize(
    ("changes", "field", "match"),
    [
        ({"orbitals": np.array([4, 0])}, "orbitals per atom", "an atom with 0 or 4 orbitals"),
        ({"j": np.array([0, 1, 1, 1, 0, 5])}, "neighbours", "atom 1 or 6 of 2"),
        ({"j": np.array([1, 1, 1, 1, 0, 0])}, "neighbours", "not the first of its own neighbours"),
    ],
)
def test_impossible_neighbours_are_refused(contents, tmp_path, changes, field, match):
    pieces = dict(scfout_pieces(contents))
    changed = dict(scfout_pieces(replace(contents, **changes)))
    data = b"".join(changed[name] if name == field else piece for name, piece in pieces.items())
    with pytest.raises(InputError, match=match) as caught:
        read_scfout(written(tmp_path, data))
    assert caught.value.field == field


def test_a_damaged_lattice_is_refused(contents, tmp_path):
    pieces = dict(scfout_pieces(contents))
    pieces["lattice vectors"] = dict(scfout_pieces(replace(contents, cell=9 * np.eye(3))))["lattice vectors"]
    with pytest.raises(InputError, match="lattice vectors, their inverse and the table of cells disagree"):
        read_scfout(written(tmp_path, b"".join(pieces.values())))


@pytest.mark.parametrize("shift", [(3, 0, 0), (0, 0, 0)])
def test_a_pair_without_its_partner_is_refused(contents, shift):
    broken = contents.shift.copy()
    broken[2] = shift
    with pytest.raises(InputError, match="listed twice, or without its partner"):
        gather_blocks(Path("toy"), replace(contents, shift=broken), np.array([14, 14]))


def test_unequal_copies_of_a_pair_show_as_hermiticity(contents):
    damaged = contents.hamiltonian.copy()
    damaged[0, 16 + 3] += 0.5  # first row of the pair (0, 1), whose partner is the fifth
    hamiltonian, _, hermiticity = gather_blocks(
        Path("toy"), replace(contents, hamiltonian=damaged), np.array([14, 14])
    )
    assert hermiticity == pytest.approx(0.5 * OPENMX_HARTREE_EV)
    index = hamiltonian.pairs[14, 14]
    [number] = np.flatnonzero((index.i == 0) & (index.j == 1) & ~index.shift.any(axis=1))
    assert hamiltonian.values[14, 14][0, number, 0, 3] == pytest.approx(1.25 * OPENMX_HARTREE_EV)
