"""The density network: symmetries, charge, long range, training on quadratic forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from e3nn import o3

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.network import ewald
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.density_training import DensitySample, DensityTrainer
from n2amd.network.ewald import FieldWaves, field_features
from n2amd.network.graph import build_graph, collate
from n2amd.network.loop import Schedule
from n2amd.network.wigner import wigner_matrices
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.structure import Structure

SHELLS = {8: (2, 1, 1, 1, 1), 22: (1, 2, 1, 0, 1)}


def auxiliary() -> AuxiliaryBasis:
    r = 0.02 * np.arange(126)
    atoms = {}
    for z, counts in SHELLS.items():
        shells = []
        for l, n in enumerate(counts):
            for k in range(n):
                values = np.exp(-(1.0 + 0.6 * k) * r**2) * (1 - (r / 2.5) ** 2) ** 2
                shells.append(Shell(l, f"{l}.{k}", RadialFunction(0.02, values, 2.5)))
        atoms[z] = tuple(shells)
    return AuxiliaryBasis(atoms)


def network(seed: int = 0, **changes) -> DensityNetwork:
    torch.manual_seed(seed)
    shape = {"channels": (6, 5, 4, 3, 2), "layers": 2, "message_cutoff": 4.0, "neighbours": 20.0, **changes}
    model = DensityNetwork(auxiliary(), DensityArchitecture(n_radial=6, radial_hidden=16, **shape))
    rng = np.random.default_rng(seed)
    # coefficients of l > 0 have no mean
    rows = {z: rng.normal(size=(50, model.auxiliary.n_functions(z))) for z in SHELLS}
    model.fit_scales(rows)
    return model.eval()


def shaken(structure: Structure, seed: int = 0) -> Structure:
    rng = np.random.default_rng(seed)
    return structure.with_positions(
        structure.positions + rng.normal(scale=0.1, size=structure.positions.shape)
    )


def predict(model: DensityNetwork, structure: Structure, excess: float = 0.0) -> torch.Tensor:
    graph = build_graph(structure, (8, 22), 4.0, {}, torch.float32)
    with torch.no_grad():
        return model.coefficients(graph, [FieldWaves.of(structure)], [excess])[0]


def rotation_of(
    model: DensityNetwork, structure: Structure, rotation: torch.Tensor, inversion: bool
) -> torch.Tensor:
    matrices = wigner_matrices(rotation[None], 4)
    blocks = [
        matrices[shell.l][0] * (-1 if inversion else 1) ** shell.l
        for z in structure.numbers
        for shell in model.auxiliary.atoms[int(z)]
    ]
    return torch.block_diag(*blocks)


@pytest.mark.parametrize("inversion", [False, True])
def test_coefficients_turn_with_the_structure(rutile, inversion):
    structure, model = shaken(rutile), network()
    rotation = o3.rand_matrix(dtype=torch.float64)
    q = rotation.numpy() * (-1 if inversion else 1)
    moved = Structure(structure.cell @ q.T, structure.positions @ q.T, structure.numbers)
    expected = rotation_of(model, structure, rotation, inversion) @ predict(model, structure)
    assert (predict(model, moved) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_translations_images_and_order_of_atoms_do_not_matter(rutile):
    structure, model = shaken(rutile), network()
    before = predict(model, structure)
    images = structure.positions + np.array([[1, 0, -2]]) @ structure.cell + 0.37
    assert torch.allclose(predict(model, structure.with_positions(images)), before, atol=2e-6)
    order = np.array([3, 0, 5, 1, 4, 2])
    other = Structure(structure.cell, structure.positions[order], structure.numbers[order])
    offsets = model.auxiliary.offsets(structure.numbers)
    expected = torch.cat([before[offsets[a] : offsets[a + 1]] for a in order])
    assert torch.allclose(predict(model, other), expected, atol=2e-6)


def test_a_supercell_repeats_the_cell(rutile):
    structure, model = shaken(rutile), network()
    once, twice = predict(model, structure), predict(model, structure.supercell((2, 1, 1)))
    assert torch.allclose(twice, once.repeat(2), atol=5e-6)


@pytest.mark.parametrize("excess", [0.0, -1.0])
def test_electrons_are_exact(rutile, excess):
    model = network()
    charges = torch.from_numpy(model.auxiliary.charges_of(rutile.numbers))
    assert float(charges @ predict(model, shaken(rutile), excess)) == pytest.approx(excess, abs=1e-10)


def test_a_batch_is_its_frames(rutile):
    model = network()
    structures = [shaken(rutile, 1), shaken(rutile.supercell((1, 1, 2)), 2)]
    graph = collate([build_graph(s, (8, 22), 4.0, {}, torch.float32) for s in structures])
    with torch.no_grad():
        both = model.coefficients(graph, [FieldWaves.of(s) for s in structures])
    for structure, found in zip(structures, both):
        assert torch.allclose(found, predict(model, structure), atol=2e-6)


def test_latent_field_reaches_beyond_the_messages(rutile):
    """An atom that moves 12 A away changes coefficients with the field, and not without it."""
    long = rutile.supercell((6, 1, 1))
    positions = long.positions.copy()
    positions[0, 1] += 0.3
    changes = []
    for n_latent in (4, 0):
        model = network(n_latent=n_latent, layers=1)
        before, after = predict(model, long), predict(model, long.with_positions(positions))
        far = slice(*model.auxiliary.offsets(long.numbers)[[18, 19]])
        # charge is spread over the whole cell: compare what is free of it
        odd = slice(far.start + model.auxiliary.counts(22)[0], far.stop)
        changes.append(float((after - before)[odd].abs().max()))
    assert changes[0] > 1e-4
    assert changes[1] < 1e-6


def ewald_sum(structure: Structure, charges: np.ndarray, smearing: float) -> np.ndarray:
    """Potential at the atoms of Gaussians of width `smearing`, by Ewald's real and reciprocal sums."""
    from scipy.special import erf

    reach, other = 6, 1.7
    n = len(charges)
    grid = np.stack(np.meshgrid(*([np.arange(-reach, reach + 1)] * 3), indexing="ij"), -1).reshape(-1, 3)
    images = grid @ structure.cell
    waves = 2 * np.pi * grid @ np.linalg.inv(structure.cell).T
    square = (waves**2).sum(1)
    waves, square = waves[square > 0], square[square > 0]
    volume = structure.volume
    potential = np.zeros(n)
    for i in range(n):
        for j in range(n):
            d = structure.positions[i] - structure.positions[j]
            r = np.linalg.norm(d + images, axis=1)
            near = r < 1e-9
            safe = np.where(near, 1.0, r)
            # narrow Gaussian minus a wide one, whose sum is done in reciprocal space
            real = (erf(safe / smearing / np.sqrt(2)) - erf(safe / other / np.sqrt(2))) / safe
            real[near] = np.sqrt(2 / np.pi) * (1 / smearing - 1 / other)
            reciprocal = 4 * np.pi / volume * np.exp(-square * other**2 / 2) / square * np.cos(waves @ d)
            background = -2 * np.pi / volume * (smearing**2 - other**2)
            potential[i] += charges[j] * (real.sum() + reciprocal.sum() + background * -1)
    return potential


