"""How Hartree and exchange-correlation energies change when a cell is strained with its mesh.

The volume changes, and so do wave vectors and gradients: those of points that are carried along.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.baseline.functionals import find_functional
from n2amd.baseline.mesh_gradient import gradient
from n2amd.baseline.mesh_potential import field_derivatives, slabs
from n2amd.frames.mesh import Mesh


def hartree_strain(
    density: NDArray[np.float64], mesh: Mesh, energy: float, *, rydberg: float, bohr: float
) -> NDArray[np.float64]:
    """Derivative of the Hartree energy of a density with respect to strain.

    Parameters
    ----------
    density
        At fixed values at the points, (n1, n2, n3), 1/A^3.
    mesh
        Its mesh.
    energy
        Hartree energy of it, eV.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom, as the code has them.

    Returns
    -------
    (3, 3), eV
    """
    n1, n2, n3 = mesh.shape
    components = np.fft.rfftn(density) / mesh.n_points
    counts = np.meshgrid(
        np.fft.fftfreq(n1, 1 / n1), np.fft.fftfreq(n2, 1 / n2), np.arange(n3 // 2 + 1), indexing="ij"
    )
    waves = np.stack(counts, axis=-1).reshape(-1, 3) @ mesh.reciprocal
    square = (waves**2).sum(axis=1)
    square[0] = math.inf
    # of the last axis half of the components are kept
    twice = np.full(components.shape, 2.0)
    twice[:, :, 0] = 1.0
    if n3 % 2 == 0:
        twice[:, :, -1] = 1.0
    strength = 4 * math.pi * 2 * rydberg * bohr * mesh.volume
    weights = strength * (twice * np.abs(components) ** 2).ravel() / square**2
    return energy * np.eye(3) + (waves * weights[:, None]).T @ waves


def xc_strain(
    density: NDArray[np.float64],
    mesh: Mesh,
    functional: str,
    energy: float,
    *,
    rydberg: float,
    bohr: float,
    scheme: str,
) -> NDArray[np.float64]:
    """Derivative of the exchange-correlation energy with respect to strain.

    Parameters
    ----------
    density
        Valence and partial core at fixed values at the points, (n_spin, n1, n2, n3), 1/A^3.
    mesh, functional
        As for `n2amd.baseline.mesh_potential.xc_potential`.
    energy
        Its energy, eV.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom, as the code has them.
    scheme
        Of the gradient.

    Returns
    -------
    (3, 3), eV
    """
    form = find_functional(functional)
    result = energy * np.eye(3)
    if form.gradient is None:
        return result
    fields = torch.as_tensor(density) * bohr**3
    slopes = gradient(fields, mesh, scheme) * bohr
    total = torch.zeros(3, 3, dtype=torch.float64)
    for planes in slabs(fields.shape[1], fields[0, 0].numel(), fields.device):
        part = slopes[:, :, planes]
        _, _, flow = field_derivatives(form, fields[:, planes], part)
        total += torch.einsum("scxyz,sdxyz->cd", flow, part)
    return result - total.numpy() * (2 * rydberg * mesh.volume_element / bohr**3)
