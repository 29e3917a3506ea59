"""Frames of OpenMX: its own eigenvalues, overlaps and log against what the reader makes of them."""

from __future__ import annotations

import lzma
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from openmx_writer import input_text, log_text, md_text, scfout_bytes
from scipy.special import expit

from n2amd.blocks.matrix import add_overlap, canonical_half, fold
from n2amd.dataset.gate import measure, verdict
from n2amd.dft.files import read_text
from n2amd.dft.openmx.frame import find_frames, read_frame
from n2amd.dft.openmx.log import parse_log
from n2amd.dft.openmx.scfout import Scfout, Tail, read_scfout
from n2amd.errors import InputError
from n2amd.orbitals.conventions import atom_convention, two_centre_residual
from n2amd.orbitals.two_centre import OverlapTable, overlap
from n2amd.units import BOLTZMANN_EV_K, OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

DATA = Path(__file__).parents[1] / "data" / "openmx"
#: Label of each sample, and the spin components of its H.
SAMPLES = {"silicene": ("sil2", 1), "si2h": ("si2h_spin", 2), "mos2_soc": ("mos2_soc", 4)}


@pytest.fixture(scope="module")
def loaded():
    return {name: read_frame(DATA / name) for name in SAMPLES}


@pytest.fixture
def folder(tmp_path):
    """A writable copy of the collinear sample, with the radial tables."""
    shutil.copytree(DATA / "pao", tmp_path / "pao")
    return Path(shutil.copytree(DATA / "si2h", tmp_path / "si2h"))


def edit(path: Path, old: str, new: str) -> None:
    text = lzma.decompress(path.read_bytes()).decode()
    assert old in text
    path.write_bytes(lzma.compress(text.replace(old, new).encode(), preset=0))


def bands(frame, basis, k):
    """Eigenvalues of (H, S) at one k point, (n_spin, n_bands)."""
    offsets = basis.orbital_offsets(frame.structure.numbers)
    s = fold(frame.overlap, offsets, k)
    h = [fold(frame.hamiltonian, offsets, k, spin) for spin in range(frame.hamiltonian.n_spin)]
    if len(h) == 4:
        spinor = np.block([[h[0], h[1]], [h[2], h[3]]])
        assert spinor == pytest.approx(spinor.conj().T, abs=1e-12)
        return scipy.linalg.eigvalsh(spinor, np.kron(np.eye(2), s))[None]
    return np.array([scipy.linalg.eigvalsh(block, s) for block in h])


@pytest.mark.parametrize("name", SAMPLES)
def test_bands_are_those_of_openmx(loaded, name):
    frame, basis = loaded[name]
    assert frame.hamiltonian.n_spin == SAMPLES[name][1]
    chosen = np.arange(0, len(frame.bands.kpoints), 4)
    for number in chosen:
        error = bands(frame, basis, frame.bands.kpoints[number]) - frame.bands.energies[number]
        assert 1e3 * np.abs(error).max() < 1e-3
    assert frame.bands.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("name", SAMPLES)
