"""Collinear spins in the network: the second head, charge states, from a data set to a judgement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from conftest_network import add_to_last_layers
from test_density_model import SHELLS, network, shaken

from n2amd.blocks.matrix import fold, spin_channel
from n2amd.commands.model_bands import predicted_frame
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.states import CHANNELS
from n2amd.dataset.statistics import describe
from n2amd.dataset.store import create_dataset, read_frames
from n2amd.dft.deeph.frame import read_frame as read_deeph
from n2amd.errors import InputError
from n2amd.ingestion.kpoints_like import kpoints_like
from n2amd.interop.deeph import write_deeph_frame
from n2amd.interop.npz import write_npz
from n2amd.network.charge_states import ChargeState, ChargeStates
from n2amd.network.density_data import fit_frame
from n2amd.network.density_files import densities_of
from n2amd.network.doubt import DensityDoubt, n_weights, weight_changes
from n2amd.network.evaluation import report
from n2amd.network.ewald import FieldWaves
from n2amd.network.graph import build_graph
from n2amd.network.hamiltonian_gradient import hamiltonian_gradients
from n2amd.network.one_pass import predict_density
from n2amd.network.predict import load_predictor
from n2amd.network.rebuilt_frames import rebuild
from n2amd.network.selection import doubt_of_frames
from n2amd.network.stored_densities import read_density_electrons, require_one_kind, with_exact_states
from n2amd.network.training import train
from n2amd.structure import Structure

SETTINGS = HamiltonianSettings(preset="test", density_steps=40, validation_fraction=0.2, test_fraction=0.2)
SI2 = Path(__file__).parents[1] / "data" / "honpas-si2" / "frame_0000"


def with_spin(seed: int = 0):
    model = network(seed, spin=True)
    rng = np.random.default_rng(seed + 1)
    model.fit_scales({z: rng.normal(size=(50, model.auxiliary.n_functions(z))) for z in SHELLS}, "magnetic_")
    return model.eval()


def predict(model, structure: Structure, excess: float, moment: float | None) -> torch.Tensor:
    graph = build_graph(structure, (8, 22), 4.0, {}, torch.float32)
    with torch.no_grad():
        return model.coefficients(graph, [FieldWaves.of(structure)], [excess], [moment])[0]


@pytest.mark.parametrize("moment", [1.0, 2.0, -1.0, 0.0])
def test_electrons_and_moment_are_exact(rutile, moment):
    structure, model = shaken(rutile), with_spin()
    charges = torch.from_numpy(model.auxiliary.charges_of(structure.numbers))
    found = predict(model, structure, -1.0, moment)
    torch.testing.assert_close(found @ charges, torch.tensor([-1.0, moment], dtype=torch.float64))


def test_both_channels_change_places_with_the_sign_of_the_moment(rutile):
    structure, model = shaken(rutile), with_spin()
    up, down, none = (predict(model, structure, -1.0, moment) for moment in (1.0, -1.0, 0.0))
    assert torch.equal(up[0], down[0])
    assert torch.equal(up[1], -down[1])
    assert up[1].abs().max() > 0.1
    assert not none[1].any()
    assert torch.equal(none[0], up[0])
    assert torch.equal(predict(model, structure, -1.0, None), up[0])


def test_the_density_is_that_of_a_network_without_spin(rutile):
    structure = shaken(rutile)
    graph = build_graph(structure, (8, 22), 4.0, {}, torch.float32)
    plain, spin = network(3), with_spin(3)
    assert "spin" not in plain.architecture.to_dict()
    with torch.no_grad():
        alone = plain.coefficients(graph, [FieldWaves.of(structure)])[0]
    assert torch.equal(alone, predict(spin, structure, 0.0, 0.0)[0])


def test_changes_of_the_magnetisation_are_those_of_a_network_with_other_weights(rutile):
    structure, model = shaken(rutile), with_spin()
    inputs = build_graph(structure, (8, 22), 4.0, {}, torch.float32), FieldWaves.of(structure)
    changes = torch.randn(1, n_weights(model), generator=torch.Generator().manual_seed(3))
    up, down, none = (weight_changes(model, *inputs, changes, m)[:, 0] for m in (1.0, -1.0, 0.0))
    assert torch.equal(up, -down)
    assert not none.any()
    before = predict(model, structure, -1.0, 1.0)
    add_to_last_layers([model.magnetic[str(z)].second for z in model.numbers], changes[0])
    after = predict(model, structure, -1.0, 1.0)
    assert torch.equal(after[0], before[0])
    assert (after[1] - before[1] - up).abs().max() < 1e-5 * up.abs().max()


def numbers(**atoms: int) -> np.ndarray:
    return np.repeat([{"O": 8, "Ti": 22, "N": 7}[name] for name in atoms], list(atoms.values()))


def test_larger_cells_have_the_charge_of_the_defect_they_hold():
    vacancy, crystal = ChargeState(-1.0, 1.0), ChargeState(0.0)
    cells = [("a", numbers(O=31, Ti=16), vacancy), ("b", numbers(O=12, Ti=6), crystal)]
    states = ChargeStates.from_document(ChargeStates.of(cells, spin=True).to_document())
    assert states.state_of(numbers(O=31, Ti=16)) == vacancy
    assert states.state_of(numbers(O=71, Ti=36)) == vacancy
    assert states.state_of(numbers(O=96, Ti=48)) == ChargeState(0.0, 0.0)
    with pytest.raises(InputError, match=r"the charge of O30 Ti16 is unknown: .*O31 Ti16: a charge of 1 and"):
        states.state_of(numbers(O=30, Ti=16))
    states.require(numbers(O=12, Ti=6), crystal, "frame")
    with pytest.raises(InputError, match=r"a charge of 2, but the model was trained for a charge of 1 and a"):
        states.require(numbers(O=31, Ti=16), ChargeState(-2.0), "frame")
    assert not states.plain
    assert ChargeStates.of(cells[1:], spin=False).plain


def test_two_charges_of_the_same_atoms_are_refused():
    cells = [
        ("first", numbers(O=31, Ti=16), ChargeState(-1.0, 1.0)),
        ("second", numbers(O=31, Ti=16), ChargeState()),
    ]
    with pytest.raises(
        InputError, match=r"a charge of 0, but cells of the same atoms before it have a charge of 1"
    ):
        ChargeStates.of(cells, spin=True)


def test_a_network_of_a_charged_magnet_is_judged_spin_by_spin(ions):
    predictor = load_predictor(ions / "model.pt")
    frames = list(read_frames(ions / "d.h5"))
    assert frames[0].fixed_moment == 1
    assert frames[0].fermi_level is None
    assert predictor.n_spin == 2
    assert predictor.states.state_of(frames[0].structure.numbers) == ChargeState(-1.0, 1.0)
    history = predictor.training["history"]["density"]
    assert len(history["magnetisation_unexplained"]) == 2
    assert history["loss"][-1] < history["loss"][0]
    h = predictor.hamiltonian(frames[0].structure)
    assert h.n_spin == 2
    document = report(predictor, frames)
    assert document["test"]["n_frames"] == 5
    assert [row["spin"] for row in document["by_spin"]] == ["up", "down"]
    assert [(row["name"], row["spin"]) for row in document["frames"][:2]] == [
        ("ion 0", "up"),
        ("ion 0", "down"),
    ]
    bands = [[level["band"] for level in row["levels"]] for row in document["frames"][:2]]
    assert bands == [[3, 4, 5, 6], [2, 3, 4, 5]]
    # spin down lies higher, in the network's H as in the frames'
    own = [np.diagonal(m.values[14, 14][:, :2], axis1=2, axis2=3) for m in (frames[0].hamiltonian, h)]
    split = [float(np.mean(values[1] - values[0])) for values in own]
    assert split[0] > 0.1
    assert split[1] == pytest.approx(split[0], rel=0.3)


def test_channels_change_places_with_the_sign_of_the_moment_in_float64(ions):
    """H of both channels, eV, of a moment and of the opposite one."""
    predictor = load_predictor(ions / "model.pt").in_double_precision()
    structure, zeroth = next(read_frames(ions / "d.h5")).structure, predictor.model.zeroth
    up, down = (
        zeroth.matrix(structure, predict_density(predictor.model.density, structure, ChargeState(-1.0, m)))
        for m in (1.0, -1.0)
    )
    for key, blocks in up.values.items():
        np.testing.assert_allclose(blocks[::-1], down.values[key], rtol=0, atol=1e-10)
    assert max(np.abs(blocks[0] - blocks[1]).max() for blocks in up.values.values()) > 0.1


def test_every_channel_has_its_doubt(ions):
    predictor = load_predictor(ions / "model.pt")
    frames = list(read_frames(ions / "d.h5"))
    structure, model = frames[4].structure, predictor.model
    # of a local functional, so that the kernel is its own
    local = replace(model.zeroth, ingredients=replace(model.zeroth.ingredients, functional="LDA"))
    predictor = replace(predictor, model=replace(model, zeroth=local))
    draws, mean = predictor.draws(structure), predictor.density(structure)
    charges = local.model.auxiliary.charges_of(structure.numbers)
    np.testing.assert_allclose(draws @ charges, np.tile([-1.0, 1.0], (len(draws), 1)), atol=1e-9)
    offsets = predictor.basis.orbital_offsets(structure.numbers)
    h, s = predictor.predict(structure)
    gamma, step = np.zeros(3), 0.001
    found = []
    for spin, channel in enumerate(CHANNELS):
        vectors = scipy.linalg.eigh(fold(h, offsets, gamma, spin).real, fold(s, offsets, gamma).real)[1]
        vectors = vectors[:, 1:6]
        elements = predictor.doubt_elements(structure, vectors, spin=channel)
        found.append(elements)
        for drawn, changes in zip(draws[:2], elements):
            ends = (local.matrix(structure, mean + way * step * (drawn - mean)) for way in (1, -1))
            after, before = (fold(matrix, offsets, gamma, spin).real for matrix in ends)
            expected = vectors.T @ (after - before) @ vectors / (2 * step)
            assert np.linalg.norm(changes - expected) < 0.15 * np.linalg.norm(expected)
    assert np.abs(found[0] - found[1]).max() > 0.1 * np.abs(found[0]).max()
    predictor = load_predictor(ions / "model.pt")
    document = report(predictor, frames)
    assert len(document["doubt"]["frames"]) == 10
    assert predictor.usual_spread > 0
    again = DensityDoubt.from_dict(predictor.doubt.to_dict())
    assert again.noises == predictor.doubt.noises
    assert len(again.noises) == 2
    grams = doubt_of_frames(predictor, [f.structure for f in frames], ions / "d.h5")
    assert np.all(np.linalg.eigvalsh(grams)[:, -1] > 0)


def test_what_knows_no_spin_says_so(ions):
    predictor = load_predictor(ions / "model.pt")
    structure = next(read_frames(ions / "d.h5")).structure
    with pytest.raises(InputError, match=r"derivatives of H: not known for a model with collinear spins"):
        hamiltonian_gradients(predictor, structure, [])


def test_frames_of_another_charge_or_kind_of_spin_are_refused(ions, tmp_path):
    predictor = load_predictor(ions / "model.pt")
    frame = next(read_frames(ions / "d.h5"))
    doubly = replace(frame, charge=2.0, n_electrons=6.0, fixed_moment=0.0)
    with pytest.raises(InputError, match=r"a charge of 2 and a total spin of 0, but the model was trained"):
        report(predictor, [doubly])
    plain = replace(frame, hamiltonian=spin_channel(frame.hamiltonian, 0), fixed_moment=None)
    with pytest.raises(InputError, match=r"7 electrons, an odd number, in a run without spin"):
        report(predictor, [plain])
    basis = predictor.basis
    with create_dataset(tmp_path / "mixed.h5", code="honpas") as writer:
        writer.append(frame, basis, {})
        with pytest.raises(InputError, match=r"1 spin components, the frames before have 2"):
            writer.append(plain, basis, {})


def test_pairs_know_no_spin(ions, tmp_path):
    settings = HamiltonianSettings(
        preset="test", model="density+pair", validation_fraction=0.2, test_fraction=0.2
    )
    with pytest.raises(
        InputError, match=r"collinear spins need a learned density, and the model is density\+pair"
    ):
        train(ions / "d.h5", settings, tmp_path / "m.pt", tmp_path, lambda *told: None)


def test_electrons_must_be_those_of_atoms_and_charge(ions, tmp_path):
    frames, basis = list(read_frames(ions / "d.h5")), load_predictor(ions / "model.pt").basis
    with create_dataset(tmp_path / "d.h5", code="honpas") as writer:
        for frame in frames:
            writer.append(replace(frame, charge=-1.0), basis, {})
    with pytest.raises(InputError, match=r"7 electrons; its atoms and a charge of -1 make 9"):
        train(tmp_path / "d.h5", SETTINGS, tmp_path / "m.pt", tmp_path, lambda *told: None)


def test_a_data_set_is_rebuilt_from_densities_with_spins(ions, tmp_path):
    densities, again = tmp_path / "densities.h5", tmp_path / "again.h5"
    assert densities_of(ions / "d.h5", densities, None, None, lambda *told: None) == 5
    (name, numbers, excess, moment), *_ = read_density_electrons(densities)
    assert (name, excess, moment) == ("ion 0", -1.0, 1.0)
    kpoints = kpoints_like(ions / "d.h5")
    assert rebuild(densities, ions / "d.h5", again, kpoints) == 5
    for frame, found in zip(read_frames(ions / "d.h5"), read_frames(again)):
        assert np.array_equal(numbers, frame.structure.numbers)
        assert (found.charge, found.fixed_moment, found.fermi_level) == (1.0, 1.0, None)
        assert (found.energy, found.forces) == (None, None)
        assert found.origin["smearing"] == frame.origin["smearing"]
    # they train as the frames themselves do; as further densities, which are of closed shells, they do not
    train(again, SETTINGS, tmp_path / "m.pt", tmp_path / "w", lambda *told: None)
    assert load_predictor(tmp_path / "m.pt").states.state_of(numbers) == ChargeState(-1.0, 1.0)
    with pytest.raises(InputError, match=r"it has spins, and further densities are of closed shells"):
        train(ions / "d.h5", SETTINGS, tmp_path / "n.pt", tmp_path / "v", lambda *told: None, None, densities)


def test_stored_states_of_both_spins_are_those_of_the_frame(ions):
    """A stored density has the frame's elements between states to first order, electrons and moment."""
    frame = next(read_frames(ions / "d.h5"))
    zeroth = load_predictor(ions / "model.pt").model.zeroth
    fitted = fit_frame(frame, zeroth, 4.0)
    charges = zeroth.model.auxiliary.charges_of(frame.structure.numbers)
    found = with_exact_states(fitted, charges)
    np.testing.assert_allclose(found @ charges, [-1.0, 1.0], atol=1e-9)
    errors = [
        float(fitted.sample.state_errors(torch.from_numpy(c)).square().mean().sqrt())
        for c in (fitted.coefficients, found)
    ]
    assert errors[1] < 0.2 * errors[0]


def test_rebuilt_frames_are_of_one_kind_of_spin():
    with pytest.raises(InputError, match=r"with spins, the frames before it without"):
        require_one_kind({"a": False, "b": True})


def test_info_tells_electrons_of_spins_and_charge(ions):
    entries = describe(ions / "d.h5")
    assert (entries["electrons"], entries["charge"]) == ("7", "+1")
    assert "4 up, 3 down" in entries["spin"]


def test_predicted_frames_have_both_spins(ions, tmp_path):
    predictor = load_predictor(ions / "model.pt")
    structure = next(read_frames(ions / "d.h5")).structure
    frame = predicted_frame(predictor, structure, "ion")
    assert (frame.n_electrons, frame.charge, frame.fixed_moment) == (7, 1, 1)
    write_deeph_frame(tmp_path / "deeph", frame, predictor.basis)
    back, _ = read_deeph(tmp_path / "deeph")
    assert back.hamiltonian.n_spin == 2
    with pytest.raises(InputError, match=r"an archive holds H without spin"):
        write_npz(tmp_path / "ion.npz", frame, predictor.basis)
