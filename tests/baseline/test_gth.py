"""Goedecker-Teter-Hutter pseudopotentials and the neutral atoms made for them, against closed formulas."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import simpson

from n2amd.baseline.gth import GthChannel, GthPotential, separable_projectors
from n2amd.baseline.pseudo_atom import RATIO, SMALLEST, _density, _gaussians, gth_ingredients, neutral_atom
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.frames.mesh import cp2k_mesh, pyscf_mesh
from n2amd.units import BOHR_ANGSTROM as BOHR

RYDBERG = 13.605693122994
#: GTH-PBE-q4 of silicon, and a made-up matrix of three projectors.
SILICON = GthPotential(
    "GTH-PBE-q4",
    (2, 2),
    0.44,
    (-6.26928833,),
    (
        GthChannel(0, 0.43563383, ((8.95174150, -2.70627082), (-2.70627082, 3.49378060))),
        GthChannel(1, 0.49794218, ((2.43127673,),)),
    ),
)
THREE = GthChannel(2, 0.4, ((1.0, 0.3, -0.1), (0.3, -2.0, 0.2), (-0.1, 0.2, 3.0)))
PYSCF = Ingredients("pyscf", "PBE", 200.0, RYDBERG, BOHR)


def published_projector(channel: GthChannel, i: int, r: np.ndarray) -> np.ndarray:
    """p_i^l(r), i = 1, 2, 3: C. Hartwigsen et al., Phys. Rev. B 58, 3641 (1998), eq. 3."""
    l, width = channel.l, channel.radius
    order = l + (4 * i - 1) / 2
    norm = math.sqrt(2) / (width**order * math.sqrt(math.gamma(order)))
    return norm * r ** (l + 2 * (i - 1)) * np.exp(-(r**2) / (2 * width**2))


@pytest.mark.parametrize("channel", [*SILICON.channels, THREE])
def test_projectors_with_energies_are_the_published_matrix(channel: GthChannel) -> None:
    projectors = separable_projectors([channel], RYDBERG, BOHR)
    r = np.linspace(0.0, 3.0, 61)
    values = [p.shell.radial.spline(r * BOHR) * (r * BOHR) ** channel.l * BOHR**1.5 for p in projectors]
    ours = sum(p.energy / (2 * RYDBERG) * np.outer(v, v) for p, v in zip(projectors, values))
    published = [published_projector(channel, i + 1, r) for i in range(len(channel.matrix))]
    expected = np.einsum("ij,ia,jb->ab", np.array(channel.matrix), published, published)
    np.testing.assert_allclose(ours, expected, atol=1e-6 * np.abs(expected).max())


def test_combined_projectors_are_orthonormal() -> None:
    radials = [p.shell.radial for p in separable_projectors([THREE], RYDBERG, BOHR)]
    r = radials[0].step * np.arange(len(radials[0].values))
    tables = np.array([radial.values * r**2 for radial in radials])
    gram = simpson(tables[:, None] * tables * r**2, dx=radials[0].step)
    np.testing.assert_allclose(gram, np.eye(3), atol=1e-10)


def test_local_potential_has_the_published_fourier_transform() -> None:
    """Hartwigsen et al., eq. 6, for C1 and C2; the Coulomb part is that of a Gaussian charge."""
    potential = replace(SILICON, coefficients=(-6.3, 1.7))
    r, width = np.linspace(0.0, 12.0, 4001), potential.radius
    for g in (0.7, 3.0):
        short = simpson(4 * np.pi * r * np.sin(g * r) / g * potential.short_ranged(r), x=r)
        x = (g * width) ** 2
        expected = (2 * np.pi) ** 1.5 * width**3 * np.exp(-x / 2) * (-6.3 + 1.7 * (3 - x))
        assert short == pytest.approx(expected, rel=1e-8)
    # near the nucleus erf is linear
    at_nucleus = -6.3 - 4 * math.sqrt(2 / math.pi) / width
    assert potential.local(np.zeros(1))[0] == pytest.approx(at_nucleus, rel=1e-6)


def test_states_of_the_atom_are_those_of_an_oscillator() -> None:
    """Two s and four p electrons in (w r)^2 / 2, whose states are one of the Gaussians each."""
    empty, w = GthPotential("none", (2, 4), 0.2, (), ()), 2 * SMALLEST * RATIO**2
    r = 0.01 * np.arange(1001)
    shells = [_gaussians(empty, l, n, r) for l, n in enumerate(empty.electrons)]
    expected = (2 + 8 / 3 * w * r**2) * (w / np.pi) ** 1.5 * np.exp(-w * r**2)
    np.testing.assert_allclose(_density(shells, (w * r) ** 2 / 2, r), expected, atol=1e-6)


def test_neutral_atom_is_neutral_ends_and_sees_its_electrons() -> None:
    r, density = neutral_atom(SILICON)
    assert simpson(4 * np.pi * r**2 * density, x=r) == pytest.approx(4, abs=1e-6)
    atom = gth_ingredients(14, SILICON, PYSCF)
    # a neutral atom's potential ends where its electrons do
    assert abs(atom.neutral_potential.values[-20:]).max() < 1e-8
    # V_NA and its zero have the integral of the pseudopotential without -Z / r: 2 pi Z r_loc^2 and C1's
    grid = atom.neutral_potential.step * np.arange(len(atom.neutral_potential.values))
    integral = simpson(4 * np.pi * grid**2 * atom.neutral_potential.values, x=grid) + atom.zero
    published = 2 * np.pi * 4 * 0.44**2 + (2 * np.pi) ** 1.5 * 0.44**3 * -6.26928833
    assert integral == pytest.approx(2 * RYDBERG * BOHR**3 * published, rel=1e-6)
    # CP2K leaves out the Gaussian cores' share
    cp2k = gth_ingredients(14, SILICON, replace(PYSCF, scheme="cp2k"))
    assert atom.zero - cp2k.zero == pytest.approx(2 * RYDBERG * BOHR**3 * 2 * np.pi * 4 * 0.44**2)


def test_ingredients_and_potentials_survive_as_text() -> None:
    assert GthPotential.from_json(SILICON.to_json()) == SILICON
    whole = replace(PYSCF, atoms={14: gth_ingredients(14, SILICON, PYSCF)})
    assert Ingredients.from_json(whole.to_json()) == whole


def test_a_potential_that_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="has radii"):
        replace(SILICON, radius=0.0)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(InputError, match="how 'abinit' discretises"):
        replace(PYSCF, scheme="abinit").mesh_of(np.eye(3))


@pytest.mark.parametrize(
    ("cell", "cutoff", "points"),
    [
        (2.715 * (1 - np.eye(3)), 200.0, (36, 36, 36)),
        (5.0 * np.eye(3), 100.0, (32, 32, 32)),
        (5.43 * np.eye(3), 200.0, (48, 48, 48)),
    ],
)
def test_cp2ks_meshes(cell: np.ndarray, cutoff: float, points: tuple[int, int, int]) -> None:
    """As logs of CP2K 2023.1 print them."""
    assert cp2k_mesh(cell, cutoff, BOHR).shape == points


@pytest.mark.pyscf
def test_pyscfs_meshes() -> None:
    from pyscf.pbc.tools import cutoff_to_mesh

    for seed in range(5):
        cell = 4 * np.eye(3) + np.random.default_rng(seed).normal(size=(3, 3))
        expected = tuple(cutoff_to_mesh(cell / BOHR, 35.0).tolist())
        assert pyscf_mesh(cell, 70.0, BOHR).shape == expected
