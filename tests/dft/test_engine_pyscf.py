"""PySCF run for real on two silicon atoms, through to the ingestion gate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from edited import edited
from n2amd.baseline.rebuilt import rebuilt_hamiltonian
from n2amd.blocks.matrix import fold
from n2amd.config.engines import PyscfSettings
from n2amd.dataset.gate import measure, verdict
from n2amd.dft.engines.campaign import run_frames
from n2amd.dft.engines.pyscf import Pyscf
from n2amd.dft.pyscf.frame import find_frames, read_frame
from n2amd.dft.pyscf.real_space import mesh_for, supercell_radius, to_real_space, unwrap, wrap
from n2amd.errors import InputError
from n2amd.structure import Structure

SMALL = {"basis": "SZV-MOLOPT-SR-GTH", "ke_cutoff_Ha": 20.0, "forces": False}


@pytest.fixture(scope="module")
def silicon() -> Structure:
    """Rattled, and with one atom far outside the cell."""
    perfect = Structure.from_ase(bulk("Si", a=5.43))
    moved = perfect.positions + np.random.default_rng(1).normal(scale=0.05, size=(2, 3))
    moved[1] += perfect.cell.T @ [5, -3, 2]
    return perfect.with_positions(moved)


def random_crystal(structure: Structure, radius: float, seed: int) -> dict[tuple[int, ...], np.ndarray]:
    """A random Hermitian M(R) of one orbital an atom, for all pairs within a radius."""
    generator, n = np.random.default_rng(seed), structure.n_atoms
    blocks: dict[tuple[int, ...], np.ndarray] = {}
    images = np.stack(np.meshgrid(*[np.arange(-14, 15)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for i in range(n):
        for j in range(n):
            bonds = structure.positions[j] - structure.positions[i] + images @ structure.cell
            for image in images[np.linalg.norm(bonds, axis=1) < radius]:
                value = generator.normal()
                blocks.setdefault(tuple(image), np.zeros((n, n)))[i, j] += value
                blocks.setdefault(tuple(-image), np.zeros((n, n)))[j, i] += value
    return blocks


def test_a_mesh_gives_back_any_matrix_that_its_supercell_holds(silicon: Structure) -> None:
    from n2amd.dft.engines.kmesh import half_mesh

    mesh = (4, 3, 5)
    radius = 0.95 * supercell_radius(silicon.cell, mesh)
    crystal = random_crystal(silicon, radius, seed=2)
    kpoints, weights = half_mesh(mesh)
    folded = np.array(
        [sum(np.exp(2j * np.pi * np.dot(k, image)) * m for image, m in crystal.items()) for k in kpoints]
    )
    wrapped, translations = wrap(silicon)
    offsets = np.array([0, 1, 2])
    # H(k) of wrapped atoms differs by phases
    phases = np.exp(2j * np.pi * kpoints @ translations.T)
    folded = folded * phases.conj()[:, :, None] * phases[:, None, :]
    images, values = unwrap(
        *to_real_space(folded, kpoints, weights, mesh, wrapped, offsets), translations, offsets
    )
    found = {tuple(image): value for image, value in zip(images.tolist(), values)}
    for image, matrix in crystal.items():
        assert found.pop(image) == pytest.approx(matrix, abs=1e-12)
    assert max(np.abs(rest).max() for rest in found.values()) < 1e-12


def test_meshes_grow_until_they_hold_the_range() -> None:
    primitive = Structure.from_ase(bulk("Si", a=5.43)).cell
    assert mesh_for(primitive, 11.0) == (6, 6, 6)
    assert mesh_for(np.diag([5.0, 5.0, 30.0]), 11.0) == (5, 5, 1)
    assert supercell_radius(primitive, (6, 6, 6)) == pytest.approx(3 * 5.43 / np.sqrt(2))


@pytest.fixture(scope="module")
def folder(silicon: Structure, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One frame, run as a person would run it."""
    out = tmp_path_factory.mktemp("pyscf")
    settings = PyscfSettings(**SMALL, kpoints=(2, 2, 2))
    campaign = run_frames(Pyscf(settings), settings, [(0, silicon)], out)
    assert not campaign.failed, campaign.failed
    return out / "frame_0000"


