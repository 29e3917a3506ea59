"""Errors split and judged: on toy matrices whose errors are known, on real frames with faults put in."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from n2amd.blocks.matrix import BlockMatrix, PairIndex, add_overlap
from n2amd.blocks.zone_corners import INVARIANT
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.network import element_errors
from n2amd.network.cells import TrainingCells
from n2amd.network.charge_states import NEUTRAL
from n2amd.network.element_errors import Elements
from n2amd.network.evaluation import report, unseen
from n2amd.network.spectrum_errors import compare_spectra
from n2amd.orbitals.two_centre import OverlapTable

TIO2 = Path(__file__).resolve().parents[2] / "resources" / "tio2-honpas" / "TiO2_6_train"


@dataclass
class Predictor:
    """DFT's own H of known frames, as a network would give it, with faults."""

    frames: list
    basis: Any
    table: Any
    ranges: dict
    shift: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)
    doubt: Any = None
    n_spin: int = 1
    states: Any = NEUTRAL

    def hamiltonian(self, structure):
        for frame in self.frames:
            if frame.structure is structure:
                return add_overlap(frame.hamiltonian, frame.overlap, self.shift.get(frame.name, 0.0))
        raise AssertionError("a geometry that is none of the frames")


@pytest.fixture(scope="module")
def tio2():
    read = [read_frame(TIO2 / f"frame_{k:04d}") for k in (0, 1, 2)]
    return [frame for frame, _ in read], read[0][1]


@pytest.fixture
def predictor(tio2):
    frames, basis = tio2
    return Predictor(
        frames, basis, OverlapTable.from_basis(basis), {(8, 8): 6.0, (8, 22): 6.0, (22, 22): 6.5}
    )


def kinds(document):
    return [finding["kind"] for finding in document["diagnosis"]]


def test_a_perfect_prediction_has_no_error_and_no_fault(predictor):
    cells = TrainingCells.of_structures([f.structure for f in predictor.frames[:1]])
    document = report(predictor, predictor.frames[1:], cells=cells)
    test = document["test"]
    assert test["mae_meV"] < 1e-9
    assert test["gap_max_error_meV"] < 1e-6
    assert test["window_weight_worst"] == pytest.approx(1, abs=1e-9)
    assert test["window_angle_worst_degrees"] < 0.01
    assert test["dos_error_worst"] < 1e-9
    assert test["false_states"] == 0
    assert test["nearly_empty_model_eV"] == pytest.approx(test["nearly_empty_dft_eV"])
    assert 40 < test["nearly_empty_dft_eV"] < 80
    assert [row["n_atoms"] for row in document["by_cell"]] == [6]
    assert document["by_cell"][0]["larger_than_trained"] is False
    # one training frame: the only fault there is
    assert kinds(document) == ["too little data", "small cells"]
    json.dumps(document, default=np.ndarray.tolist)


def test_another_energy_zero_is_aligned_and_a_jump_of_it_is_said(predictor):
    predictor.shift = {frame.name: 3.0 for frame in predictor.frames}
    document = report(predictor, predictor.frames)
    assert document["test"]["mae_meV"] < 1e-9
    assert document["test"]["mae_raw_meV"] > 10
    assert "gauge" not in kinds(document)
    predictor.shift[predictor.frames[1].name] = 1.0
    (found,) = (f for f in report(predictor, predictor.frames)["diagnosis"] if f["kind"] == "gauge")
    assert found["figure"] == pytest.approx(2000)
    assert predictor.frames[1].name in found["sentence"]


def test_a_range_cut_too_short_is_said(predictor):
    frame = predictor.frames[0]
    predictor.ranges = {**predictor.ranges, (8, 22): 2.5}
    index = frame.hamiltonian.pairs[8, 22]
    distance = np.linalg.norm(index.vectors(frame.structure), axis=1)
    largest = np.abs(frame.hamiltonian.values[8, 22][0, distance >= 2.5]).max()
    (found,) = (f for f in report(predictor, [frame])["diagnosis"] if f["kind"] == "range")
    assert found["figure"] == pytest.approx(1e3 * largest)


