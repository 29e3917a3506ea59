from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.data import atomic_masses
from boxed_molecule import molecule

from n2amd.blocks.matrix import BlockMatrix, PairIndex, add_overlap
from n2amd.blocks.pairs import find_pairs
from n2amd.dataset.gate import CHECKS, measure, verdict
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.orbitals.conventions import to_canonical
from n2amd.structure import Structure
from n2amd.units import AMU_A2_FS2_IN_EV, BOLTZMANN_EV_K


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
    assert verdict(loaded[0], figures) == {}
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


def resized(frame: Frame, factor: float) -> Frame:
    structure = frame.structure
    cell, positions = factor * structure.cell, factor * structure.positions
    return replace(frame, structure=replace(structure, cell=cell, positions=positions))


@pytest.mark.parametrize(
    ("factor", "cause"),
    [(0.529177, "Angstrom were read as Bohr"), (1 / 0.529177, "Bohr were read as Angstrom")],
)
def test_a_geometry_in_the_wrong_unit_is_named(loaded, factor, cause):
    frame, basis = loaded
    message = refused(resized(frame, factor), basis)
    assert cause in message
    assert "bond_ratio" in message
    assert "Bohr or Angstrom" in message


def test_lengths_that_nothing_can_check_are_told(loaded):
    """Without radial functions nothing sees a geometry that is too large: k points are fractional."""
    frame, basis = loaded
    frame, basis = resized(frame, 1 / 0.529177), without_radial(basis)
    told = verdict(frame, measure(frame, basis))
    assert list(told) == ["bond_ratio"]
    assert "says nothing about lengths" in told["bond_ratio"]
    bare = replace(frame, bands=None, origin={"bands": "none"})
    told = verdict(bare, measure(bare, basis))
    assert list(told) == ["bond_ratio", "eigenvalue_error"]
    assert "no eigenvalues and no radial functions" in told["bond_ratio"]
    assert "(Bohr or Angstrom) could not be checked" in told["bond_ratio"]
    assert "that it belongs to S, were not checked" in told["eigenvalue_error"]


def test_atoms_nearer_than_any_bond_are_refused_where_nothing_can_check_lengths(loaded):
    frame, basis = loaded
    message = refused(resized(frame, 0.529177), without_radial(basis))
    assert "bond_ratio" in message
    assert "Bohr or Angstrom" in message


@pytest.mark.parametrize("length", [0.74, 0.9, 1.5, 2.5])
@pytest.mark.parametrize("box", [8.0, 31.0])
def test_molecules_in_boxes_and_stretched_bonds_pass(length, box):
    """The eigenvalues and S from the positions decide; what is unusual is told with what speaks for it."""
    frame, basis = molecule(length, box)
    figures = measure(frame, basis)
    told = verdict(frame, figures)
    assert figures["eigenvalue_error"] < 1e-6
    expected = ["bond_ratio"] if 0.8 < length < 2 else []  # beyond, the two are no neighbours
    expected += ["volume_per_atom"] if box > 30 else []
    assert list(told) == expected
    assert all("S made of these positions is that of the file" in sentence for sentence in told.values())
    wrong = replace(frame, hamiltonian=scaled(frame.hamiltonian, 2.0))
    assert "eigenvalue_error" in refused(wrong, basis)
    for factor in (0.529177, 1 / 0.529177):
        message = refused(resized(frame, factor), basis)
        assert any(name in message for name in ("overlap_error", "min_distance"))


def test_bands_that_the_code_does_not_list_are_told(loaded):
    frame, basis = loaded
    listed = replace(frame.bands, energies=frame.bands.energies[..., : frame.n_occupied + 2])
    short = replace(frame, bands=listed)
    figures = measure(short, basis)
    assert figures["bands_missing"] == 3
    assert figures["eigenvalue_error"] < 0.02
    assert "is 3, usually at most 0; those listed were compared" in verdict(short, figures)["bands_missing"]