@pytest.mark.pyscf
def test_bands_between_the_mesh_points_are_those_of_get_bands(folder: Path) -> None:
    """H(R) came of the 6 x 6 x 6 mesh; the last two k points lie off it, and the SCF mesh is 2 x 2 x 2."""
    import scipy.linalg

    frame, basis = read_frame(folder)
    assert frame.bands is not None
    assert frame.bands.weights[-2:].tolist() == [0, 0]
    offsets = basis.orbital_offsets(frame.structure.numbers)
    for k, energies in zip(frame.bands.kpoints, frame.bands.energies[:, 0]):
        h, s = (fold(matrix, offsets, k) for matrix in (frame.hamiltonian, frame.overlap))
        assert 1e3 * np.abs(scipy.linalg.eigvalsh(h, s) - energies).max() < 0.02  # meV


@pytest.mark.pyscf
def test_the_frame_passes_the_gate(folder: Path, silicon: Structure) -> None:
    assert [path.name for path in find_frames([folder.parent])] == ["frame_0000"]
    frame, basis = read_frame(folder)
    figures = measure(frame, basis)
    verdict(frame, figures)
    assert figures["two_centre_residual"] < 1e-9
    assert figures["overlap_error"] < 1e-6
    assert figures["hermiticity_error"] < 1e-9
    assert frame.structure.positions == pytest.approx(silicon.positions)
    assert (frame.n_electrons, frame.charge) == (8, 0)
    assert frame.origin["functional"] == "PBE"
    assert [shell.l for shell in basis[14].shells] == [0, 1]


@pytest.mark.pyscf
def test_h0_of_a_frames_own_density_is_pyscfs_hamiltonian(folder: Path) -> None:
    """On the absolute zero of energies, at a cutoff of 20 Ha."""
    frame, basis = read_frame(folder)
    assert frame.ingredients is not None
    rebuilt = rebuilt_hamiltonian(frame, basis, frame.ingredients)
    difference = np.abs(rebuilt.values[14, 14] - frame.hamiltonian.values[14, 14])
    assert difference.max() < 1e-4


@pytest.mark.pyscf
def test_a_frame_without_pseudopotentials_says_why_it_has_no_h0(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "frame_0000"))
    with edited(copy / "frame.h5") as file:
        del file["pseudopotentials"]
    frame, _ = read_frame(copy)
    assert frame.ingredients is None
    assert frame.origin["h0"] == "the element with Z = 14 has no GTH pseudopotential"


@pytest.mark.pyscf
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.__delitem__("overlap"), "the file is damaged"),
        (lambda file: file.attrs.__delitem__("complete"), "not written to its end"),
        (
            lambda file: (file.__delitem__("images"), file.__setitem__("images", np.zeros((3, 3), int))),
            "for 3 images",
        ),
    ],
)
def test_a_damaged_frame_is_named(folder: Path, tmp_path: Path, damage, message: str) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "frame_0000"))
    with edited(copy / "frame.h5") as file:
        damage(file)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(copy)
    assert str(copy / "frame.h5") in str(caught.value)


@pytest.mark.pyscf
def test_a_cycle_that_does_not_converge_fails_alone(silicon: Structure, tmp_path: Path) -> None:
    settings = PyscfSettings(**SMALL, kpoints=(1, 1, 1), max_scf=1)
    campaign = run_frames(Pyscf(settings), settings, [(7, silicon)], tmp_path)
    assert campaign.finished == {}
    assert "the SCF cycle did not converge in 1 steps" in campaign.failed["frame_0007"]