class WrongTable:
    """Two-centre tables that are off by a factor."""

    def __init__(self, table, factor):
        self.table, self.factor, self.ranges = table, factor, table.ranges

    def evaluate(self, key, vectors):
        return self.factor * self.table.evaluate(key, vectors)


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_an_overlap_that_is_not_dfts_is_said(predictor, factor):
    predictor.table = WrongTable(predictor.table, factor)
    found = [f for f in report(predictor, predictor.frames[:1])["diagnosis"] if f["kind"] == "overlap"]
    assert len(found) == (factor != 1)
    if found:
        assert found[0]["figure"] == pytest.approx(1e-3, rel=0.1)


def test_errors_are_split_by_site_element_pair_and_shell(tio2):
    frames, basis = tio2
    frame = frames[0]
    size = {"on": {8: 0.001, 22: 0.002}, "off": {(8, 8): 0.0003, (8, 22): 0.0005, (22, 22): 0.0007}}
    values = {}
    for key, index in frame.hamiltonian.pairs.items():
        step = np.where(index.on_site, size["on"][key[0]], size["off"][key])
        values[key] = frame.hamiltonian.values[key] + step[None, :, None, None]
    wrong = frame.hamiltonian.map(values)
    ranges = dict.fromkeys(size["off"], 4.0)
    elements = Elements.of_frame(frame, wrong, wrong, basis, ranges)
    rows = {row["element"]: row for row in element_errors.by_element(elements, basis)}
    assert (rows["O"]["mae_meV"], rows["Ti"]["mae_meV"]) == pytest.approx((1, 2))
    n_o, n_ti = (basis[z].n_orbitals ** 2 * n for z, n in ((8, 4), (22, 2)))
    assert (rows["O"]["n"], rows["Ti"]["n"]) == (n_o, n_ti)
    on, off = element_errors.by_site(elements)
    assert on["mae_meV"] == pytest.approx((n_o + 2 * n_ti) / (n_o + n_ti))
    assert on["rms_meV"] == pytest.approx(np.sqrt((n_o + 4 * n_ti) / (n_o + n_ti)))
    assert off["max_meV"] == pytest.approx(0.7)
    pairs = {row["pair"]: row["mae_meV"] for row in element_errors.by_species_pair(elements, basis)}
    assert pairs == pytest.approx({"O-O": 0.3, "O-Ti": 0.5, "Ti-Ti": 0.7})
    shells = {(r["pair"], r["shells"]): r for r in element_errors.by_shell_pair(elements, basis)}
    assert shells["O-O", "s-p"]["on_site_mae_meV"] == pytest.approx(1)
    assert shells["O-Ti", "p-d"]["on_site_mae_meV"] is None
    assert shells["O-Ti", "p-d"]["off_site_mae_meV"] == pytest.approx(0.5)
    assert sum(row["n"] for row in shells.values()) == on["n"] + off["n"] == len(elements.dft)
    by_distance = element_errors.by_distance(elements)
    assert by_distance[0]["distance_A"] == 0
    assert by_distance[0]["n"] == on["n"]
    assert by_distance[-1]["distance_A"] < 4


def one_atom(matrix):
    """A matrix of one atom that no image sees: the same at every k point."""
    index = PairIndex(np.array([0]), np.array([0]), np.zeros((1, 3), dtype=np.int64))
    return BlockMatrix({(1, 1): index}, {(1, 1): np.asarray(matrix, dtype=float)[None, None]})