def test_field_features_are_ewald_sums(rutile):
    """Potential, field (derivative) and dipoles (finite differences of charges) of smeared charges."""
    structure = shaken(rutile)
    charges = np.array([2.0, 2.0, -1.0, -1.0, -1.0, -1.0])
    waves = FieldWaves.of(structure, longest=7.0)
    q = torch.from_numpy(charges)[:, None]
    none = torch.zeros(6, 1, 3, dtype=torch.float64)
    position = torch.from_numpy(structure.positions)
    found = field_features(position, q, none, waves)
    assert np.allclose(found[0][:, 0, 0], ewald_sum(structure, charges, 1.0), atol=1e-4)


def test_field_of_dipoles_is_that_of_two_charges(rutile):
    structure = shaken(rutile)
    waves = FieldWaves.of(structure)
    step, axis = 1e-3, np.array([0.3, -0.5, 0.8])
    dipoles = torch.zeros(6, 1, 3, dtype=torch.float64)
    dipoles[2, 0] = torch.from_numpy(axis[[1, 2, 0]])
    zero = torch.zeros(6, 1, dtype=torch.float64)
    position = torch.from_numpy(structure.positions)
    found = field_features(position, zero, dipoles, waves)
    # two opposite charges at +-step/2, felt at the atoms: as a frame of atoms and two ghosts
    places = np.concatenate(
        [structure.positions, structure.positions[2] + 0.5 * step * np.array([axis, -axis])]
    )
    pair = torch.zeros(8, 1, dtype=torch.float64)
    pair[6], pair[7] = 1 / step, -1 / step
    both = field_features(torch.from_numpy(places), pair, torch.zeros(8, 1, 3, dtype=torch.float64), waves)
    for l in range(3):
        assert torch.allclose(found[l], both[l][:6], rtol=1e-3, atol=1e-5), l


def test_density_of_a_sheet_does_not_depend_on_its_vacuum():
    """Flat, so that no dipole stands on it: what is left of its images dies off within a few Angstrom."""
    rng = np.random.default_rng(3)
    places = np.array([[0.0, 0, 0], [2.0, 0, 0], [0, 2, 0], [4, 0, 0], [6.0, 0, 0], [4, 2, 0]])
    places[:, :2] += rng.normal(scale=0.15, size=(6, 2))
    sheets = [
        Structure(np.diag([8.0, 4.0, c]), places + np.array([0, 0, c / 2]), np.array([22, 8, 8, 22, 8, 8]))
        for c in (14.0, 40.0)
    ]

    def change(model: DensityNetwork) -> float:
        narrow, wide = (predict(model, sheet) for sheet in sheets)
        graph = build_graph(sheets[0], (8, 22), 4.0, {}, torch.float32)
        return float((wide - narrow).norm() / (narrow - model.average(graph)).norm())

    assert change(network()) < 1e-4
    assert change(network(neutral=False)) > 1e-2  # models of before


