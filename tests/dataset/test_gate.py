from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from n2amd.blocks.matrix import BlockMatrix, add_overlap
from n2amd.dataset.gate import CHECKS, measure, verdict
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import to_canonical


@pytest.fixture(scope="module")
def loaded(resources):
    frame, basis = read_frame(resources / "TiO2_6_train" / "frame_0002")
    # a few k points are enough here, and keep the tests quick
    bands = replace(frame.bands, kpoints=frame.bands.kpoints[::12], energies=frame.bands.energies[::12])
    return replace(frame, bands=bands), basis


@pytest.fixture(scope="module")
def figures(loaded):
    return measure(*loaded)


def refused(frame, basis) -> str:
    with pytest.raises(InputError) as caught:
        verdict(frame, measure(frame, basis))
    assert caught.value.exit_code == 2
    assert caught.value.frame == frame.name
    assert caught.value.remedy
    return str(caught.value)


def scaled(matrix: BlockMatrix, factor: float) -> BlockMatrix:
    return matrix.map({key: factor * values for key, values in matrix.values.items()})


def test_a_sound_frame_passes_with_wide_margins(loaded, figures):
    verdict(loaded[0], figures)
    assert set(figures) >= {check.name for check in CHECKS} - {"kinetic_temperature"}
    bars = {
        "eigenvalue_error": 0.02,
        "two_centre_residual": 1e-6,
        "overlap_error": 1e-5,
        "overlap_error_on_site": 1e-4,
        "hermiticity_error": 1e-5,
    }
    assert all(figures[name] < bar for name, bar in bars.items())
    assert figures["overlap_min_eigenvalue"] > 1e-4


def test_a_rigid_shift_of_the_bands_is_seen(loaded):
    frame, basis = loaded
    moved = replace(frame, hamiltonian=add_overlap(frame.hamiltonian, frame.overlap, 0.002))
    figures = measure(moved, basis)
    assert figures["eigenvalue_error"] == pytest.approx(2.0, abs=0.02)
    assert "eigenvalue_error) is 2" in refused(moved, basis)


def test_odd_m_signs_are_seen(loaded):
    frame, basis = loaded
    flipped = replace(
        frame,
        hamiltonian=to_canonical(frame.hamiltonian, basis, "honpas"),
        overlap=to_canonical(frame.overlap, basis, "honpas"),
    )
    message = refused(flipped, basis)
    assert "two_centre_residual" in message
    assert "orbital order and signs" in message
    # the spectrum alone cannot see it: the flip is a unitary transformation
    assert measure(flipped, basis)["eigenvalue_error"] < 0.02


@pytest.mark.parametrize("code", ["openmx", "abacus", "pyscf"])
def test_the_order_of_another_code_is_seen(loaded, code):
    frame, basis = loaded
    wrong = replace(frame, overlap=to_canonical(frame.overlap, basis, code))
    assert measure(wrong, basis)["two_centre_residual"] > 0.1


@pytest.mark.parametrize(
    ("factor", "hint"), [(13.6058, "in eV where Rydberg"), (2.0, "in Hartree"), (1.3, "1.3 times too wide")]
)
def test_a_hamiltonian_in_the_wrong_unit_is_named(loaded, factor, hint):
    frame, basis = loaded
    message = refused(replace(frame, hamiltonian=scaled(frame.hamiltonian, factor)), basis)
    assert "eigenvalue_error" in message
    assert hint in message


@pytest.mark.parametrize("factor", [0.529177, 1 / 0.529177])
def test_a_geometry_in_the_wrong_unit_is_seen(loaded, factor):
    frame, basis = loaded
    structure = replace(
        frame.structure, cell=frame.structure.cell * factor, positions=frame.structure.positions * factor
    )
    message = refused(replace(frame, structure=structure), basis)
    assert "bond_ratio" in message
    assert "Bohr or Angstrom" in message


def test_a_displaced_atom_is_seen_by_the_rebuilt_overlap(loaded):
    frame, basis = loaded
    moved = frame.structure.positions.copy()
    moved[3, 0] += 0.01
    message = refused(replace(frame, structure=frame.structure.with_positions(moved)), basis)
    assert "two_centre_residual" in message or "overlap_error" in message


@pytest.mark.parametrize("name", ["hamiltonian", "overlap"])
def test_not_a_number_is_seen(loaded, name):
    frame, basis = loaded
    values = {key: blocks.copy() for key, blocks in getattr(frame, name).values.items()}
    values[8, 22][0, 5, 1, 2] = np.nan
    message = refused(replace(frame, **{name: getattr(frame, name).map(values)}), basis)
    assert "NaN or infinite (not_finite) is 1" in message


def test_a_hamiltonian_cut_shorter_than_the_overlap_is_seen(loaded):
    frame, basis = loaded
    values = {}
    for key, index in frame.hamiltonian.pairs.items():
        far = np.linalg.norm(index.vectors(frame.structure), axis=1) > 3.5
        values[key] = np.where(far[:, None, None], 0.0, frame.hamiltonian.values[key])
    cut = replace(frame, hamiltonian=frame.hamiltonian.map(values))
    assert "overlap but have no Hamiltonian" in refused(cut, basis)
    pairs = {
        key: index.select(values[key].any(axis=(0, 2, 3))) for key, index in frame.hamiltonian.pairs.items()
    }
    kept = {key: blocks[:, blocks.any(axis=(0, 2, 3))] for key, blocks in values.items()}
    shorter = replace(frame, hamiltonian=BlockMatrix(pairs, kept))
    without_radial = Basis(
        {
            z: replace(a, shells=tuple(replace(s, radial=None) for s in a.shells))
            for z, a in basis.atoms.items()
        }
    )
    counts = [measure(f, b)["uncovered_pairs"] for f in (cut, shorter) for b in (basis, without_radial)]
    assert len(set(counts)) == 1
    assert counts[0] > 10


def test_an_overlap_that_is_not_positive_definite_is_seen(loaded):
    frame, basis = loaded
    # the off-site part alone doubled: symmetric and two-centre, but no Gram matrix any more
    values = {
        key: frame.overlap.values[key] * np.where(index.on_site, 1.0, 1.5)[:, None, None]
        for key, index in frame.overlap.pairs.items()
    }
    broken = replace(frame, overlap=frame.overlap.map(values))
    figures = measure(broken, basis)
    assert figures["overlap_min_eigenvalue"] < 0
    assert figures["overlap_condition"] == np.inf
    assert "eigenvalue_error" not in figures or figures["eigenvalue_error"] > 1


def test_a_frame_without_reference_bands_is_refused(loaded):
    frame, basis = loaded
    assert "own eigenvalues are missing" in refused(replace(frame, bands=None), basis)


def test_hermiticity_of_the_file_is_judged(loaded, figures):
    with pytest.raises(InputError, match="hermiticity_error"):
        verdict(loaded[0], {**figures, "hermiticity_error": 2e-4})


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["TiO2_6_train", "TiO2_12_train", "TiO2_6_md"])
def test_every_frame_of_the_data_set_passes_with_wide_margins(resources, folder):
    for path in sorted((resources / folder).glob("frame_*")):
        frame, basis = read_frame(path)
        figures = measure(frame, basis)
        verdict(frame, figures)
        assert figures["eigenvalue_error"] < 0.02
        assert figures["two_centre_residual"] < 1e-6
        assert figures["overlap_error"] < 1e-5
        assert figures["overlap_error_on_site"] < 1e-4
