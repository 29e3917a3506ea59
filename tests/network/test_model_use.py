"""A model used on structures: its matrices in files, bands, densities of states, the charge of a state."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from ase.io import read, write
from ase.io.cube import read_cube
from typer.testing import CliRunner

from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import fold, fold_spinor
from n2amd.blocks.pair_codes import lay_out
from n2amd.commands import model_bands, model_dos
from n2amd.commands.hamiltonian import app
from n2amd.dataset.store import read_frames
from n2amd.dft.deeph.frame import read_frame as read_deeph
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import ComputationError, InputError
from n2amd.frames.ingredients import SplitProjector
from n2amd.ingestion.ingest import ingest
from n2amd.network.checkpoint import HamiltonianModel, save_model
from n2amd.network.density_data import choose_model, fit_frame, with_means
from n2amd.network.predict import load_predictor
from n2amd.network.spinors import scalar_part, spinor_hamiltonian
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM

TIO2 = Path(__file__).resolve().parents[2] / "resources/tio2-honpas"
RUTILE = TIO2 / "rutile.vasp"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """H0 of average atoms of rutile, saved as a model, and a data set of two frames."""
    folder = tmp_path_factory.mktemp("model")
    ingest([TIO2 / "TiO2_6_train" / f"frame_{k:04d}" for k in (0, 2)], folder / "dataset.h5", code="honpas")
    frame, basis = read_frame(TIO2 / "TiO2_6_train/frame_0000")
    ingredients = next(iter(read_frames(folder / "dataset.h5"))).ingredients
    chosen = choose_model([frame], basis, ingredients)
    fitted = fit_frame(frame, ZerothHamiltonian(basis, ingredients, chosen), 4.0)
    zeroth = ZerothHamiltonian(basis, ingredients, with_means(chosen, [fitted]))
    training = {"split": {"train": [0], "validation": [], "test": [1]}, "settings": {}}
    save_model(
        folder / "model.pt",
        HamiltonianModel(basis, zeroth, None, None),
        training=training,
        config={},
        inputs=[],
    )
    bare = Basis({z: AtomBasis(z, basis[z].shells, 0.0) for z in basis.numbers})
    uncharged = HamiltonianModel(bare, ZerothHamiltonian(bare, ingredients, zeroth.model), None, None)
    save_model(folder / "uncharged.pt", uncharged, training=training, config={}, inputs=[])
    return folder


@pytest.fixture(scope="module", autouse=True)
def _models_are_read_once():
    """A model and its tables are the same for every command."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(model_bands.loaded)
        for module in (model_bands, model_dos):
            patch.setattr(module, "loaded", once)
        yield