def test_field_features_do_not_depend_on_how_waves_are_split(rutile, monkeypatch):
    structure = shaken(rutile.supercell((2, 1, 1)))
    torch.manual_seed(1)
    position = torch.from_numpy(structure.positions) + 300.0
    charges, dipoles = torch.randn(12, 2).double(), torch.randn(12, 2, 3).double()
    waves = FieldWaves.of(structure)
    whole = field_features(position, charges, dipoles, waves)
    # sums over waves as they are written down
    phase = position @ waves.vectors.T
    along = torch.einsum("nkx,gx->nkg", dipoles, waves.vectors[:, [1, 2, 0]])
    source = (charges[:, :, None] - 1j * along) * torch.exp(-1j * phase)[:, None]
    for l in range(3):
        angular = 1j**l * waves.harmonics[l * l : (l + 1) ** 2].double()
        sums = source.sum(0) * waves.weights.double()
        expected = torch.einsum("ng,kg,mg->nkm", torch.exp(1j * phase), sums, angular).real
        assert torch.allclose(whole[l], expected, atol=1e-9)
    monkeypatch.setitem(ewald.PHASES, "cpu", 1)
    for a, b in zip(whole, field_features(position, charges, dipoles, waves)):
        assert torch.allclose(a, b, atol=1e-12)


def made_up_samples(model: DensityNetwork, structures: list[Structure]) -> list[DensitySample]:
    """Samples whose densities another network of the same kind would have."""
    teacher, samples = network(seed=5), []
    for k, structure in enumerate(structures):
        wanted = predict(teacher, structure)
        n = len(wanted)
        rng = np.random.default_rng(k)
        root = torch.from_numpy(np.eye(n) + 0.1 * rng.normal(size=(n, n)) / np.sqrt(n))
        matrix = root @ root.T
        response = torch.from_numpy(rng.normal(size=(3, n)) / np.sqrt(n))
        graph = build_graph(structure, (8, 22), 4.0, {}, torch.float32)
        samples.append(
            DensitySample(
                f"frame {k}",
                graph,
                FieldWaves.of(structure),
                0.0,
                matrix.float(),
                matrix @ wanted,
                float(wanted @ matrix @ wanted),
                response.float(),
                response @ wanted,
                (0, 1),
            )
        )
    return samples


def trainer(rutile: Structure, folder, steps: int = 10, optimizer: str = "soap") -> DensityTrainer:
    samples = made_up_samples(network(), [shaken(rutile, k) for k in range(4)])
    schedule = Schedule(steps, 1e-2, 1e-4, 1e-2, 0.9, 5, optimizer)
    return DensityTrainer(
        network(),
        samples[:3],
        samples[3:],
        schedule,
        atoms_per_step=12,
        state_weight=1.0,
        seed=3,
        checkpoint=folder / "density.pt",
        fingerprint="same",
    )


def test_validation_has_the_loss_of_training(rutile, tmp_path):
    run = trainer(rutile, tmp_path)
    run.train, run.probability = (
        run.validation,
        np.ones(1),
    )  # one frame of 6 atoms: a step holds it and nothing else
    trained = float(run.loss(np.random.default_rng(0)).detach())
    assert next(iter(run.validate())) == "loss"  # the first score chooses the weights that are kept
    assert run.validate()["loss"] == pytest.approx(trained, rel=1e-6)


def test_errors_vanish_at_the_right_coefficients(rutile):
    (sample,) = made_up_samples(network(), [shaken(rutile)])
    wanted = predict(network(seed=5), shaken(rutile))
    assert abs(float(sample.density_error(wanted))) < 1e-4 * sample.norm
    assert sample.state_errors(wanted).abs().max() < 1e-5
    assert float(sample.density_error(2 * wanted)) == pytest.approx(sample.norm, rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_training_lowers_both_errors(rutile, tmp_path, optimizer):
    run = trainer(rutile, tmp_path, steps=60, optimizer=optimizer)
    run.run(lambda history: None)
    assert run.history.loss[-1] < 0.5 * run.history.loss[0]
    assert run.history.scores["edges_rms_meV"][-1] < run.history.scores["edges_rms_meV"][0]


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_resumed_training_gives_the_same_bits(rutile, tmp_path, optimizer):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = trainer(rutile, tmp_path / "a", optimizer=optimizer)
    whole.run(lambda history: None)

    class KilledError(Exception):
        pass

    def kill(history):
        raise KilledError

    with pytest.raises(KilledError):
        trainer(rutile, tmp_path / "b", optimizer=optimizer).run(kill)
    resumed = trainer(rutile, tmp_path / "b", optimizer=optimizer)
    assert resumed.resume()
    assert resumed.step == 5
    resumed.run(lambda history: None)
    assert resumed.history == whole.history
    for (name, a), (_, b) in zip(whole.model.named_parameters(), resumed.model.named_parameters()):
        assert torch.equal(a, b), name