@pytest.mark.slow
@pytest.mark.pyscf
def test_forces_are_the_derivative_of_the_energy(silicon: Structure) -> None:
    from n2amd.dft.engines.pyscf_job import _gradients, _scf, build_cell
    from n2amd.units import BOHR_ANGSTROM

    silicon, _ = wrap(silicon)
    settings = PyscfSettings(basis=SMALL["basis"], ke_cutoff_Ha=40.0, kpoints=(1, 1, 1), conv_tol=1e-10)
    step, energies = 0.01, []
    for sign in (-1, 1):
        moved = silicon.positions.copy()
        moved[0, 1] += sign * step * BOHR_ANGSTROM
        energies.append(_scf(build_cell(silicon.with_positions(moved), settings), settings).e_tot)
    forces = _gradients(_scf(build_cell(silicon, settings), settings), settings)["forces"]
    assert forces[0, 1] == pytest.approx(-(energies[1] - energies[0]) / (2 * step), abs=2e-4)


@pytest.mark.pyscf
def test_the_hybrid_is_pyscfs_own_on_the_mesh_and_smooth_off_it(silicon: Structure) -> None:
    from pyscf.pbc import dft

    from n2amd.dft.engines.pyscf_hybrid import hybrid_fock
    from n2amd.dft.engines.pyscf_job import _scf, build_cell

    settings = PyscfSettings(**SMALL, functional="HSE06", kpoints=(2, 1, 1))
    cell = build_cell(wrap(silicon)[0], settings)
    scf = _scf(cell, settings)
    own = dft.KRKS(cell, scf.kpts)
    own.xc, own.exxdiv = "hse06", "ewald"
    expected = np.asarray(own.get_fock(dm=scf.make_rdm1()))
    near = cell.get_abs_kpts(np.array([[1e-4, 0, 0]]))
    found = hybrid_fock(scf, np.concatenate([scf.kpts, near]))
    assert found[:2] == pytest.approx(expected, abs=1e-6)
    # PySCF's own bands jump by tenths of an eV here
    assert np.abs(found[2] - expected[0]).max() < 1e-3


@pytest.mark.slow
@pytest.mark.pyscf
def test_a_hybrid_frame_passes_the_gate(tmp_path: Path) -> None:
    """From the command line: structures, run, ingest. Two helium atoms, whose exchange is cheap."""
    from n2amd.interop.extxyz import write_structures

    positions = np.array([[0.1, 0.2, 0.3], [1.6, 1.2, 1.1]])
    helium = Structure(np.diag([5.0, 5.2, 5.4]), positions, np.array([2, 2]))
    write_structures(tmp_path / "s.extxyz", [(helium, {})])
    settings = {**SMALL, "ke_cutoff_Ha": 40.0, "functional": "HSE06", "kpoints": [2, 2, 2]}
    out = tmp_path / "frames"
    run = [
        "run",
        "--engine",
        "pyscf",
        "--structures",
        tmp_path / "s.extxyz",
        "--settings",
        json.dumps(settings),
    ]
    ingest = ["ingest", "--code", "pyscf", out]
    for arguments in (
        ["dft", *run, "--out", out],
        ["dataset", *ingest, "--out", tmp_path / "dataset.h5"],
    ):
        command = [sys.executable, "-m", "n2amd.cli", *map(str, arguments)]
        done = subprocess.run(command, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    frame, _ = read_frame(out / "frame_0000")
    assert frame.origin["exxdiv"] == "ewald"
    assert frame.origin["hybrid"] == "one-shot"
    assert frame.energy is None


@pytest.mark.pyscf
def test_a_coarse_mesh_of_the_hybrid_is_warned_of(
    silicon: Structure, capsys: pytest.CaptureFixture[str]
) -> None:
    for kpoints, warned in (((3, 3, 3), True), ((4, 4, 4), False)):
        settings = PyscfSettings(
            functional="HSE06", basis="SZV-MOLOPT-SR-GTH", kpoints=kpoints, forces=False, stress=False
        )
        Pyscf(settings).check([silicon])
        assert ("repeated after 11.5 A" in (said := capsys.readouterr().err)) is warned
        assert ("use [4, 4, 4] or denser" in said) is warned
