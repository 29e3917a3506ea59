"""Collinear magnets and spinors through the gate and the store."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
import scipy.linalg

from n2amd.blocks.matrix import BlockMatrix, add_overlap, fold
from n2amd.dataset.gate import measure, verdict
from n2amd.dataset.spectrum import compared_bands
from n2amd.dataset.statistics import describe
from n2amd.dataset.store import create_dataset, read_frames
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.channels import electrons_of_channels
from n2amd.frames.frame import BandReference, Frame

KPOINTS = np.array([[0, 0, 0], [0.5, 0, 0.5], [0.2, 0.1, 0.4]])


@pytest.fixture(scope="module")
def plain(resources):
    return read_frame(resources / "TiO2_6_train" / "frame_0002")


def stacked(matrices: list[BlockMatrix]) -> BlockMatrix:
    """Matrices of one spin each as one of several spins."""
    first = matrices[0]
    return first.map({key: np.concatenate([m.values[key] for m in matrices]) for key in first.pairs})


def with_bands(frame: Frame, energies: np.ndarray) -> Frame:
    return replace(frame, bands=BandReference(KPOINTS, np.array([0.25, 0.25, 0.5]), energies))


def magnet(frame: Frame, offsets: np.ndarray, splitting: float) -> Frame:
    """Spin down raised by `splitting` eV: a multiple of S, so that its bands are known."""
    levels = np.array(
        [
            scipy.linalg.eigvalsh(fold(frame.hamiltonian, offsets, k), fold(frame.overlap, offsets, k))
            for k in KPOINTS
        ]
    )
    down = add_overlap(frame.hamiltonian, frame.overlap, splitting)
    energies = np.stack([levels, levels + splitting], axis=1)
    return with_bands(replace(frame, hamiltonian=stacked([frame.hamiltonian, down])), energies)


def spinor(frame: Frame, offsets: np.ndarray) -> Frame:
    """Spin-orbit-like: time-reversal symmetric, off-site spin flips of 1 % of H, complex."""
    values = {}
    for key, index in frame.hamiltonian.pairs.items():
        h = frame.hamiltonian.values[key][0].astype(complex)
        flip = 0.01j * np.where(index.on_site, 0.0, 1.0)[:, None, None] * h
        values[key] = np.stack([h, flip, -flip.conj(), h.conj()])
    h = frame.hamiltonian.map(values)
    levels = []
    for k in KPOINTS:
        quadrants = [fold(h, offsets, k, part) for part in range(4)]
        whole = np.block([quadrants[:2], quadrants[2:]])
        levels.append(scipy.linalg.eigvalsh(whole, np.kron(np.eye(2), fold(frame.overlap, offsets, k))))
    return with_bands(replace(frame, hamiltonian=h), np.array(levels)[:, None])


@pytest.fixture(scope="module")
def frames(plain) -> dict[str, Frame]:
    frame, basis = plain
    offsets = basis.orbital_offsets(frame.structure.numbers)
    return {"magnet": magnet(frame, offsets, 2.5), "spinor": spinor(frame, offsets)}


@pytest.mark.parametrize("kind", ["magnet", "spinor"])
def test_the_bands_of_every_kind_of_spin_are_compared(kind, frames, plain):
    frame, basis = frames[kind], plain[1]
    figures = measure(frame, basis)
    verdict(frame, figures)
    assert figures["eigenvalue_error"] < 1e-6
    # a defect in the last component alone
    values = {key: blocks.copy() for key, blocks in frame.hamiltonian.values.items()}
    for z in basis.numbers:
        values[z, z][-1, frame.hamiltonian.pairs[z, z].on_site] += 0.01 * np.eye(basis[z].n_orbitals)
    spoilt = replace(frame, hamiltonian=frame.hamiltonian.map(values))
    with pytest.raises(InputError, match="eigenvalue_error"):
        verdict(spoilt, measure(spoilt, basis))


def test_the_spins_of_a_magnet_are_filled_apart(frames, plain):
    frame = plain[0]
    occupied = frame.n_occupied
    assert compared_bands(frame) == [occupied + 5]
    assert compared_bands(frames["spinor"]) == [2 * occupied + 5]
    up, down = compared_bands(frames["magnet"])
    # a splitting wider than the gap moves electrons from down to up; fewer may be left at every k point
    levels, weights = frames["magnet"].bands.energies, np.array([0.25, 0.25, 0.5])[:, None, None]
    assert up > occupied + 5 >= down
    assert (weights * (levels < levels[:, 0, up - 7].max())).sum() < frame.n_electrons


def test_eigenvalues_of_another_number_of_spins_are_refused(frames, plain):
    frame = replace(frames["spinor"], bands=frames["magnet"].bands)
    with pytest.raises(InputError, match="eigenvalues of 2 spins, a Hamiltonian of 1"):
        measure(frame, plain[1])


def test_complex_blocks_come_back_unchanged(frames, plain, tmp_path):
    path = tmp_path / "d.h5"
    second = replace(
        frames["spinor"],
        name="real numbers",
        hamiltonian=frames["spinor"].hamiltonian.map(
            {key: blocks.real for key, blocks in frames["spinor"].hamiltonian.values.items()}
        ),
    )
    # whichever comes first, nothing is lost
    with create_dataset(path, code="openmx") as writer:
        for frame in (second, frames["spinor"], second):
            writer.append(frame, plain[1], {})
    for found, written in zip(read_frames(path), (second, frames["spinor"], second), strict=True):
        assert found.hamiltonian.n_spin == 4
        for key, blocks in written.hamiltonian.values.items():
            assert found.hamiltonian.values[key].dtype == np.complex128
            assert np.array_equal(found.hamiltonian.values[key], blocks)
        assert np.array_equal(found.bands.energies, written.bands.energies)
        assert found.n_occupied == 2 * plain[0].n_occupied


def test_a_spinor_and_a_plain_frame_do_not_mix(frames, plain, tmp_path):
    with create_dataset(tmp_path / "d.h5", code="openmx") as writer:
        writer.append(frames["spinor"], plain[1], {})
        with pytest.raises(InputError, match="1 spin components, the frames before have 4"):
            writer.append(plain[0], plain[1], {})


def test_each_channel_of_a_magnet_counts_its_own_electrons(frames, plain, tmp_path):
    occupied, electrons = plain[0].n_occupied, plain[0].n_electrons
    bands = frames["magnet"].bands.energies
    # a rigid shift smaller than the gap keeps both channels full; with bands shared out, no spin is told
    frame, offsets = plain[0], plain[1].orbital_offsets(plain[0].structure.numbers)
    small = magnet(frame, offsets, 0.3)
    assert electrons_of_channels(small) == pytest.approx((occupied, occupied))
    # one channel is all below the other: filled first
    split = replace(small, bands=replace(small.bands, energies=np.stack([bands[:, 0], bands[:, 0] + 1e3], 1)))
    assert electrons_of_channels(split) == pytest.approx((electrons, 0))
    # what the run says comes before what its bands do, and survives the file
    held = replace(small, spin=2.0)
    assert electrons_of_channels(held) == pytest.approx((occupied + 1, occupied - 1))
    path = tmp_path / "d.h5"
    with create_dataset(path, code="siesta") as writer:
        writer.append(held, plain[1], {})
        writer.append(small, plain[1], {})
    assert [found.spin for found in read_frames(path)] == [2.0, 0.0]
    entries = describe(path)
    assert entries["spin"] == (
        f"collinear, {occupied} up, {occupied} down; collinear, {occupied + 1} up, {occupied - 1} down"
    )
    assert entries["gap up on the k mesh"].endswith("(negative: bands overlap)")


def test_a_data_set_of_before_takes_the_channels_from_the_bands(frames, plain, tmp_path):
    path = tmp_path / "d.h5"
    frame = magnet(plain[0], plain[1].orbital_offsets(plain[0].structure.numbers), 0.3)
    with create_dataset(path, code="siesta") as writer:
        writer.append(frame, plain[1], {})
    with h5py.File(path, "r+") as file:
        del file["frames/spin"]
    (found,) = read_frames(path)
    assert found.spin is None
    assert electrons_of_channels(found) == pytest.approx((frame.n_electrons / 2,) * 2)


def test_channels_that_are_not_there_or_not_known_are_refused(frames, plain):
    with pytest.raises(InputError, match="its Hamiltonian has no spin channels"):
        electrons_of_channels(plain[0])
    with pytest.raises(InputError, match="its Hamiltonian is of spinors"):
        electrons_of_channels(frames["spinor"])
    with pytest.raises(InputError, match="how many electrons are up and how many down is not known"):
        electrons_of_channels(replace(frames["magnet"], bands=None))
    with pytest.raises(ValueError, match="numbers of occupied bands of their own"):
        _ = frames["magnet"].n_occupied
