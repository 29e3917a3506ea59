"""Spin in SIESTA's files: none, collinear, non-collinear and spin-orbit, in every format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from model_run import KPOINTS, Model, random_model, write_eig, write_run

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure

FORMATS = ["HSX 0", "HSX 1", "HSX 2", "TSHS"]


def eigenvalues(frame: Frame, basis: Basis, k: np.ndarray) -> np.ndarray:
    """Bands of the frame's own blocks, (n_spin, n_bands)."""
    offsets = basis.orbital_offsets(frame.structure.numbers)
    s = fold(frame.overlap, offsets, k)
    h = [fold(frame.hamiltonian, offsets, k, spin) for spin in range(frame.hamiltonian.n_spin)]
    if len(h) < 4:
        return np.array([scipy.linalg.eigvalsh(part, s) for part in h])
    return scipy.linalg.eigvalsh(np.block([[h[0], h[1]], [h[2], h[3]]]), np.kron(np.eye(2), s))[None]


def non_collinear(model: Model) -> Model:
    """The part of a spinor model that has no spin-orbit coupling: real and symmetric up to a field."""
    values = {
        key: np.stack([h[0].real, h[1], h[1].conj(), h[3].real])
        for key, h in model.hamiltonian.values.items()
    }
    for key, index in model.hamiltonian.pairs.items():
        if index.on_site.any():
            on_site = values[key][:, index.on_site]
            values[key][:, index.on_site] = (on_site + on_site.swapaxes(-1, -2)) / 2
    return replace(model, hamiltonian=model.hamiltonian.map(values))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("n_components", "n_spin"), [(1, 1), (2, 2), (4, 4), (8, 4)])
def test_every_kind_of_spin_in_every_format(n_components, n_spin, format, tmp_path):
    """The frame's blocks are the model's, and give the eigenvalues of SIESTA's own diagonaliser."""
    model = random_model(n_spin)
    model = non_collinear(model) if n_components == 4 else model
    write_run(tmp_path / "run", model, n_components, format)
    frame, basis = read_frame(tmp_path / "run", "siesta")
    accuracy = 2e-5 if format == "HSX 0" else 1e-9
    assert frame.hermiticity_error < accuracy
    assert frame.hamiltonian.n_spin == n_spin
    assert np.iscomplexobj(frame.hamiltonian.values[31, 33]) == (n_spin == 4)
    assert not np.iscomplexobj(frame.overlap.values[31, 33])
    for key, index in model.hamiltonian.pairs.items():
        assert frame.hamiltonian.pairs[key].same_as(index)
        assert frame.hamiltonian.values[key] == pytest.approx(model.hamiltonian.values[key], abs=accuracy)
        assert frame.overlap.values[key] == pytest.approx(model.overlap.values[key], abs=accuracy)
    assert frame.bands.energies.shape == (2, 2 if n_spin == 2 else 1, 13 * (1 + (n_spin == 4)))
    for k, expected in zip(KPOINTS, frame.bands.energies):
        assert eigenvalues(frame, basis, k) == pytest.approx(expected, abs=20 * accuracy)
    assert frame.bands.kpoints == pytest.approx(KPOINTS, abs=1e-9)


@pytest.mark.parametrize("header", [(26, 1), (26, 4), (13, 2)])
def test_spinor_bands_under_each_header_of_siesta(header, tmp_path):
    """SIESTA 4.1 says 2 n bands of 1 spin, 5 says 4 spins, 4.0 n bands of 2; the numbers are the same."""
    write_run(tmp_path, random_model(4), 8, "HSX 1")
    expected = read_frame(tmp_path, "siesta")[0].bands.energies
    path = tmp_path / "model.EIG"
    lines = path.read_text().splitlines()
    lines[1] = f" {header[0]} {header[1]} 2"
    path.write_text("\n".join(lines))
    assert read_frame(tmp_path, "siesta")[0].bands.energies == pytest.approx(expected, abs=0)


def test_spin_orbit_coupling_has_the_right_sign(tmp_path):
    """L.S on the p shell of one atom: the four states of j = 3/2 lie above the two of j = 1/2.

    Read with the orbitals transposed, the coupling changes sign and the order is the opposite.
    """
    strength = 0.2
    # angular momentum in real harmonics (y, z, x): (L_a)_bc = -i epsilon_abc
    epsilon = np.zeros((3, 3, 3))
    for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        epsilon[a, b, c], epsilon[a, c, b] = 1, -1
    order = [1, 2, 0]
    l_x, l_y, l_z = (-1j * epsilon[a][np.ix_(order, order)] for a in range(3))
    up_down = (l_x - 1j * l_y) / 2
    coupling = np.stack([l_z / 2, up_down, up_down.conj().swapaxes(0, 1), -l_z / 2])
    lonely = Structure(np.eye(3) * 12.0, np.array([[1.0, 2.0, 3.0]]), np.array([31]))
    model = random_model(4, lonely, cells=(1, 1, 1))
    on_site = np.zeros((4, 1, 4, 4), complex)
    on_site[:, 0, 1:, 1:] = strength * coupling
    on_site[0, 0, 0, 0] = on_site[3, 0, 0, 0] = -5
    model = replace(model, hamiltonian=BlockMatrix(model.hamiltonian.pairs, {(31, 31): on_site}))
    write_run(tmp_path, model, 8, "TSHS")
    frame, basis = read_frame(tmp_path, "siesta")
    expected = [-5, -5, -strength, -strength, *[strength / 2] * 4]
    assert eigenvalues(frame, basis, np.zeros(3))[0] == pytest.approx(expected, abs=1e-3)
    assert frame.bands.energies[0, 0] == pytest.approx(expected, abs=1e-3)


def test_bands_of_another_kind_of_spin_are_refused(tmp_path):
    write_run(tmp_path, random_model(1), 1, "TSHS")
    write_eig(tmp_path / "model.EIG", -3.217, np.zeros((2, 2, 13)), 2)
    with pytest.raises(InputError, match="2 spin components in EIG, 1 in the file of the matrices"):
        read_frame(tmp_path, "siesta")


@pytest.mark.parametrize("keys", ["FixSpin T\nTotalSpin 2.0", "Spin.Fix\nSpin.Total 2.0", None])
def test_a_held_spin_is_read_and_its_zero_fermi_level_is_not(keys, tmp_path):
    """A run with FixSpin has two Fermi levels and writes 0 into EIG."""
    write_run(tmp_path, random_model(2), 2, "HSX 1")
    path = tmp_path / "model.EIG"
    path.write_text("\n".join(["0.000000000E+00", *path.read_text().splitlines()[1:]]))
    assert read_frame(tmp_path, "siesta")[0].spin is None
    if keys is not None:
        (tmp_path / "in.fdf").write_text(f"SystemLabel model\nSpin polarized\n{keys}\n")
    else:
        (tmp_path / "out").write_text(
            "Siesta Version  : v4.1.5\nreinit: System Label: model\n"
            "redata: Fix the spin of the system                  =   T\n"
            "redata: Total spin of the system (spin value)       =     2.0000\n"
            "SCF cycle converged after 20 iterations\n>> End of run: now\n"
        )
    frame, _ = read_frame(tmp_path, "siesta")
    assert (frame.spin, frame.fermi_level) == (2.0, None)
