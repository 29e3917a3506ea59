from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_network import RANGES, random_network

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.baseline.model_density import ModelDensity
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import BlockMatrix, PairIndex, add_overlap, fold, gauge_shift
from n2amd.blocks.pairs import find_pairs
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.errors import ComputationError, InputError
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import AtomIngredients, Ingredients, Projector
from n2amd.network import pair_training
from n2amd.network.checkpoint import HamiltonianModel, load_model, load_state, save_model
from n2amd.network.data import Targets, align_gauge, hamiltonian_ranges, make_sample
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.doubt import DensityDoubt, n_weights
from n2amd.network.graph import build_graph
from n2amd.network.loop import learning_rate
from n2amd.network.presets import PRESETS
from n2amd.network.ranks import ALONE
from n2amd.network.reference_fit import fit_reference, residual_targets
from n2amd.network.state_loss import solve_states, state_error
from n2amd.network.trainer import PairTrainer
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.structure import Structure


def synthetic_frame(basis, structure, seed, range_=None):
    """Frame with smooth, made-up matrices (not covariant: only bookkeeping is tested with it)."""
    rng = np.random.default_rng(7)  # the law is the same for every frame
    shaken = structure.with_positions(
        structure.positions + np.random.default_rng(seed).normal(scale=0.08, size=structure.positions.shape)
    )
    pairs = find_pairs(shaken, range_ or RANGES, half=True)
    h, s = {}, {}
    for (a, b), index in pairs.items():
        shape = (basis[a].n_orbitals, basis[b].n_orbitals)
        law, small = rng.normal(size=shape), rng.normal(size=shape)
        on = rng.normal(size=(basis[a].n_orbitals,) * 2)
        distance = np.linalg.norm(index.vectors(shaken), axis=1)
        decay = (
            np.exp(-distance)[:, None, None] * (1 - distance / (range_ or RANGES)[a, b])[:, None, None] ** 2
        )
        h[a, b], s[a, b] = decay * law, 0.05 * decay * small
        for site in np.flatnonzero(index.on_site):
            h[a, b][site], s[a, b][site] = on + on.T - 5 * np.eye(shape[0]), np.eye(shape[0])
        h[a, b], s[a, b] = h[a, b][None], s[a, b][None]
    return Frame(f"synthetic {seed}", shaken, BlockMatrix(pairs, h), BlockMatrix(pairs, s), 16.0)


@pytest.fixture
def frames(basis, rutile):
    return [synthetic_frame(basis, rutile, seed) for seed in range(4)]


def samples_of(model, frames):
    return [make_sample(f, model.numbers, 4.0, RANGES) for f in frames]


def remade_by(model, sample):
    """The sample with the blocks that the model's reference gives."""
    with torch.no_grad():
        parts = model(sample.graph, correct=False)
    return replace(sample, targets=Targets(*({k: b.double() for k, b in part.items()} for part in parts)))


def trainer_for(basis, frames, workdir, ranks=ALONE, **schedule):
    preset = replace(PRESETS["test"], **{"steps": 6, "band_steps": 4, "validate_every": 5, **schedule})
    model = random_network(basis, channels=(4, 3, 2, 1, 1))
    samples = samples_of(model, frames)
    fit_reference(model, samples[:3])
    return PairTrainer(
        model,
        samples[:3],
        samples[3:],
        preset,
        band_weight=1.0,
        seed=3,
        checkpoint=workdir / "checkpoint.pt",
        fingerprint="same",
        ranks=ranks,
    )