def run(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def told(*arguments: object) -> str:
    """The one sentence that a command ends with."""
    error = CliRunner().invoke(app, [str(a) for a in arguments]).exception
    assert isinstance(error, InputError), error
    sentence = str(error)
    assert "\n" not in sentence
    assert error.remedy
    return sentence


def cell() -> Structure:
    return Structure.from_ase(read(RUTILE))


def test_matrices_in_a_deeph_folder_are_read_back(folder, tmp_path):
    said = run("predict", folder / "model.pt", RUTILE, "--supercell", "1x1x2", "--out", tmp_path / "h")
    assert "12 atoms, 180 orbitals, 96 electrons" in said
    frame, _ = read_deeph(tmp_path / "h")
    assert frame.n_electrons == 96
    expected = cell().supercell((1, 1, 2))
    np.testing.assert_allclose(frame.structure.positions, expected.positions, atol=1e-12)
    predicted = load_predictor(folder / "model.pt").predict(expected)
    for found, wanted in zip((frame.hamiltonian, frame.overlap), predicted):
        laid = lay_out(found, wanted)
        for key, blocks in wanted.values.items():
            np.testing.assert_allclose(laid.values[key], blocks, atol=1e-12)


def test_frames_of_a_trajectory_by_number(folder, tmp_path):
    atoms = read(RUTILE)
    images = []
    for step in range(3):
        images.append(atoms.copy())
        images[-1].positions[0, 2] += 0.05 * step
    write(tmp_path / "md.extxyz", images)
    assert "it holds 3 structures" in told(
        "predict", folder / "model.pt", tmp_path / "md.extxyz", "--out", tmp_path / "x"
    )
    frames = ("--frame", 0, "--frame", 2)
    run("predict", folder / "model.pt", tmp_path / "md.extxyz", *frames, "--out", tmp_path / "h", "--legacy")
    for name, step in (("000000", 0), ("000001", 2)):
        found = read_deeph(tmp_path / "h" / name)[0].structure
        np.testing.assert_allclose(found.positions, images[step].positions, atol=1e-6)
    assert "one archive" in told(
        "predict", folder / "model.pt", tmp_path / "md.extxyz", *frames, "--out", tmp_path / "h.npz"
    )
    assert "no frame 7" in told(
        "predict", folder / "model.pt", tmp_path / "md.extxyz", "--frame", 7, "--out", tmp_path / "h.npz"
    )


def test_an_archive_gives_the_bands_without_n2amd(folder, tmp_path):
    run("predict", folder / "model.pt", RUTILE, "--out", tmp_path / "h.npz")
    k = np.array([0.1, 0.25, -0.4])
    file = dict(np.load(tmp_path / "h.npz"))
    first, shapes, starts = file["first_orbital"], file["block_shapes"], file["block_starts"]
    h, s = np.zeros((2, first[-1], first[-1]), complex)
    for (*shift, i, j), (rows, columns), begin in zip(file["pairs"], shapes, starts):
        part = np.s_[first[i] : first[i] + rows, first[j] : first[j] + columns]
        block = np.s_[begin : begin + rows * columns]
        phase = np.exp(2j * np.pi * (k @ shift))
        h[part] += phase * file["hamiltonian"][block].reshape(rows, columns)
        s[part] += phase * file["overlap"][block].reshape(rows, columns)
    assert file["n_electrons"] == 48
    assert file["shell_l"].max() == 2
    assert len(file["shell_label"]) == len(file["shell_atom"])
    predictor = load_predictor(folder / "model.pt")
    offsets = predictor.basis.orbital_offsets(cell().numbers)
    expected = scipy.linalg.eigvalsh(*(fold(m, offsets, k) for m in predictor.predict(cell())))
    np.testing.assert_allclose(scipy.linalg.eigvalsh(h, s), expected, atol=1e-9)


def test_bands_are_eigenvalues_at_every_k_point(folder, tmp_path):
    out = tmp_path / "bands.json"
    said = run("bands", folder / "model.pt", RUTILE, "--path", "GXMG", "--points", 13, "--out", out)
    document = json.loads(out.read_text())
    assert document["path"] == "G-X-M-G"
    assert (document["n_occupied"], document["space_group"]) == (24, "P4_2/mnm (136)")
    assert document["dft_eV"] is None
    predictor = load_predictor(folder / "model.pt")
    h, s = predictor.predict(cell())
    offsets = predictor.basis.orbital_offsets(cell().numbers)
    for k, energies in zip(document["kpoints"], document["model_eV"]):
        expected = scipy.linalg.eigvalsh(*(fold(m, offsets, np.array(k)) for m in (h, s)))
        np.testing.assert_allclose(np.array(energies) + document["zero_eV"], expected, atol=1e-8)
    top = max(row[23] for row in document["model_eV"])
    assert top == 0
    gap = min(row[24] for row in document["model_eV"])
    assert f"gap {gap:.3f} eV along the path, direct, at G" in said


def test_a_supercell_keeps_the_path_of_its_cell(folder, tmp_path):
    common = ("bands", folder / "model.pt", RUTILE, "--path", "G-X-M", "--points", 5)
    run(*common, "--out", tmp_path / "one.csv")
    run(*common, "--supercell", "2x1x1", "--out", tmp_path / "two.csv", "--figure", tmp_path / "two.svg")
    one, two = (
        list(csv.reader((tmp_path / name).read_text().splitlines())) for name in ("one.csv", "two.csv")
    )
    assert one[0][:6] == ["label", "distance_1_per_A", "k1", "k2", "k3", "model_0_eV"]
    assert [row[0] for row in one[1:]] == [row[0] for row in two[1:]] == ["G", "", "X", "", "M"]
    for small, large in zip(one[1:], two[1:]):
        assert small[1] == large[1]
        assert float(large[2]) == pytest.approx(2 * float(small[2]))
        # the mesh of the larger cell is not always a repeat of the smaller one's
        energies = np.array([float(x) for x in large[5:]])
        for band in range(20, 28):
            assert np.abs(energies - float(small[5 + band])).min() < 2e-3
    assert "Γ" in (tmp_path / "two.svg").read_text()


def test_dfts_bands_beside_the_models(folder, tmp_path):
    out = tmp_path / "bands.json"
    run("bands", folder / "model.pt", "--on", folder / "dataset.h5", "--points", 9, "--out", out)
    document = json.loads(out.read_text())
    frame = list(read_frames(folder / "dataset.h5"))[1]
    assert document["frame"] == frame.name
    offsets = load_predictor(folder / "model.pt").basis.orbital_offsets(frame.structure.numbers)
    for k, energies in zip(document["kpoints"], document["dft_eV"]):
        expected = scipy.linalg.eigvalsh(
            *(fold(m, offsets, np.array(k)) for m in (frame.hamiltonian, frame.overlap))
        )
        np.testing.assert_allclose(np.array(energies) + document["zero_eV"], expected, atol=1e-8)
    difference = document["difference"]
    near = np.abs(np.array(document["model_eV"]) - document["dft_eV"])[
        (np.array(document["dft_eV"]) > -1) & (np.array(document["dft_eV"]) < document["dft"]["gap_eV"] + 1)
    ]
    assert difference["max_meV"] == pytest.approx(1e3 * near.max())
    assert difference["gap_meV"] == pytest.approx(difference["cbm_meV"] - difference["vbm_meV"])
    # the frame of a structure is found by its atoms
    write(tmp_path / "frame.extxyz", next(read_frames(folder / "dataset.h5")).structure.to_ase())
    common = ("bands", folder / "model.pt", tmp_path / "frame.extxyz", "--on", folder / "dataset.h5")
    said = run(*common, "--points", 3, "--path", "GX", "--figure", tmp_path / "bands.svg")
    assert "frame_0000: 3 k points along G-X" in said
    assert "DFT: gap" in said
    assert "does not have the atoms" in told(*common, "--frame", 1, "--out", out)


@pytest.fixture(scope="module")
def relativistic(folder) -> Path:
    """The model with projectors of Ti's and O's p that differ by their total momentum."""
    predictor = load_predictor(folder / "model.pt")
    model = predictor.model
    atoms = {}
    for z, atom in model.zeroth.ingredients.atoms.items():
        shells = [p.shell for p in atom.projectors if p.shell.l == 1]
        split = tuple(SplitProjector(shells[0], upper, 2.0 if upper else -1.0) for upper in (True, False))
        atoms[z] = replace(atom, split_projectors=split)
    ingredients = replace(model.zeroth.ingredients, atoms=atoms)
    changed = replace(model, zeroth=replace(model.zeroth, ingredients=ingredients))
    training = {"split": {"train": [0], "validation": [], "test": [1]}, "settings": {}}
    save_model(folder / "relativistic.pt", changed, training=training, config={}, inputs=[])
    return folder / "relativistic.pt"


def test_bands_with_spin_orbit_coupling(folder, relativistic, tmp_path):
    out = tmp_path / "bands.json"
    common = ("--path", "GX", "--points", 3, "--out", out)
    run("bands", relativistic, RUTILE, *common)
    scalar = json.loads(out.read_text())
    said = run("bands", relativistic, RUTILE, "--spin-orbit", *common)
    document = json.loads(out.read_text())
    assert document["n_occupied"] == 2 * scalar["n_occupied"]
    assert "gap" in said
    energies = np.array(document["model_eV"]) + document["zero_eV"]
    # rutile has an inversion centre: pairs everywhere
    np.testing.assert_allclose(energies[:, ::2], energies[:, 1::2], atol=1e-9)
    before = np.array(scalar["model_eV"]) + scalar["zero_eV"]
    assert energies.shape == (3, 2 * before.shape[1])
    assert 1e-3 < np.abs(energies[:, ::2] - before)[:, :30].max() < 3.0
    # V_SO has no trace in the space of the orbitals
    predictor = load_predictor(relativistic)
    h, s = predictor.predict(cell())
    offsets = predictor.basis.orbital_offsets(cell().numbers)
    spinors = spinor_hamiltonian(predictor, cell(), h)
    gamma = np.zeros((1, 3))
    expected = scipy.linalg.eigvalsh(*(fold_spinor(m, offsets, gamma)[0] for m in (spinors, s)))
    np.testing.assert_allclose(energies[0], expected, atol=1e-9)


def test_spinors_of_dft_beside_the_models(folder, relativistic, tmp_path):
    frame = next(iter(read_frames(folder / "dataset.h5", [1])))
    predictor = load_predictor(relativistic)
    spinors = spinor_hamiltonian(predictor, frame.structure, frame.hamiltonian)
    again = scalar_part(replace(frame, hamiltonian=spinors))
    for key, blocks in frame.hamiltonian.values.items():
        np.testing.assert_allclose(again.hamiltonian.values[key], blocks, atol=1e-12)
    with pytest.raises(InputError, match="not the four of spinors"):
        scalar_part(frame)
    with pytest.raises(InputError, match="4 spin components already"):
        spinor_hamiltonian(predictor, frame.structure, spinors)
    bands = ("--spin-orbit", "--path", "GX", "--points", 2)
    assert "scalar relativistic" in told("bands", folder / "model.pt", RUTILE, *bands)
    assert "not the four of spinors" in told("bands", relativistic, "--on", folder / "dataset.h5", *bands)


def test_densities_of_states_of_spinors(folder, relativistic, tmp_path):
    out, cube, states = tmp_path / "dos.json", tmp_path / "x.cube", tmp_path / "states.csv"
    arguments = ["dos", relativistic, RUTILE, "--spin-orbit", "--width", 0.05, "--project", "element"]
    files = ["--cube", cube, "--state", "48", "--spacing", 0.25, "--states", states]
    said = run(*arguments, "--out", out, *files)
    document = json.loads(out.read_text())
    assert document["n_occupied"] == 48
    assert "180 states at each of 1 k points" in said
    energy, total = np.array(document["energy_eV"]), np.array(document["total"])
    below = energy < document["gap_eV"] / 2
    assert np.trapezoid(total[below], energy[below]) == pytest.approx(48, abs=1e-3)
    np.testing.assert_allclose(sum(map(np.array, document["projected"].values())), total, atol=1e-4)
    predictor = load_predictor(relativistic)
    h, s = predictor.predict(cell())
    offsets, gamma = predictor.basis.orbital_offsets(cell().numbers), np.zeros((1, 3))
    spinors = spinor_hamiltonian(predictor, cell(), h)
    expected = scipy.linalg.eigvalsh(*(fold_spinor(m, offsets, gamma)[0] for m in (spinors, s)))
    rows = list(csv.DictReader(states.read_text().splitlines()))
    found = [float(row["energy_eV"]) + document["zero_eV"] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # the two of a pair live on the same atoms; a pair is one level, and so its charge is that of both
    assert float(rows[48]["ipr"]) * float(rows[48]["atoms"]) == pytest.approx(1, rel=1e-4)
    assert "mean of 2 degenerate states" in said
    assert "norm 1.00" in said
    assert "scalar relativistic" in told("dos", folder / "model.pt", RUTILE, "--spin-orbit", "--out", out)
    assert "spin up of a model without spin" in told(*arguments, "--cube", cube, "--spin", "up")


def test_the_primitive_cell_of_a_conventional_one(folder, tmp_path):
    """Rutile repeated is not primitive: it is said, and --primitive goes back to six atoms."""
    write(tmp_path / "large.extxyz", cell().supercell((1, 1, 2)).to_ase())
    common = ("bands", folder / "model.pt", tmp_path / "large.extxyz", "--points", 3, "--path", "GX")
    out = tmp_path / "bands.json"
    assert "2 primitive cells of 6 atoms" in run(*common, "--out", out)
    assert "6 atoms" in run(*common, "--primitive", "--out", out).splitlines()[-2]


def test_density_of_states_and_its_parts(folder, tmp_path):
    out, states = tmp_path / "dos.json", tmp_path / "states.csv"
    mesh = ("--kpoints", 2, 2, 2, "--width", 0.1, "--project", "element")
    said = run("dos", folder / "model.pt", RUTILE, *mesh, "--out", out, "--states", states)
    document = json.loads(out.read_text())
    energy, total = np.array(document["energy_eV"]), np.array(document["total"])
    assert list(document["projected"]) == ["Ti", "O"]
    np.testing.assert_allclose(sum(map(np.array, document["projected"].values())), total, atol=1e-4)
    below = energy < document["gap_eV"] / 2
    assert np.trapezoid(total[below], energy[below]) == pytest.approx(48, abs=1e-3)
    assert "90 states at each of 8 k points" in said
    rows = list(csv.DictReader(states.read_text().splitlines()))
    assert len(rows) == 8 * 90
    vbm = max((row for row in rows if row["band"] == "23"), key=lambda row: float(row["energy_eV"]))
    assert float(vbm["energy_eV"]) == 0
    assert float(vbm["O"]) > 0.8
    assert float(vbm["ipr"]) * float(vbm["atoms"]) == pytest.approx(1, rel=1e-4)
    run("dos", folder / "model.pt", RUTILE, *mesh, "--out", tmp_path / "dos.csv", "--energies", -2, 3)
    table = np.loadtxt(tmp_path / "dos.csv", delimiter=",", skiprows=1)
    assert (table[0, 0], table[-1, 0]) == (-2, 3)
    near = np.interp(table[:, 0], energy, total)
    assert np.abs(table[:, 1] - near).max() < 0.02 * total.max()


@pytest.mark.parametrize("state", ["vbm", "cbm", "24"])
def test_charge_of_a_state(folder, tmp_path, state):
    out = tmp_path / "state.cube"
    mesh = ("--kpoints", 1, 1, 2, "--spacing", 0.2)
    said = run("dos", folder / "model.pt", RUTILE, *mesh, "--state", state, "--cube", out)
    with open(out) as stream:
        found = read_cube(stream)
    atoms, data = found["atoms"], found["data"]
    volume = atoms.get_volume() / BOHR_ANGSTROM**3 / data.size
    assert data.sum() * volume == pytest.approx(1, abs=0.01)
    assert f"norm {data.sum() * volume:.2f}" in said
    points = np.stack(np.meshgrid(*(np.arange(n) / n for n in data.shape), indexing="ij"), -1).reshape(-1, 3)
    apart = points[:, None] - atoms.get_scaled_positions()[None]
    distance = np.linalg.norm((apart - np.rint(apart)) @ atoms.cell.array, axis=2)
    near = {z: distance[:, atoms.numbers == z].min(axis=1) < 0.9 for z in (22, 8)}
    charge = {z: data.ravel()[near[z]].sum() * volume for z in near}
    # the upper valence bands are oxygen's, the lowest conduction band is titanium's
    assert charge[8 if state == "vbm" else 22] > 0.5
    assert charge[22 if state == "vbm" else 8] < 0.2


def test_too_coarse_a_mesh_is_told(folder, tmp_path):
    error = (
        CliRunner()
        .invoke(
            app,
            [
                *("dos", str(folder / "model.pt"), str(RUTILE), "--spacing", "1.5"),
                *("--cube", str(tmp_path / "x.cube"), "--state", "0"),
            ],
        )
        .exception
    )
    assert isinstance(error, ComputationError)
    assert "lower --spacing" in str(error)
    assert not (tmp_path / "x.cube").exists()


def test_bad_input_is_told_in_a_sentence(folder, tmp_path):
    model, out = folder / "model.pt", ("--out", tmp_path / "x.json")
    on = ("--on", folder / "dataset.h5")
    silicon = tmp_path / "si.extxyz"
    write(silicon, Structure(5 * np.eye(3), np.zeros((1, 3)), np.array([14])).to_ase())
    for command in ("bands", "dos"):
        assert "no element with atomic number 14" in told(command, model, silicon, *out)
        assert "0 valence electrons" in told(command, folder / "uncharged.pt", RUTILE, *out)
        assert "does not exist" in told(command, model, tmp_path / "none.vasp", *out)
        assert "n2amd states solve" in told(command, model, RUTILE, "--supercell", "4x4x4", *out)
        assert "'0x1x1' is not a supercell" in told(command, model, RUTILE, "--supercell", "0x1x1", *out)
    assert "no element with atomic number 14" in told("predict", model, silicon, "--out", tmp_path / "x")
    assert "no special point 'Q'" in told("bands", model, RUTILE, "--path", "G-Q", *out)
    assert "there is no structure" in told("bands", model, *out)
    assert "that of its own cell" in told("bands", model, *on, "--primitive", *out)
    assert "there is no frame 'x'" in told("bands", model, *on, "--frame", "x", *out)
    assert "'x' is no number" in told("bands", model, RUTILE, "--frame", "x", *out)
    assert ".json or .csv" in told("bands", model, RUTILE, "--out", tmp_path / "x.txt")
    assert "'top' is no state" in told("dos", model, RUTILE, "--state", "top", "--cube", tmp_path / "x.cube")
    assert "no band 90" in told("dos", model, RUTILE, "--state", "90", "--cube", tmp_path / "x.cube")
    assert "no file for its charge" in told("dos", model, RUTILE, "--state", "vbm", *out)
    assert "Gaussians of 0 eV" in told("dos", model, RUTILE, "--width", 0, *out)
    assert "k points" in told("dos", model, RUTILE, "--kpoints", 0, 1, 1, *out)
    assert "the lower one first" in told("dos", model, RUTILE, "--energies", 2, 1, *out)