def crystal(energies, metric, seed=0):
    """H and S with these eigenvalues, and the eigenvectors."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(energies),) * 2))[0]
    s = q @ np.diag(metric) @ q.T
    c = q @ np.diag(np.asarray(metric) ** -0.5)
    return s @ c @ np.diag(energies) @ c.T @ s, s, c


ENERGIES = np.array([-4.0, -3.0, -1.0, 0.0, 2.0, 3.0, 4.0, 6.0])


def compare(h, model, s, n_occupied=4):
    return compare_spectra(
        one_atom(h), one_atom(model), one_atom(s), np.array([0, len(s)]), n_occupied, 5 * np.eye(3)
    )


def test_a_scissor_moves_edges_and_leaves_states():
    h, s, c = crystal(ENERGIES, np.linspace(0.5, 2, 8))
    shifted = h + 0.3 * s @ c[:, 4:] @ c[:, 4:].T @ s
    found = compare(h, shifted, s)
    assert found.edges_dft == pytest.approx((0, 2))
    assert found.edges_model == pytest.approx((0, 2.3))
    np.testing.assert_allclose(found.window.energy, [0, 0, 0.3, 0.3], atol=1e-9)
    np.testing.assert_allclose(found.window.weight, 1, atol=1e-9)
    assert found.false_states == 0
    assert found.nearly_empty_dft is None
    assert found.n_kpoints == len(INVARIANT)


def test_dos_error_of_a_scissor_is_the_share_of_moved_states():
    h, s, c = crystal(ENERGIES, np.ones(8))
    # far beyond the broadening: what was there is gone and comes again elsewhere; 7 states lie inside
    inside = ((ENERGIES > -5) & (ENERGIES < 7)).sum()
    found = compare(h, h + 1.5 * s @ c[:, 3:4] @ c[:, 3:4].T @ s, s)
    assert found.dos_error == pytest.approx(2 / inside, rel=1e-3)


def test_mixed_states_have_the_angle_they_were_turned_by():
    h, s, c = crystal(ENERGIES, np.linspace(0.5, 2, 8))
    angle = np.radians(20)
    # CBM turned towards the highest conduction state, beyond the margin of the window
    turned = c.copy()
    turned[:, 4] = np.cos(angle) * c[:, 4] + np.sin(angle) * c[:, 0]
    turned[:, 0] = np.cos(angle) * c[:, 0] - np.sin(angle) * c[:, 4]
    found = compare(h, s @ turned @ np.diag(ENERGIES) @ turned.T @ s, s)
    assert found.window.angle == pytest.approx(20)
    assert found.window.weight[2] == pytest.approx(np.cos(angle) ** 2)
    assert found.window.overlap[2] == pytest.approx(np.cos(angle) ** 2)
    assert found.window.weight[3] == pytest.approx(1)


def test_degenerate_states_on_both_sides_of_no_gap_may_mix():
    """Without a gap the two edge states are any two combinations of each other; with one they are not."""
    for gap, weight in ((1e-4, 1.0), (0.5, 0.5)):
        levels = np.array([-4.0, -3.0, -1.0, 0.0, gap, 3.0, 4.0, 6.0])
        h, s, c = crystal(levels, np.linspace(0.5, 2, 8))
        turned = c.copy()
        turned[:, 3] = (c[:, 3] + c[:, 4]) / np.sqrt(2)
        turned[:, 4] = (c[:, 4] - c[:, 3]) / np.sqrt(2)
        found = compare(h, s @ turned @ np.diag(levels) @ turned.T @ s, s)
        np.testing.assert_allclose(found.window.weight, [1, weight, weight, 1], atol=1e-9)


def test_edges_at_the_corner_of_a_hexagonal_zone_are_seen():
    """Two sites of a honeycomb net, hopping t and staggered by d: gap 2d at K, 2 sqrt(d^2 + t^2) at M."""
    d = 0.05

    def net(t):
        j, shifts = np.array([1, 1, 1, 0, 1]), np.array([[0, 0], [-1, 0], [0, -1], [0, 0], [0, 0]])
        index = PairIndex(np.array([0, 0, 0, 0, 1]), j, np.pad(shifts, ((0, 0), (0, 1))))
        return BlockMatrix({(1, 1): index}, {(1, 1): np.array([t, t, t, -d, d]).reshape(1, 5, 1, 1)})

    index = PairIndex(np.array([0, 1]), np.array([0, 1]), np.zeros((2, 3), dtype=np.int64))
    s = BlockMatrix({(1, 1): index}, {(1, 1): np.ones((1, 2, 1, 1))})
    for angle in (60, 120):
        cell = np.diag([1.0, 1.0, 6.0])
        cell[1, :2] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        dft, model = (net(t) for t in (1.0, 1.1))
        if angle == 120:  # the second axis reversed: the neighbours are elsewhere
            dft, model = (
                BlockMatrix({(1, 1): PairIndex(p.i, p.j, p.shift * [1, -1, 1])}, m.values)
                for m in (dft, model)
                for p in [m.pairs[1, 1]]
            )
        found = compare_spectra(dft, model, s, np.array([0, 1, 2]), 1, cell)
        assert found.edges_dft == pytest.approx((-d, d))
        assert found.edges_model == pytest.approx((-d, d))


def test_a_nearly_empty_direction_that_falls_into_the_gap_is_counted():
    h, s, c = crystal(np.append(ENERGIES, 60.0), np.append(np.linspace(0.5, 2, 8), 1e-4))
    fallen = h + (1.0 - 60.0) * s @ c[:, 8:] @ c[:, 8:].T @ s
    found = compare(h, fallen, s)
    assert found.nearly_empty_dft == pytest.approx(60)
    assert found.nearly_empty_model == pytest.approx(1)
    assert found.false_states == found.false_states_in_gap == len(INVARIANT)
    high = compare(h, h + (5.0 - 60.0) * s @ c[:, 8:] @ c[:, 8:].T @ s, s)
    assert (high.false_states, high.false_states_in_gap) == (len(INVARIANT), 0)
    assert compare(h, h, s).false_states == 0


def test_frames_of_training_are_never_judged(tio2):
    frames, _ = tio2
    cells = TrainingCells.of_structures([frames[0].structure], [frames[1].structure])
    again = replace(frames[2], name="another data set's name")
    assert [f.name for f in unseen([*frames, again], cells)] == [frames[2].name]


def test_frames_of_other_material_are_refused(predictor):
    frame = predictor.frames[0]
    numbers = frame.structure.numbers.copy()
    numbers[0] = 40
    strange = replace(frame, structure=replace(frame.structure, numbers=numbers))
    with pytest.raises(InputError, match="not atomic number 40"):
        report(predictor, [strange])
    with pytest.raises(InputError, match="no frame is left"):
        report(predictor, [])


def test_command_judges_other_data_sets(predictor, tmp_path, monkeypatch):
    frames = predictor.frames
    predictor.training = {
        "split": {"train": [0], "validation": [], "test": [1]},
        **{"history": {}, "settings": {}, "seed": 1, "n_parameters": 1, "cpu_seconds": 1.0},
    }
    stub = types.ModuleType("n2amd.network.predict")
    stub.load_predictor = lambda path: predictor
    monkeypatch.setitem(sys.modules, "n2amd.network.predict", stub)
    held = {"a.h5": frames[:2], "b.h5": frames}

    def read_frames(path, indices=None):
        every = held[Path(path).name]
        return iter(every if indices is None else [every[k] for k in indices])

    monkeypatch.setattr("n2amd.dataset.store.read_frames", read_frames)
    for name in ("a.h5", "b.h5", "model.pt"):
        (tmp_path / name).write_bytes(b"")
    from n2amd.commands.hamiltonian import app

    def judged(*options):
        out = tmp_path / "h.json"
        arguments = ["--dataset", tmp_path / "a.h5", "--model", tmp_path / "model.pt", "--out", out, *options]
        done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=False)
        assert "6 atoms" in done.output
        assert "small cells" in done.output
        return [row["name"] for row in json.loads(out.read_text())["frames"]]

    assert judged() == [frames[1].name]
    assert judged("--on", tmp_path / "b.h5") == [frames[1].name, frames[2].name]
    assert judged("--on", tmp_path / "b.h5", "--on", tmp_path / "a.h5") == [frames[1].name, frames[2].name]