def test_resumed_training_gives_the_same_bits(basis, frames, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trainer_for(basis, frames, tmp_path / "a")
    whole.run(lambda history: None)

    class KilledError(Exception):
        pass

    def kill(history):
        raise KilledError

    with pytest.raises(KilledError):
        trainer_for(basis, frames, tmp_path / "b").run(kill)
    resumed = trainer_for(basis, frames, tmp_path / "b")
    assert resumed.resume()
    assert resumed.step == 5
    resumed.run(lambda history: None)
    assert resumed.history == whole.history
    for (name, a), (_, b) in zip(whole.model.named_parameters(), resumed.model.named_parameters()):
        assert torch.equal(a, b), name


def test_checkpoint_of_other_settings_is_left_alone(basis, frames, tmp_path):
    trainer = trainer_for(basis, frames, tmp_path)
    trainer.save()
    other = trainer_for(basis, frames, tmp_path)
    other.fingerprint = "another"
    assert not other.resume()


def test_training_lowers_the_loss(basis, frames, tmp_path):
    trainer = trainer_for(basis, frames, tmp_path)
    with torch.no_grad():  # something learnable: what another network of the same kind would say
        teacher = random_network(basis, seed=9, channels=(4, 3, 2, 1, 1))
        trainer.residuals = [
            Targets(*teacher.correction(s.graph)) for s in [*trainer.train, *trainer.validation]
        ]
    trainer.preset = replace(trainer.preset, steps=60, band_steps=0, validate_every=20)
    trainer.schedule = trainer.preset.schedule
    trainer.run(lambda history: None)
    assert trainer.history.loss[-1] < 0.6 * trainer.history.loss[0]


def test_what_no_training_frame_tells_is_not_made_up_of_rounding(basis):
    """In a cell of two atoms like atoms move together: what they do on site cancels but for rounding.

    In a supercell it does not, and the reference has to stay of the size that it has in the frames.
    """
    cell = 3.1 * np.eye(3)
    pair = Structure(cell, np.array([[0.0, 0.0, 0.0], [1.5, 1.6, 1.55]]), np.array([8, 22]))
    source, model = random_network(basis), random_network(basis, seed=1)
    frames = [synthetic_frame(basis, pair, seed) for seed in range(8)]
    remade = [remade_by(source, sample) for sample in samples_of(source, frames)]
    fit_reference(model, remade)
    supercell = pair.supercell((2, 2, 1))
    moved = supercell.with_positions(
        supercell.positions + np.random.default_rng(0).normal(scale=0.05, size=supercell.positions.shape)
    )
    with torch.no_grad():
        site, _ = model(build_graph(moved, model.numbers, 4.0, {}, torch.float32), correct=False)
    for z, blocks in site.items():
        largest = max(float(sample.targets.site[z].abs().max()) for sample in remade)
        assert float(blocks.abs().max()) < 3 * largest


def test_loss_that_is_not_a_number_stops_with_a_remedy(basis, frames, tmp_path):
    trainer = trainer_for(basis, frames, tmp_path, learning_rate=1e30)
    with pytest.raises(ComputationError, match="learning_rate"):
        trainer.run(lambda history: None)


def test_reference_reproduces_a_two_centre_hamiltonian(basis, rutile):
    """Blocks made by the reference itself with random weights are found again by the fit."""
    source = random_network(basis)
    frames = [synthetic_frame(basis, rutile, seed) for seed in range(6)]
    samples = samples_of(source, frames)
    remade = [remade_by(source, sample) for sample in samples]
    fitted = random_network(basis, seed=1)
    fit_reference(fitted, remade[:5])
    held_out = residual_targets(fitted, remade[5])
    for key, blocks in held_out.pair.items():
        # splines that no bond of the training frames reaches stay free: judge against the size of H
        assert blocks.abs().mean() < 0.02 * remade[5].targets.pair[key].abs().mean(), key


def test_gauge_alignment_removes_frame_shifts(frames):
    moved = [
        replace(f, hamiltonian=add_overlap(f.hamiltonian, f.overlap, shift))
        for f, shift in zip(frames, [0, 3, -1, 5])
    ]
    aligned = align_gauge(moved)
    shifts = [gauge_shift(f.hamiltonian, f.overlap) for f in aligned]
    np.testing.assert_allclose(
        shifts, np.mean([gauge_shift(f.hamiltonian, f.overlap) for f in moved]), atol=1e-12
    )


def test_ranges_follow_the_data(basis, rutile):
    short = {(8, 8): 3.0, (8, 22): 3.3, (22, 22): 3.6}
    ranges = hamiltonian_ranges([synthetic_frame(basis, rutile, 0, short)])
    assert all(ranges[key] < short[key] + 0.21 for key in short)


@pytest.mark.parametrize("k", [0, 1])
def test_state_error_equals_the_dense_sandwich(basis, frames, k):
    model = random_network(basis)
    samples = samples_of(model, frames[:2])
    kpoint = np.array([0.2, -0.1, 0.4]) * k
    states = [solve_states(s, kpoint) for s in samples]
    generator = torch.Generator().manual_seed(0)
    site = [
        {z: _symmetric(torch.randn(b.shape, generator=generator)) for z, b in s.targets.site.items()}
        for s in samples
    ]
    pair = [
        {key: torch.randn(b.shape, generator=generator) for key, b in s.targets.pair.items()} for s in samples
    ]
    joined = [{key: torch.cat([part[key] for part in parts]) for key in parts[0]} for parts in (site, pair)]
    found = state_error(samples, states, *joined)
    expected = 0.0
    for sample, state, on, off in zip(samples, states, site, pair):
        index, values = dict(sample.frame.hamiltonian.pairs), {}
        for key in index:
            values[key] = np.zeros_like(sample.frame.hamiltonian.values[key])
            values[key][0, sample.pair_rows[key]] = off[key].numpy()
            if key[0] == key[1]:
                values[key][0, sample.site_rows[key[0]]] = on[key[0]].numpy()
        dense = fold(BlockMatrix(index, values), sample.offsets, kpoint)
        w = np.abs(state.weighted.numpy().conj().T @ dense @ state.weighted.numpy())
        expected += w.sum() / state.norm / 2
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_what_h0_leaves_is_weighed_by_states_of_the_whole(basis, frames, tmp_path, monkeypatch):
    """The pair network beside H0 learns a small part of H; its eigenvectors are no states of anything."""
    parts = [replace(f, hamiltonian=f.hamiltonian.map(_tenth(f.hamiltonian))) for f in frames]
    made = []

    class Spy(PairTrainer):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(pair_training, "PairTrainer", Spy)
    preset = replace(PRESETS["test"], steps=1, band_steps=1, batch_size=3, validate_every=1)
    pair_training.train_pair(
        parts[:3],
        parts[3:],
        basis,
        HamiltonianSettings(preset="test"),
        preset,
        tmp_path / "pair.pt",
        "",
        "cpu",
        lambda *told: None,
        wholes=frames,
        floors=False,
    )
    (trainer,) = made
    assert trainer._solved
    for (number, k), states in trainer._solved.items():
        plain = make_sample(frames[number], trainer.model.numbers, 4.0, RANGES)
        expected = solve_states(plain, states.kpoint)
        assert k == 0 or states.kpoint.any()
        assert torch.equal(states.weighted, expected.weighted)


def test_weights_of_the_stage_that_knows_no_states_are_not_kept(basis, frames, tmp_path, monkeypatch):
    """However small its loss: here the loss of validation is the step itself."""
    trainer = trainer_for(basis, frames, tmp_path, steps=4, band_steps=4, validate_every=2)
    monkeypatch.setattr(trainer, "validate", lambda: {"loss": float(trainer.step)})
    trainer.run(lambda history: None)
    assert trainer.history.step == [2, 4, 6, 8]
    assert trainer.best_score == 6.0
    elements = trainer_for(basis, frames, tmp_path / "other", steps=4, band_steps=0, validate_every=2)
    monkeypatch.setattr(elements, "validate", lambda: {"loss": float(elements.step)})
    elements.run(lambda history: None)
    assert elements.best_score == 2.0


def _tenth(matrix):
    """A tenth of the blocks, on-site ones without their diagonal: another matrix, other eigenvectors."""
    return {key: 0.1 * blocks * (1 - np.eye(*blocks.shape[-2:])) for key, blocks in matrix.values.items()}


def _symmetric(blocks):
    return 0.5 * (blocks + blocks.mT)


def test_learning_rate_warms_up_and_ends_at_the_last_value():
    rates = [learning_rate(step, 1000, 1e-3, 1e-5) for step in range(1001)]
    assert rates[0] < 1e-4
    assert max(rates) <= 1e-3
    assert rates[-1] == pytest.approx(1e-5)


def test_model_file_round_trip_and_damage(basis, frames, tmp_path):
    pair = random_network(basis)
    path = tmp_path / "hamiltonian.pt"
    model = HamiltonianModel(basis, None, None, pair)
    save_model(path, model, training={"seed": 1}, config={}, inputs=[])
    again, training = load_model(path)
    assert training == {"seed": 1}
    assert (again.kind, again.zeroth, again.density) == ("pair", None, None)
    graph = samples_of(pair, frames[:1])[0].graph
    for a, b in zip(pair(graph)[0].values(), again.pair(graph)[0].values()):
        assert torch.equal(a, b)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="train again"):
        load_model(path)
    with pytest.raises(InputError, match="does not exist"):
        load_state(tmp_path / "none.pt")
    other = tmp_path / "other.pt"
    torch.save({"weights": {}}, other)
    with pytest.raises(InputError, match="not an n2amd Hamiltonian network"):
        load_model(other)


