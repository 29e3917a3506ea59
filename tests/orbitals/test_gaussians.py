"""Contracted Gaussians: normalisation, overlaps against PySCF's and CP2K's, basis files whole and broken."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

from n2amd.blocks.matrix import fold
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.gaussian_sets import pyscf_basis, read_cp2k_basis
from n2amd.orbitals.gaussians import ContractedShell, gaussian_atom
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM

DATA = Path(__file__).parents[1] / "data" / "cp2k"

#: Two sets as CP2K writes them; the exponents and coefficients are made up.
BASIS_FILE = """
# a comment
 H  SZV-TEST SZV-TEST-q1
 1
 1 0 0 2 1
   1.2  0.4
   0.3 -0.7   # one more
 C  TZVP-TEST TZVP-TEST-q4
 2
 2 0 1 3 2 1
   4.0  0.1  0.0  0.2
   1.1  0.5  0.0  0.4
   0.4  0.3  1.0  0.6
 4 2 3 1 1 1
   0.6  1.0  1.0
"""


@pytest.fixture
def basis_file(tmp_path: Path) -> Path:
    path = tmp_path / "BASIS"
    path.write_text(BASIS_FILE)
    return path


def test_reads_cp2k_format(basis_file: Path) -> None:
    carbon = read_cp2k_basis(basis_file, "C", "tzvp-test-Q4")
    assert (carbon.name, carbon.valence_charge) == ("TZVP-TEST", 4)
    assert [shell.l for shell in carbon.shells] == [0, 0, 1, 2, 3]
    assert [len(shell.exponents) for shell in carbon.shells] == [3, 1, 3, 1, 1]
    np.testing.assert_allclose(carbon.shells[2].exponents * BOHR_ANGSTROM**2, [4.0, 1.1, 0.4])
    np.testing.assert_allclose(carbon.shells[2].coefficients, [0.2, 0.4, 0.6])
    atom = gaussian_atom(6, carbon.shells, 4.0)
    assert [shell.label for shell in atom.shells] == ["1s", "2s", "1p", "1d", "1f"]
    assert atom.n_orbitals == 17


@pytest.mark.parametrize("l", range(4))
def test_contraction_is_normalised_and_ends_where_it_fades(l: int) -> None:
    shell = ContractedShell(l, np.array([8.0, 2.0, 0.7]), np.array([0.4, -1.1, 0.8]))

    def density(r: float) -> float:
        return float((shell.reduced_radial(r) * r**l) ** 2 * r * r)

    assert quad(density, 0, 12, epsabs=1e-13)[0] == pytest.approx(1, abs=1e-10)
    end = shell.radius(1e-4)
    assert np.sqrt(quad(density, end, 12, epsabs=1e-16)[0]) == pytest.approx(1e-4, rel=0.5)
    scaled = ContractedShell(l, shell.exponents, 7 * shell.coefficients)
    np.testing.assert_allclose(scaled.prefactors(), shell.prefactors())


def test_on_site_overlap_is_one_on_the_diagonal(basis_file: Path) -> None:
    basis = Basis({6: gaussian_atom(6, read_cp2k_basis(basis_file, "C", "TZVP-TEST").shells)})
    block = OverlapTable.from_basis(basis).evaluate((6, 6), np.zeros((1, 3)))[0]
    np.testing.assert_allclose(np.diagonal(block), 1.0, atol=1e-9)
    assert abs(block[0, 1]) > 0.1  # shells of one l are not orthogonal


def test_truncation_follows_the_tolerance(basis_file: Path) -> None:
    shells = read_cp2k_basis(basis_file, "C", "TZVP-TEST").shells
    v = 1.5 * np.random.default_rng(0).normal(size=(50, 3))
    exact = OverlapTable.from_basis(Basis({6: gaussian_atom(6, shells, tail=1e-12)})).evaluate((6, 6), v)
    for tail in (1e-4, 1e-6):
        atom = gaussian_atom(6, shells, tail=tail)
        error = np.abs(OverlapTable.from_basis(Basis({6: atom})).evaluate((6, 6), v) - exact).max()
        assert error < 10 * tail


@pytest.mark.pyscf
def test_molecule_against_pyscf(basis_file: Path) -> None:
    """Every pair of s to f shells of two elements, in PySCF's integrals and in its own order."""
    from pyscf import gto

    sets = {"H": "SZV-TEST", "C": "TZVP-TEST"}
    shells = {symbol: read_cp2k_basis(basis_file, symbol, name).shells for symbol, name in sets.items()}
    positions = np.array([[0, 0, 0], [0.9, -0.8, 0.5], [-0.3, 1.1, 1.6]])
    molecule = gto.M(
        atom=list(zip("CCH", positions.tolist())),
        basis={
            symbol: [[s.l, *zip(s.exponents * BOHR_ANGSTROM**2, s.coefficients)] for s in shells[symbol]]
            for symbol in sets
        },
        unit="Angstrom",
        spin=1,
        verbose=0,
    )
    basis = Basis({z: gaussian_atom(z, shells[symbol]) for z, symbol in ((1, "H"), (6, "C"))})
    structure = Structure(np.eye(3) * 50, positions, np.array([6, 6, 1]), (False,) * 3)
    ours = fold(overlap(OverlapTable.from_basis(basis), structure), basis.orbital_offsets(structure.numbers))
    order = []  # PySCF has p as x, y, z
    for atom, number in enumerate(structure.numbers):
        for shell, part in basis[number].shell_slices():
            start = basis.orbital_offsets(structure.numbers)[atom] + part.start
            local = [1, 2, 0] if shell.l == 1 else range(shell.n_orbitals)
            order += [start + m for m in local]
    theirs = molecule.intor("int1e_ovlp_sph")[np.ix_(order, order)]
    np.testing.assert_allclose(ours, theirs, atol=2e-8)