def test_eigenvalues_of_the_log_are_those_of_the_mesh(loaded, name):
    frame, basis = loaded[name]
    path = DATA / name / f"{SAMPLES[name][0]}.out.xz"
    mesh = parse_log(path, read_text(path)).bands
    for k, energies in list(zip(mesh.kpoints, mesh.energies))[::3]:
        assert 1e3 * np.abs(bands(frame, basis, k) - energies).max() < 2e-3
    # the electrons of the mesh at the chemical potential and 300 K
    filling = expit((frame.fermi_level - mesh.energies) / (300 * BOLTZMANN_EV_K))
    per_state = 2 if name == "silicene" else 1
    assert per_state * np.einsum("k,ksb->", mesh.weights, filling) == pytest.approx(
        frame.n_electrons, abs=1e-4
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_overlap_is_that_of_the_radial_tables(loaded, name):
    frame, basis = loaded[name]
    rebuilt = overlap(OverlapTable.from_basis(basis), frame.structure)
    for key, index in frame.overlap.pairs.items():
        places = {pair: n for n, pair in enumerate(map(bytes, np.c_[index.i, index.j, index.shift]))}
        found = rebuilt.pairs[key]
        order = [places[pair] for pair in map(bytes, np.c_[found.i, found.j, found.shift])]
        assert len(set(order)) == len(index)
        assert np.abs(frame.overlap.values[key][:, order] - rebuilt.values[key]).max() < 1e-8
    assert two_centre_residual(frame.overlap, basis, frame.structure) < 1e-12
    assert frame.hermiticity_error < 1e-7


def test_overlap_derivative_is_the_momentum_matrix(loaded):
    """<grad i|j> is OpenMX' own quadrature on a grid, whose noise is 4e-4 (it is antisymmetric to that)."""
    frame, basis = loaded["silicene"]
    contents = read_scfout(DATA / "silicene" / "sil2.scfout.xz")
    table = OverlapTable.from_basis(basis)
    order, _ = atom_convention("openmx", basis[14])
    positions, cell = frame.structure.positions, frame.structure.cell
    vectors = positions[contents.j] + contents.shift @ cell - positions[contents.i]
    expected = table.gradient((14, 14), vectors) * OPENMX_BOHR_ANGSTROM
    found = contents.momentum.reshape(3, -1, 13, 13).swapaxes(0, 1)[..., order[:, None], order]
    assert np.abs(expected).max() > 0.4
    assert np.abs(found - expected).max() < 5e-4


def test_overlap_between_two_times_grows_with_the_derivative(loaded):
    frame, basis = loaded["si2h"]
    table = OverlapTable.from_basis(basis)
    structure, step = frame.structure, 1e-3
    offsets = basis.orbital_offsets(structure.numbers)
    velocity = np.random.default_rng(5).normal(size=(3, 3))
    later, earlier = (
        overlap(table, structure, structure.with_positions(structure.positions + t * velocity))
        for t in (step, -step)
    )
    slope = (fold(later, offsets) - fold(earlier, offsets)) / (2 * step)
    exact = later.map(
        {
            key: np.einsum("pxij,px->pij", table.gradient(key, index.vectors(structure)), velocity[index.j])[
                None
            ]
            for key, index in later.pairs.items()
        }
    )
    assert slope == pytest.approx(fold(exact, offsets), abs=2e-5)
    assert np.abs(slope).max() > 0.5


def test_blocks_are_the_hermitian_half(loaded):
    for frame, basis in loaded.values():
        for (zi, zj), index in frame.hamiltonian.pairs.items():
            assert zi <= zj
            assert canonical_half(index, zi == zj).all()
            shape = len(index), basis[zi].n_orbitals, basis[zj].n_orbitals
            assert (
                frame.hamiltonian.values[zi, zj].shape[1:] == frame.overlap.values[zi, zj].shape[1:] == shape
            )


def test_observables_are_those_of_the_log(loaded):
    frame, basis = loaded["si2h"]
    log = read_text(DATA / "si2h" / "si2h_spin.out.xz")
    energy = float(re.search(r"Utot\.\s+(\S+)", log)[1])
    assert frame.energy == pytest.approx(energy * OPENMX_HARTREE_EV, abs=1e-9)
    last = log.split("<coordinates.forces")[1].splitlines()[4].split()
    force = np.array(last[5:8], float) * OPENMX_HARTREE_EV / OPENMX_BOHR_ANGSTROM
    assert frame.forces[2] == pytest.approx(force, abs=1e-10)
    assert frame.structure.positions[2] == pytest.approx(np.array(last[2:5], float), abs=1e-5)
    assert np.abs(frame.forces.sum(axis=0)).max() < 0.01
    assert frame.fermi_level == pytest.approx(-0.141729513087 * OPENMX_HARTREE_EV, abs=1e-9)
    assert (frame.n_electrons, frame.charge, frame.stress, frame.velocities) == (9, 0, None, None)
    assert [(s.l, s.label) for s in basis[1].shells] == [(0, "s1"), (0, "s2"), (1, "p1")]
    assert dict(frame.origin) == {
        "code": "openmx",
        "version": "3.9",
        "functional": "GGA-PBE",
        "k_mesh": "6 6 1",
        "mesh_cutoff": "150",
        "spin": "on",
        "spin_orbit": "off",
        "smearing": "Fermi-Dirac of order 0, 0.02585199979 eV",
        "h0": "no .vps file of H_PBE19",
    }


def test_frames_are_found_by_matrices(tmp_path):
    assert [path.name for path in find_frames([DATA])] == ["mos2_soc", "si2h", "silicene"]
    with pytest.raises(InputError, match=r"no folder in it holds a \.scfout file"):
        find_frames([tmp_path])


def test_without_radial_tables_the_basis_has_labels_only(folder):
    shutil.rmtree(folder.parent / "pao")
    frame, basis = read_frame(folder)
    assert {shell.radial for atom in basis.atoms.values() for shell in atom.shells} == {None}
    assert two_centre_residual(frame.overlap, basis, frame.structure) < 1e-12


def test_without_log_and_bands_only_the_matrices_are_known(folder):
    for file in ("si2h_spin.out.xz", "si2h_spin.Band.xz"):
        (folder / file).unlink()
    frame, _ = read_frame(folder)
    assert (frame.energy, frame.forces, frame.bands, frame.fermi_level) == (None, None, None, None)
    assert frame.n_electrons == 9


def test_a_head_takes_species_from_the_log(folder):
    (folder / "si2h_spin.dat.xz").unlink()
    assert read_frame(folder)[0].n_electrons == 9
    (folder / "si2h_spin.out.xz").unlink()
    with pytest.raises(InputError, match=r"si2h_spin\.dat and si2h_spin\.out are neither here nor") as caught:
        read_frame(folder)
    assert caught.value.file == folder / "si2h_spin.scfout_head.xz"


def test_eigenvalues_of_the_log_stand_in_for_a_missing_band_file(folder):
    (folder / "si2h_spin.Band.xz").unlink()
    assert read_frame(folder)[0].bands.energies.shape == (18, 2, 31)


#: File, text in it, what it becomes, and what the reader says of it.
DEFECTS = {
    "another basis": (
        "dat",
        "Si7.0-s2p2d1",
        "Si7.0-s2p2d2",
        "13 orbitals in the matrices, 18 with the basis",
    ),
    "an atom less": ("dat", " 3 H 0.0", "# 3 H 0.0", "3 atoms in the matrices, 2 in the input"),
    "unknown species": ("dat", " 3 H 0.0", " 3 He 0.0", "atoms of species 'He', defined are Si, H"),
    "no species": ("dat", "<Definition.of.Atomic", "# <Definition.of.Atomic", "no block <Definition"),
    "moved input": ("dat", "8.735000000000", "8.835000000000", r"differ from those of the input by 0\.1 A"),
    "spin": (
        "dat",
        "scf.SpinPolarization on",
        "scf.SpinPolarization off",
        "polarization 'off' in the input, number 1",
    ),
    "ghost atom": ("dat", "H H6.0-s2p1 H_PBE19", "H H6.0-s2p1 E", "orbitals of H on the potential E"),
    "contracted": ("dat", "H6.0-s2p1", "H6.0-s41p21", "no species with plain orbitals"),
    "two valences": ("dat", "2.35 1.65", "2.35 1.55", "two kinds of Si atoms"),
    "not converged": ("out", "-3.046473852499", "-3.046473800000", r"stopped at a change of 4\.9e-08 Ha"),
    "unfinished": ("out", "Computational Time (second)", "", "the run did not end"),
    "no log": ("out", "performed by OpenMX", "performed by SIESTA", r"not the \.out file of an OpenMX run"),
    "log of another run": ("out", "0.62392857142857", "0.63392857142857", r"last geometry is 0\.14 A off"),
    "log without energy": ("out", "Utot.  ", "Etot.  ", "no total energy"),
    "bands of another run": (
        "Band",
        " 31  1  -0.1417",
        " 31  1  -0.1427",
        "chemical potential .* of another run",
    ),
    "bands cut": (
        "Band",
        "15  0.000000000000000  0.0",
        "16  0.000000000000000  0.0",
        "not a complete band file",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_contradictions_between_files_are_refused(folder, defect):
    ending, old, new, message = DEFECTS[defect]
    path = folder / f"si2h_spin.{ending}.xz"
    edit(path, old, new)
    with pytest.raises(InputError, match=message):
        read_frame(folder)


def lowest_bands(folder: Path, label: str, n_bands: int) -> None:
    """Make the files list the lowest bands only, as OpenMX does in larger cells; their heads count all."""
    for ending, row in (("Band", re.compile(r"(?:\s*-?\d+\.\d{10,}){8,}")), ("out", None)):
        path = folder / f"{label}.{ending}.xz"
        lines = lzma.decompress(path.read_bytes()).decode().splitlines()
        if row is not None:
            first = len(lines[1].split())
            lines = [
                " ".join(line.split()[:n_bands])
                if n > 1 and row.fullmatch(line.rstrip()) and len(line.split()) > first
                else line
                for n, line in enumerate(lines)
            ]
        else:
            pattern = re.compile(r"\s+(\d+)(\s+-?\d+\.\d{14}){1,2}\s*")
            lines = [line for line in lines if not (m := pattern.fullmatch(line)) or int(m[1]) <= n_bands]
        path.write_bytes(lzma.compress("\n".join(lines).encode() + b"\n", preset=0))


@pytest.mark.parametrize(("name", "n_bands"), [("silicene", 11), ("si2h", 13), ("mos2_soc", 40)])
@pytest.mark.parametrize("source", ["Band", "out"])
def test_the_lowest_bands_alone_are_compared(loaded, tmp_path, name, n_bands, source):
    """OpenMX solves and lists about 2.3 times the occupied bands in larger cells, not all."""
    folder = Path(shutil.copytree(DATA / name, tmp_path / name))
    shutil.copytree(DATA / "pao", tmp_path / "pao")
    label, spins = SAMPLES[name]
    lowest_bands(folder, label, n_bands)
    if source == "out":
        (folder / f"{label}.Band.xz").unlink()
    frame, basis = read_frame(folder)
    assert frame.bands.energies.shape[1:] == (2 if spins == 2 else 1, n_bands)
    figures = measure(frame, basis)
    verdict(frame, figures)
    assert figures["eigenvalue_error"] < 2e-3
    moved = replace(frame, hamiltonian=add_overlap(frame.hamiltonian, frame.overlap, 0.002))
    assert measure(moved, basis)["eigenvalue_error"] == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("ending", ["Band", "out"])
def test_bands_that_end_below_the_electrons_are_refused(folder, ending):
    lowest_bands(folder, "si2h_spin", 4)
    if ending == "out":
        (folder / "si2h_spin.Band.xz").unlink()
    with pytest.raises(InputError, match="4 bands, fewer than 9 electrons fill: the list is cut"):
        read_frame(folder)


def test_a_list_of_bands_with_a_gap_is_refused(folder):
    path = folder / "si2h_spin.out.xz"
    text = lzma.decompress(path.read_bytes()).decode()
    kept = re.sub(r"\n\s+3(\s+-?\d+\.\d{14}){2}[ ]*(?=\n)", "", text)
    assert kept != text
    path.write_bytes(lzma.compress(kept.encode(), preset=0))
    with pytest.raises(InputError, match="the list of k point 1 is cut"):
        read_frame(folder)


def test_bands_of_another_system_are_refused(folder):
    path = folder / "si2h_spin.Band.xz"
    text = lzma.decompress(path.read_bytes()).decode().splitlines()
    short = [" ".join(line.split()[:30]) if len(line.split()) == 31 else line for line in text]
    short[0] = short[0].replace("31", "30", 1)
    path.write_bytes(lzma.compress("\n".join(short).encode(), preset=0))
    with pytest.raises(InputError, match="30 bands of 2 spins, the matrices give 31 of 2"):
        read_frame(folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("radial.cutoff.pao", "# cutoff", r"no radial\.cutoff\.pao"),
        ("pseudo.atomic.orbitals.L=1>", "", "the table is missing or cut"),
        ("PAO.Lmax   1", "PAO.Lmax   0", "needs 1 functions of l = 1, the file has fewer"),
        (" 1.926418328757203 ", " x ", "not a table of numbers"),
    ],
)
def test_a_damaged_radial_table_is_refused(folder, old, new, message):
    edit(folder.parent / "pao" / "H6.0.pao.xz", old, new)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(folder)
    assert caught.value.file.name == "H6.0.pao.xz"


def toy(text: str, n_electrons: float = 4.0, x: float = 0.0) -> Scfout:
    """One silicon atom with s and p orbitals at (x, 0, 0), alone in its cell."""
    zero = np.zeros(1, int)
    orbitals, cell = np.array([4]), np.eye(3) * 10 / OPENMX_BOHR_ANGSTROM
    positions = np.array([[x, 0, 0]]) / OPENMX_BOHR_ANGSTROM
    h, none, s = np.diag([-1.0, 0.5, 0.5, 0.5]).reshape(1, 16), np.empty((0, 16)), np.eye(4).ravel()
    tail = Tail(-0.2, n_electrons, text, "")
    shift = np.zeros((1, 3), int)
    return Scfout(0, 0, cell, positions, orbitals, zero, zero, shift, h, none, s, None, tail)


def test_layout_of_openmx_3_8_with_charge(tmp_path):
    contents = toy(input_text(**{"scf.system.charge": "1.0"}), n_electrons=3.0)
    (tmp_path / "toy.scfout").write_bytes(scfout_bytes(contents))
    frame, basis = read_frame(tmp_path)
    assert (frame.charge, frame.n_electrons) == (1, 3)
    assert frame.fermi_level == pytest.approx(-0.2 * OPENMX_HARTREE_EV)
    assert frame.structure.cell == pytest.approx(10 * np.eye(3))
    assert basis[14].valence_charge == 4
    wrong = replace(contents, tail=replace(contents.tail, n_electrons=4.0))
    (tmp_path / "toy.scfout").write_bytes(scfout_bytes(wrong))
    with pytest.raises(InputError, match="4 electrons in the matrices' file, 3 by the input"):
        read_frame(tmp_path)


def test_each_frame_of_a_trajectory_finds_its_step(tmp_path):
    text = input_text(**{"MD.Type": "NVE"})
    steps = [(-3.0, -0.2), (-3.1, -0.2), (-3.2, -0.2)]
    positions, forces = np.zeros((3, 1, 3)), np.zeros((3, 1, 3))
    positions[:, 0, 0], forces[:, 0, 1] = [0.0, 0.1, 0.3], [0.01, 0.02, 0.03]
    # the last geometry is printed one lattice vector away
    (tmp_path / "toy.out").write_text(log_text(text, steps, np.array([[1.03, 0, 0]])))
    (tmp_path / "toy.md").write_text(md_text(positions, forces))
    for step, x in enumerate(positions[:, 0, 0]):
        folder = tmp_path / f"frame_{step}"
        folder.mkdir()
        (folder / "toy.scfout").write_bytes(scfout_bytes(toy(text, x=x)))
        frame, _ = read_frame(folder)
        assert frame.energy == pytest.approx(steps[step][0] * OPENMX_HARTREE_EV)
        scale = OPENMX_HARTREE_EV / OPENMX_BOHR_ANGSTROM
        assert frame.forces == pytest.approx(forces[step] * scale)
    (folder / "toy.scfout").write_bytes(scfout_bytes(toy(text, x=0.2)))
    with pytest.raises(
        InputError, match=r"no geometry of the run is that of the matrices; step \d is 0\.1 A off"
    ):
        read_frame(folder)
    (tmp_path / "toy.md").write_text(md_text(positions[:2], forces[:2]))
    with pytest.raises(InputError, match=r"2 geometries of 1 atoms, toy\.out has 3 of 1"):
        read_frame(folder)
    (tmp_path / "toy.md").unlink()
    with pytest.raises(InputError, match=r"keep toy\.md beside"):
        read_frame(folder)


def test_a_log_of_another_density_is_refused(tmp_path):
    text = input_text()
    (tmp_path / "toy.scfout").write_bytes(scfout_bytes(toy(text)))
    (tmp_path / "toy.out").write_text(log_text(text, [(-3.0, -0.21)], np.zeros((1, 3))))
    with pytest.raises(InputError, match=r"chemical potential -5\.71\d+ eV, that of the frame is -5\.44"):
        read_frame(tmp_path)


def test_a_log_appended_to_the_matrices_is_used(tmp_path):
    contents = toy(input_text())
    log = log_text(input_text(), [(-3.0, -0.2)], np.zeros((1, 3)))
    contents = replace(contents, tail=replace(contents.tail, log=log))
    (tmp_path / "toy.scfout").write_bytes(scfout_bytes(contents))
    assert read_frame(tmp_path)[0].energy == pytest.approx(-3 * OPENMX_HARTREE_EV)