def test_model_file_keeps_h0(basis, tmp_path):
    radial = RadialFunction(0.1, np.linspace(1, 0, 6), 0.5)
    projector = Projector(Shell(1, "l1 n1", radial), -3.0)
    found = Ingredients(
        "siesta", "PBE", 200.0, 13.6, 0.529, {8: AtomIngredients(8, (projector,), radial, radial)}
    )
    density = ModelDensity(AuxiliaryBasis({8: (Shell(0, "0.0", radial),)}), {8: np.array([0.3])})
    model = HamiltonianModel(basis, ZerothHamiltonian(basis, found, density), None, random_network(basis))
    path = tmp_path / "hamiltonian.pt"
    save_model(path, model, training={}, config={}, inputs=[])
    again = load_model(path)[0]
    assert again.kind == "atoms+pair"
    assert again.zeroth.ingredients == found
    assert again.zeroth.model.auxiliary == density.auxiliary
    assert np.array_equal(again.zeroth.model.mean[8], density.mean[8])


def test_model_file_keeps_the_doubt_and_one_without_is_read(basis, tmp_path):
    radial = RadialFunction(0.1, np.linspace(1, 0, 6), 0.5)
    found = Ingredients("siesta", "PBE", 200.0, 13.6, 0.529, {8: AtomIngredients(8, (), radial, radial)})
    auxiliary = AuxiliaryBasis({8: (Shell(0, "0.0", radial),)})
    zeroth = ZerothHamiltonian(basis, found, ModelDensity(auxiliary, {8: np.array([0.3])}))
    density = DensityNetwork(auxiliary, DensityArchitecture((4, 3, 2, 1, 1), 1, 4.0, 10.0))
    doubt = DensityDoubt(torch.randn(2, n_weights(density)), 0.1, 0.2, 0.03, 4, 1e-5)
    path = tmp_path / "hamiltonian.pt"
    for written in (doubt, None):
        model = HamiltonianModel(basis, zeroth, density, None, written)
        save_model(path, model, training={}, config={}, inputs=[])
        again = load_model(path)[0].doubt
        if written is None:
            assert again is None
        else:
            assert torch.equal(again.draws, doubt.draws)
            assert replace(again, draws=doubt.draws) == doubt
    state = load_state(path)
    del state["density"]["doubt"]
    torch.save(state, path)
    assert load_model(path)[0].doubt is None


