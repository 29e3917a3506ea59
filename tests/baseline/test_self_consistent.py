"""Frames without their DFT code: self-consistent H against HONPAS' own levels, and the mixing alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.density_fit import PlaneWaves
from n2amd.baseline.scf_kpoints import mesh_counts, scf_kpoints
from n2amd.baseline.self_consistent import AndersonMixing, ScfSettings, self_consistent
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dft.engines.kmesh import half_mesh
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import ComputationError
from n2amd.frames.mesh import Mesh

ROOT = Path(__file__).parents[2]
FRAMES = {
    "silicon": ROOT / "tests" / "data" / "honpas-si2" / "frame_0000",
    "rutile": ROOT / "resources" / "tio2-honpas" / "TiO2_6_train" / "frame_0000",
}


def of_frame(folder):
    frame, basis = read_frame(folder, "honpas")
    zeroth = ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)
    points, weights = scf_kpoints(frame)
    return frame, zeroth, ScfSettings(points, weights, Smearing.of_origin(frame.origin))


@pytest.mark.parametrize("material", ["silicon", pytest.param("rutile", marks=pytest.mark.slow)])
def test_levels_are_the_codes_own(material):
    frame, zeroth, settings = of_frame(FRAMES[material])
    changes = []
    found = self_consistent(
        zeroth, frame.structure, settings, name="again", report=lambda cycle, change: changes.append(change)
    )
    n = frame.n_occupied + 2
    ours, theirs = (f.bands.energies[..., :n] for f in (found, frame))
    # the code's tolerance of its density matrix and the digits of its eigenvalues leave 0.05 meV
    np.testing.assert_allclose(ours, theirs, atol=8e-5)
    assert changes[-1] <= settings.tolerance < changes[-2]
    assert found.n_electrons == pytest.approx(frame.n_electrons)
    np.testing.assert_allclose(
        sum(np.abs(v).sum() for v in found.overlap.values.values()),
        sum(np.abs(v).sum() for v in frame.overlap.values.values()),
        rtol=1e-5,
    )
    # energy, forces and stress, too: docs/theory-network.md says what is left
    assert found.energy == pytest.approx(frame.energy, abs=5e-5 * frame.structure.n_atoms)
    np.testing.assert_allclose(found.forces, frame.forces, atol=5e-4)
    np.testing.assert_allclose(found.stress, frame.stress, atol=3e-5)


def test_fitted_ingredients_give_no_energies():
    frame, zeroth, settings = of_frame(FRAMES["silicon"])
    found = self_consistent(
        zeroth, frame.structure, replace(settings, energies=False, tolerance=1e-2), name="fitted"
    )
    assert (found.energy, found.forces, found.stress) == (None, None, None)


def test_what_it_ends_with_is_no_matter_of_the_start():
    frame, zeroth, settings = of_frame(FRAMES["silicon"])
    settings = replace(settings, tolerance=1e-6)
    one = self_consistent(zeroth, frame.structure, settings, name="one")
    mesh = zeroth.ingredients.mesh_of(frame.structure.cell)
    bump = 0.02 * np.cos(2 * np.pi * np.arange(mesh.shape[0]) / mesh.shape[0])
    start = np.broadcast_to(bump[:, None, None], mesh.shape).copy()
    two = self_consistent(zeroth, frame.structure, settings, name="two", start=start)
    np.testing.assert_allclose(two.bands.energies, one.bands.energies, atol=2e-6)


def test_a_cycle_that_does_not_converge_is_an_error():
    frame, zeroth, settings = of_frame(FRAMES["silicon"])
    with pytest.raises(ComputationError, match=r"slow: H still changes by .* meV after 3 cycles"):
        self_consistent(zeroth, frame.structure, replace(settings, longest=3), name="slow")


def test_mixing_solves_a_linear_problem_in_as_many_steps_as_it_has_directions():
    mesh = Mesh(4.0 * np.eye(3), (8, 8, 8))
    rng = np.random.default_rng(3)
    x = np.arange(8) * 2 * np.pi / 8
    waves = np.array(
        [np.cos(x)[:, None, None] + np.zeros(mesh.shape), np.cos(x)[None, :, None] + np.zeros(mesh.shape)]
    )
    goal = np.tensordot(rng.normal(size=2), waves, 1)
    # output density: goal + A (input - goal), with eigenvalues that plain mixing does not survive
    respond = np.array([-3.0, -9.0])

    def residual(density):
        parts = np.array([(density * w).mean() / (w * w).mean() for w in waves])
        wanted = np.array([(goal * w).mean() / (w * w).mean() for w in waves])
        return np.tensordot(wanted + respond * (parts - wanted) - parts, waves, 1)

    mixing, density = AndersonMixing(PlaneWaves.of(mesh), 0.3), np.zeros(mesh.shape)
    for _ in range(3):
        density = mixing.next(density, residual(density))
    np.testing.assert_allclose(density, goal, atol=1e-10)


def test_counts_of_a_mesh_of_k_points():
    for mesh in ((4, 4, 6), (2, 2, 3), (1, 5, 2)):
        np.testing.assert_array_equal(mesh_counts(half_mesh(mesh)[0]), mesh)