def test_atoms_that_overlap_beyond_any_bond_are_seen(loaded):
    """Stretched so far that no pair lies within the distance that is looked at for bonds."""
    frame, basis = loaded
    cell, positions = 2.5 * frame.structure.cell, 2.5 * frame.structure.positions
    structure = replace(frame.structure, cell=cell, positions=positions)
    assert "bond_ratio" in refused(replace(frame, structure=structure), basis)


def test_a_hamiltonian_that_is_the_overlap_is_named(loaded):
    frame, basis = loaded
    assert "H is a multiple of S" in refused(replace(frame, hamiltonian=frame.overlap), basis)


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
    counts = [
        measure(f, b)["uncovered_pairs"] for f in (cut, shorter) for b in (basis, without_radial(basis))
    ]
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
    bare = replace(frame, bands=None)
    assert "own eigenvalues are missing" in refused(bare, basis)
    # a DeepH folder has no place for them
    deeph = replace(bare, origin={"code": "deeph", "bands": "none"})
    figures = measure(deeph, basis)
    verdict(deeph, figures)
    assert "eigenvalue_error" not in figures
    assert figures["overlap_min_eigenvalue"] > 1e-4


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


def without_radial(basis: Basis) -> Basis:
    atoms = {
        z: replace(a, shells=tuple(replace(s, radial=None) for s in a.shells)) for z, a in basis.atoms.items()
    }
    return Basis(atoms)


def test_a_wrapped_atom_is_seen_though_its_bands_are_right(loaded):
    """CP2K's trap: R counted from wrapped atoms is a change of gauge, so that the spectrum is untouched."""
    frame, basis = loaded
    cells = np.zeros((6, 3), dtype=int)
    cells[2] = (1, 0, -1)
    positions = frame.structure.positions + cells @ frame.structure.cell
    wrapped = replace(frame, structure=frame.structure.with_positions(positions))
    figures = measure(wrapped, basis)
    assert figures["eigenvalue_error"] < 0.02
    assert figures["overlap_growth"] > 0.5
    assert measure(wrapped, without_radial(basis))["overlap_growth"] == figures["overlap_growth"]
    message = refused(wrapped, without_radial(basis))
    assert "overlap_growth" in message
    assert "lattice vectors R" in message


def test_a_wrapped_atom_is_seen_with_s_orbitals_alone():
    """No direction to compare: the overlap that grows with the distance gives it away."""
    rng = np.random.default_rng(4)
    basis = Basis({1: AtomBasis(1, (Shell(0, "1s"),), 1.0)})
    cell = np.diag([3.0, 3.2, 3.4])
    structure = Structure(cell, rng.uniform(0, 3, (4, 3)) + np.arange(4)[:, None] * 0.8, np.ones(4, int))
    pairs = find_pairs(structure, {(1, 1): 6.0}, half=True)
    gaussian = {
        key: np.exp(-((np.linalg.norm(index.vectors(structure), axis=1) / 1.2) ** 2))[None, :, None, None]
        for key, index in pairs.items()
    }
    s = BlockMatrix(pairs, gaussian)
    frame = Frame("s", structure, s, s, 4.0)
    assert measure(frame, basis)["overlap_growth"] < 1e-12
    for atom in range(4):
        cells = np.zeros((4, 3))
        cells[atom] = (0, 1, 0)
        moved = replace(frame, structure=structure.with_positions(structure.positions + cells @ cell))
        assert measure(moved, basis)["overlap_growth"] > 0.1


def test_one_wrong_lattice_vector_is_seen(loaded):
    frame, basis = loaded
    index = frame.overlap.pairs[8, 22]
    nearest = int(np.linalg.norm(index.vectors(frame.structure), axis=1).argmin())
    shift = index.shift.copy()
    shift[nearest] += (0, 2, 0)
    pairs = {**frame.overlap.pairs, (8, 22): PairIndex(index.i, index.j, shift)}
    changed = replace(
        frame,
        overlap=BlockMatrix(pairs, frame.overlap.values),
        hamiltonian=BlockMatrix(pairs, frame.hamiltonian.values),
    )
    for used in (basis, without_radial(basis)):
        assert "lattice vectors R" in refused(changed, used)