def test_spin_polarised_frames_are_refused(basis, frames):
    frame = frames[0]
    doubled = {key: np.concatenate([v, v]) for key, v in frame.hamiltonian.values.items()}
    with pytest.raises(InputError, match="2 spin components"):
        make_sample(replace(frame, hamiltonian=frame.hamiltonian.map(doubled)), (8, 22), 4.0, RANGES)


def test_lay_out_puts_blocks_out_on_other_pairs(basis, frames):
    from n2amd.blocks.pair_codes import lay_out

    frame = frames[0]
    shuffled_pairs, shuffled_values = {}, {}
    for key, index in frame.hamiltonian.pairs.items():
        order = np.random.default_rng(0).permutation(len(index))[: len(index) - 3]
        shuffled_pairs[key] = PairIndex(index.i[order], index.j[order], index.shift[order])
        shuffled_values[key] = frame.hamiltonian.values[key][:, order]
    laid_out = lay_out(BlockMatrix(shuffled_pairs, shuffled_values), frame.hamiltonian)
    for key, blocks in laid_out.values.items():
        original = frame.hamiltonian.values[key]
        same = (blocks == original).all(axis=(0, 2, 3))
        missing = ~blocks.any(axis=(0, 2, 3))
        assert same.sum() == original.shape[1] - 3
        assert missing.sum() == 3