@pytest.mark.pyscf
def test_pyscf_names() -> None:
    silicon = pyscf_basis("Si", "gth-dzvp-molopt-sr")
    assert [shell.l for shell in silicon.shells] == [0, 0, 1, 1, 2]
    from_file = read_cp2k_basis(DATA / "BASIS_MOLOPT_Si", "Si", "DZVP-MOLOPT-SR-GTH").shells
    for ours, theirs in zip(silicon.shells, from_file):
        r = np.linspace(0, 4, 30)
        np.testing.assert_allclose(ours.reduced_radial(r), theirs.reduced_radial(r), atol=1e-12)
    with pytest.raises(InputError, match="PySCF has no basis set 'gth-nonsense' of Si"):
        pyscf_basis("Si", "gth-nonsense")


def test_pyscf_names_without_pyscf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyscf.gto.mole", None)
    with pytest.raises(
        InputError, match=r"need PySCF, which is not installed; .* a basis file in CP2K's format"
    ):
        pyscf_basis("Si", "gth-dzvp-molopt-sr")


@pytest.mark.parametrize("name", ["SZV-MOLOPT-SR-GTH", "DZVP-MOLOPT-SR-GTH"])
def test_reproduces_cp2ks_overlap(name: str) -> None:
    """Blocks of CP2K's own S of displaced silicon, which it screens at 1e-7."""
    reference = np.load(DATA / "si_overlap_blocks.npz")
    silicon = read_cp2k_basis(DATA / "BASIS_MOLOPT_Si", "Si", name)
    assert silicon.valence_charge == 4
    table = OverlapTable.from_basis(Basis({14: gaussian_atom(14, silicon.shells, 4.0)}))
    blocks = table.evaluate((14, 14), reference[f"{name}/vectors"])
    np.testing.assert_allclose(blocks, reference[f"{name}/S"], atol=1e-7)
    on_site = ~reference[f"{name}/vectors"].any(axis=1)
    np.testing.assert_allclose(blocks[on_site], reference[f"{name}/S"][on_site], atol=1e-10)


def test_faults(basis_file: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"BASIS, field 'basis': no basis set 'DZVP' of H; choose one of SZV-TEST"
    ):
        read_cp2k_basis(basis_file, "H", "DZVP")
    with pytest.raises(InputError, match="'SZV' of Si; give a file that has this element"):
        read_cp2k_basis(basis_file, "Si", "SZV")
    with pytest.raises(InputError, match="cannot be read as a basis file"):
        read_cp2k_basis(tmp_path / "absent", "H", "SZV-TEST")
    lines = BASIS_FILE.splitlines()
    for n, keep in itertools.product([11, 12, 14], [0, 6]):  # cut between lines, and inside one
        broken = tmp_path / "broken"
        broken.write_text("\n".join([*lines[:n], lines[n][:keep]]))
        with pytest.raises(InputError, match="field 'C TZVP-TEST': expected a line of at least"):
            read_cp2k_basis(broken, "C", "TZVP-TEST")
    broken.write_text(BASIS_FILE.replace("2 0 1 3 2 1", "2 0 2 3 2 1"))
    with pytest.raises(InputError, match=r"2 numbers of shells for l = 0 \.\. 2"):
        read_cp2k_basis(broken, "C", "TZVP-TEST")
    broken.write_text(BASIS_FILE.replace("   1.1 ", "  -1.1 "))
    with pytest.raises(InputError, match="exponents must be positive"):
        read_cp2k_basis(broken, "C", "TZVP-TEST")
    with pytest.raises(InputError, match=r"exponent 3000 / A\^2; .* use a basis for pseudopotentials"):
        ContractedShell(0, np.array([3000.0]), np.ones(1)).shell("1s")
    with pytest.raises(InputError, match="all coefficients are zero"):
        ContractedShell(0, np.ones(2), np.zeros(2))
    with pytest.raises(InputError, match="2 exponents with coefficients"):
        ContractedShell(0, np.ones(2), np.ones(3))