def atoms_exchanged(frame: Frame) -> Frame:
    """Two atoms of one species in each other's place."""
    oxygen = np.flatnonzero(frame.structure.numbers == 8)[:2]
    positions = frame.structure.positions.copy()
    positions[oxygen] = positions[oxygen[::-1]]
    return replace(frame, structure=frame.structure.with_positions(positions))


def cell_transposed(frame: Frame) -> Frame:
    structure = frame.structure
    return replace(
        frame,
        structure=Structure(structure.cell.T + np.eye(3, k=1) * 0.3, structure.positions, structure.numbers),
    )


@pytest.mark.parametrize("defect", [atoms_exchanged, cell_transposed])
def test_a_geometry_of_another_order_is_seen(loaded, defect):
    frame, basis = loaded
    for used in (basis, without_radial(basis)):
        message = refused(defect(frame), used)
        assert any(name in message for name in ("two_centre_residual", "overlap_growth", "bond_ratio"))


@pytest.mark.parametrize("field", ["forces", "stress", "energy", "fermi_level", "velocities"])
def test_a_field_with_nan_is_named(loaded, field):
    frame, basis = loaded
    value = getattr(frame, field)
    if field == "velocities":
        value = np.zeros_like(frame.forces)
    broken = (
        np.nan * value
        if np.isscalar(value)
        else np.where(np.arange(value.size).reshape(value.shape) == 4, np.nan, value)
    )
    message = refused(replace(frame, **{field: broken}), basis)
    assert "NaN or infinite (not_finite) is 1" in message
    assert f"(in {'energy' if field == 'fermi_level' else field})" in message


def test_bands_on_another_energy_zero_are_explained(loaded):
    frame, basis = loaded
    moved = replace(frame, hamiltonian=add_overlap(frame.hamiltonian, frame.overlap, -frame.fermi_level))
    message = refused(moved, basis)
    assert "all bands are shifted by the Fermi level" in message
    assert "other energy zeros" in message


@pytest.mark.parametrize(
    ("factor", "hint"),
    [
        (27.2116, "in eV where Hartree"),
        (0.5, "in Rydberg where Hartree"),
        (1 / 13.6058, "in Rydberg where eV"),
        (1 / 27.2116, "in Hartree where eV"),
    ],
)
def test_other_energy_units_are_named(loaded, factor, hint):
    frame, basis = loaded
    assert hint in refused(replace(frame, hamiltonian=scaled(frame.hamiltonian, factor)), basis)


def test_h_in_the_place_of_s_is_seen(loaded):
    frame, basis = loaded
    assert "S is the overlap and not another matrix" in refused(
        replace(frame, overlap=frame.hamiltonian, hamiltonian=frame.overlap), basis
    )


def test_velocities_in_atomic_units_are_seen(loaded):
    """At 300 K, told in Angstrom per fs and 21.9 times as large."""
    frame, basis = loaded
    masses = AMU_A2_FS2_IN_EV * atomic_masses[frame.structure.numbers][:, None]
    thermal = np.random.default_rng(1).normal(size=(6, 3)) * np.sqrt(BOLTZMANN_EV_K * 300 / masses)
    figures = measure(replace(frame, velocities=thermal), basis)
    assert 50 < figures["kinetic_temperature"] < 1000
    assert "kinetic_temperature" in refused(replace(frame, velocities=21.877 * thermal), basis)


def test_a_pair_of_s_that_the_radial_functions_do_not_know_is_seen(loaded):
    frame, basis = loaded
    values = {key: blocks.copy() for key, blocks in frame.overlap.values.items()}
    index = frame.overlap.pairs[22, 22]
    farthest = int(np.linalg.norm(index.vectors(frame.structure), axis=1).argmax())
    values[22, 22][0, farthest] += 1e-3 * np.eye(19)
    assert measure(replace(frame, overlap=frame.overlap.map(values)), basis)["overlap_error"] > 9e-4
