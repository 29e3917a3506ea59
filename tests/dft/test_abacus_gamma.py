"""Runs of ABACUS with `gamma_only`, whose matrices are sums over all lattice vectors, and large cells."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import two_centre_crystal as crystal
from abacus_writer import FOLDED, LATTICE_CONSTANT, LAYOUTS, assert_same, orb, write_run
from ase.data import chemical_symbols

from n2amd.dataset.gate import measure, verdict
from n2amd.dft.abacus.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference
from n2amd.orbitals.conventions import two_centre_residual
from n2amd.orbitals.two_centre import OverlapTable, overlap


def large_cell(n_spin, shifts=((1, -1, 2), (0, 0, 0), (0, 3, 0))):
    """The atoms of the crystal in a cell where no orbital reaches a second image, with its bands at Gamma."""
    at = crystal.structure()
    fractional = at.positions @ np.linalg.inv(at.cell) / 4.5
    at = replace(at, cell=4.5 * at.cell)
    at = replace(at, positions=(fractional + np.array(shifts)) @ at.cell)
    s = overlap(OverlapTable.from_basis(crystal.basis()), at)
    h = s.map({key: crystal._hamiltonian(key, blocks, n_spin) for key, blocks in s.values.items()})
    frame = replace(crystal.frame(n_spin), structure=at, hamiltonian=h, overlap=s)
    bands = crystal.energies(frame, crystal.basis(), np.zeros(3))[None]
    return replace(frame, bands=BandReference(np.zeros((1, 3)), np.ones(1), bands))


def with_orbitals(folder):
    for z in crystal.basis().numbers:
        (folder / f"{chemical_symbols[z]}.orb").write_text(orb(crystal.basis()[z]))
    return folder


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_spin", [1, 2])
def test_sums_over_images_are_taken_apart_in_a_large_cell(n_spin, layout, tmp_path):
    """A run with `gamma_only` writes the sum over all R as R = 0."""
    expected, basis = large_cell(n_spin), crystal.basis(radial=False)
    folder = write_run(tmp_path / "run", expected, basis, layout=layout, gamma_only=True)
    with pytest.raises(InputError, match=r"sums over images \(gamma_only 1\).* orbital files") as caught:
        read_frame(folder)
    assert ".orb" in caught.value.remedy
    frame, found = read_frame(with_orbitals(folder))
    assert_same(frame, expected, crystal.basis())
    assert two_centre_residual(frame.overlap, found, frame.structure) < 1e-8
    verdict(frame, measure(frame, found))


@pytest.mark.parametrize("layout", ["3.10", "3.11"])
def test_sums_over_images_of_a_small_cell_are_refused(layout, tmp_path):
    folder = write_run(tmp_path / "run", crystal.frame(), crystal.basis(), layout=layout, gamma_only=True)
    with pytest.raises(InputError, match=r"gamma_only 1\), and the cell is too small to tell") as caught:
        read_frame(with_orbitals(folder))
    assert "gamma_only 0" in caught.value.remedy


def test_what_says_that_matrices_are_sums(tmp_path):
    """The file does, or INPUT; without either, R = 0 alone is a sum unless INPUT denies it."""
    inside = large_cell(1, shifts=((1, 0, -1), (0, 0, 0), (0, 0, 0)))
    basis = crystal.basis(radial=False)
    whole = write_run(tmp_path / "whole", inside, basis, layout="3.11")
    assert_same(read_frame(whole)[0], inside, crystal.basis())
    (whole / "OUT.test" / "INPUT").unlink()
    assert_same(read_frame(with_orbitals(whole))[0], inside, crystal.basis())
    for symbol in ("Mo", "S"):
        (whole / f"{symbol}.orb").unlink()
    sums = write_run(tmp_path / "sums", inside, basis, layout="3.11", gamma_only=True)
    (sums / "OUT.test" / "INPUT").write_text("gamma_only 0\n")
    assert FOLDED in (sums / "OUT.test" / "hrs1_nao.csr").read_text()
    with pytest.raises(InputError, match=r"sums over images \(gamma_only 1\)"):
        read_frame(sums)


def test_digits_of_the_log_do_not_refuse_a_large_cell(tmp_path):
    """The log has 6 digits of the lattice constant: 1e-4 A at 60 A."""
    expected, basis = large_cell(1), crystal.basis(radial=False)
    for positions in ("Cartesian", "Direct"):
        folder = write_run(tmp_path / positions, expected, basis, positions=positions, layout="3.11")
        found = re.search(
            r"Lattice constant \(Bohr\) = (\S+)", (folder / "OUT.test" / "running_scf.log").read_text()
        )[1]
        off = abs(float(found) / LATTICE_CONSTANT - 1) * np.abs(expected.structure.positions).max()
        assert off > 1e-5
        assert_same(read_frame(folder)[0], expected, crystal.basis())
