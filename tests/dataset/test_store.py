from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest

from n2amd.blocks.matrix import BlockMatrix, PairIndex, fold
from n2amd.dataset.store import create_dataset, n_frames, read_attributes, read_basis, read_frames, read_gate
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.structure import Structure

SIZES = {1: 1, 6: 4}
BASIS = Basis(
    {
        1: AtomBasis(1, (Shell(0, "1s", RadialFunction(0.1, np.linspace(1, 0, 9), 0.8)),), 1.0),
        6: AtomBasis(6, (Shell(0, "2s"), Shell(1, "2p")), 4.0),
    }
)


def make_frame(numbers: list[int], n_bands: int, seed: int, n_spin: int = 1) -> Frame:
    rng = np.random.default_rng(seed)
    structure = Structure(
        np.diag(rng.uniform(4, 6, 3)), rng.normal(size=(len(numbers), 3)), np.array(numbers)
    )
    pairs, hamiltonian, overlap = {}, {}, {}
    for key in sorted({(a, b) for a in numbers for b in numbers if a <= b}):
        i, j = np.array(
            [(i, j) for i, a in enumerate(numbers) for j, b in enumerate(numbers) if (a, b) == key]
        ).T
        pairs[key] = PairIndex(i, j, rng.integers(-2, 3, (len(i), 3)))
        shape = len(i), SIZES[key[0]], SIZES[key[1]]
        hamiltonian[key], overlap[key] = rng.normal(size=(n_spin, *shape)), rng.normal(size=(1, *shape))
    return Frame(
        name=f"frame {seed}",
        structure=structure,
        hamiltonian=BlockMatrix(pairs, hamiltonian),
        overlap=BlockMatrix(pairs, overlap),
        n_electrons=float(len(numbers)),
        energy=None if seed % 2 else -float(seed),
        forces=None if seed % 2 else rng.normal(size=(len(numbers), 3)),
        bands=BandReference(
            rng.normal(size=(3, 3)), np.full(3, 1 / 3), rng.normal(size=(3, n_spin, n_bands))
        ),
        origin={"functional": "PBE"},
        hermiticity_error=1e-9 * seed,
    )


FRAMES = [make_frame([1, 1], 2, 1), make_frame([6], 4, 2), make_frame([1, 6, 1], 3, 3), make_frame([6], 1, 4)]


@pytest.fixture
def path(tmp_path):
    with create_dataset(tmp_path / "d.h5", code="honpas") as writer:
        for frame in FRAMES:
            figures = {"hermiticity_error": frame.hermiticity_error}
            writer.append(
                frame, BASIS, {**figures, "extra": 1.0} if frame.bands.energies.shape[2] == 4 else figures
            )
    return tmp_path / "d.h5"


def assert_equal(found: Frame, expected: Frame) -> None:
    assert (found.name, found.energy, found.n_electrons) == (
        expected.name,
        expected.energy,
        expected.n_electrons,
    )
    assert dict(found.origin) == dict(expected.origin)
    assert found.hermiticity_error == expected.hermiticity_error
    for name in ("cell", "positions", "numbers"):
        assert np.array_equal(getattr(found.structure, name), getattr(expected.structure, name))
    assert (found.forces is None) == (expected.forces is None)
    if expected.forces is not None:
        assert np.array_equal(found.forces, expected.forces)
    for name in ("kpoints", "weights", "energies"):
        assert np.array_equal(getattr(found.bands, name), getattr(expected.bands, name))
    for name in ("hamiltonian", "overlap"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.pairs.keys() == theirs.pairs.keys()
        for key in theirs.pairs:
            assert np.array_equal(ours.values[key], theirs.values[key])
            for field in ("i", "j", "shift"):
                assert np.array_equal(getattr(ours.pairs[key], field), getattr(theirs.pairs[key], field))


def test_frames_of_any_composition_come_back_unchanged(path):
    assert n_frames(path) == len(FRAMES)
    assert read_basis(path) == BASIS
    for found, expected in zip(read_frames(path), FRAMES, strict=True):
        assert_equal(found, expected)
    offsets = BASIS.orbital_offsets(FRAMES[2].structure.numbers)
    found = next(read_frames(path, [2]))
    k = np.array([0.1, 0.2, 0.3])
    assert np.array_equal(fold(found.hamiltonian, offsets, k), fold(FRAMES[2].hamiltonian, offsets, k))


def test_frames_are_read_in_the_order_asked_for(path):
    assert [frame.name for frame in read_frames(path, np.array([3, 0]))] == ["frame 4", "frame 1"]
    with pytest.raises(InputError, match="there is no frame 4"):
        list(read_frames(path, [4]))


def test_figures_and_attributes(path):
    gate = read_gate(path)
    assert gate["hermiticity_error"] == pytest.approx([1e-9, 2e-9, 3e-9, 4e-9])
    assert np.array_equal(gate["extra"], [np.nan, 1, np.nan, np.nan], equal_nan=True)
    attributes = read_attributes(path)
    assert (attributes["code"], attributes["functional"], attributes["consecutive"]) == ("honpas", "pbe", 0)
    with h5py.File(path) as file:
        assert np.isnan(file["frames/energy"][[0, 2]]).all()
        assert file["blocks/1-6/offset"][...].tolist() == [0, 0, 0, 2, 2]


def test_two_spins(tmp_path):
    frame = make_frame([6], 4, 2, n_spin=2)
    with create_dataset(tmp_path / "d.h5", code="siesta") as writer:
        writer.append(frame, BASIS, {"hermiticity_error": 2e-9})
        with pytest.raises(InputError, match="1 spin components, the frames before have 2"):
            writer.append(FRAMES[1], BASIS, {})
    assert_equal(next(read_frames(tmp_path / "d.h5")), frame)


def test_another_basis_is_refused(tmp_path):
    wider = RadialFunction(0.1, np.linspace(1, 0, 9), 0.9)
    bases = {
        "shells 2s, 2p instead of 1s": AtomBasis(1, (Shell(0, "2s"), Shell(1, "2p"))),
        "1s ends at 0.9000 A instead of 0.8000 A": AtomBasis(1, (Shell(0, "1s", wider),)),
        "1s has another radial function": AtomBasis(
            1, (Shell(0, "1s", replace(wider, cutoff=0.8, values=wider.values * 2)),)
        ),
        "known in only one": AtomBasis(1, (Shell(0, "1s"),)),
    }
    with create_dataset(tmp_path / "d.h5", code="honpas") as writer:
        writer.append(FRAMES[0], BASIS, {})
        for message, atom in bases.items():
            with pytest.raises(InputError, match=message):
                writer.append(FRAMES[0], Basis({1: atom}), {})


def test_an_interrupted_data_set_leaves_no_file(tmp_path):
    def interrupted() -> None:
        with create_dataset(tmp_path / "d.h5", code="honpas") as writer:
            writer.append(FRAMES[0], BASIS, {})
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_data_set_is_refused(tmp_path):
    with pytest.raises(InputError, match="no frame passed"), create_dataset(tmp_path / "d.h5", code="honpas"):
        pass
    assert list(tmp_path.iterdir()) == []
