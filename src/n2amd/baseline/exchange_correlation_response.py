"""How the exchange-correlation potential on a mesh changes with the density: exact for the discretised one.

The potential is V = de/drho + D^T (2 F D rho) with F = de/dsigma and D the gradient on the mesh (see
`n2amd.baseline.mesh_potential`). Its derivative along a change of the density is one product with the second
derivatives of e at each point, between the same two gradients; as an operator it is symmetric.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.baseline.exchange_correlation import energy_density
from n2amd.baseline.functionals import Functional, find_functional
from n2amd.baseline.mesh_gradient import cartesian_from_mesh, find_difference
from n2amd.baseline.mesh_potential import slabs
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh


def xc_potential_changes(
    density: NDArray[np.float64],
    changes: NDArray[np.float64],
    mesh: Mesh,
    functional: str,
    *,
    rydberg: float,
    bohr: float,
    gradient: str = "siesta",
    digits: str = "siesta",
) -> NDArray[np.float64]:
    """First-order changes of the potential of an unpolarised density.

    Parameters
    ----------
    density
        Valence and partial core, (n1, n2, n3), 1/A^3.
    changes
        Of the density, (K, n1, n2, n3), 1/A^3.
    mesh, functional, rydberg, bohr, gradient, digits
        As for `n2amd.baseline.mesh_potential.xc_potential`.

    Returns
    -------
    changes
        Derivative of the potential along each change, (K, n1, n2, n3), eV.

    Raises
    ------
    InputError
        If the functional or the gradient is not known, or a shape is not that of the mesh.
    """
    if density.shape != mesh.shape or changes.shape[1:] != mesh.shape:
        raise InputError(
            f"a density of {density.shape} and changes of {changes.shape} do not fit the mesh {mesh.shape}",
            field="density",
            remedy=f"give real values of shape {mesh.shape}",
        )
    form, along = find_functional(functional, digits), find_difference(gradient)
    volume = bohr**3
    rho = torch.from_numpy(np.ascontiguousarray(density)) * volume
    matrix = cartesian_from_mesh(mesh, rho) * bohr
    local = form.gradient is None

    def slopes(field: Tensor) -> Tensor:
        return torch.stack([along(field, axis) for axis in (-3, -2, -1)])

    steps = None if local else slopes(rho)
    results = np.empty(changes.shape)
    for k, change in enumerate(changes):
        direction = torch.from_numpy(np.ascontiguousarray(change)) * volume
        flow = None if local else slopes(direction)
        result = torch.empty_like(rho)
        for planes in slabs(mesh.shape[0], rho[0].numel(), rho.device):
            if steps is None or flow is None:
                result[planes] = _local(form, rho[planes], direction[planes])
                continue
            g, dg = (torch.einsum("ai,ixyz->axyz", matrix, part[:, planes]) for part in (steps, flow))
            result[planes], turned = _with_gradient(form, rho[planes], direction[planes], g, dg)
            flow[:, planes] = torch.einsum("ai,axyz->ixyz", matrix, turned)
        if flow is not None:
            for axis in range(3):
                result -= along(flow[axis], axis - 3)
        results[k] = result.numpy() * (2 * rydberg)
    return results


def _local(form: Functional, rho: Tensor, direction: Tensor) -> Tensor:
    """Second derivative times the change, Hartree."""
    rho = rho.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(energy_density(form, rho).sum(), rho, create_graph=True)
        (second,) = torch.autograd.grad((slope * direction).sum(), rho)
    return second


def _with_gradient(
    form: Functional, rho: Tensor, direction: Tensor, g: Tensor, dg: Tensor
) -> tuple[Tensor, Tensor]:
    """Changes of de/drho and of 2 F grad rho, for a change of the density and of its gradient, (3, ...)."""
    sigma = (g * g).sum(0).requires_grad_()
    rho = rho.clone().requires_grad_()
    with torch.enable_grad():
        energy = energy_density(form, rho, sigma).sum()
        by_rho, by_sigma = torch.autograd.grad(energy, (rho, sigma), create_graph=True)
        along = (by_rho * direction + by_sigma * (2 * (g * dg).sum(0))).sum()
        second, mixed = torch.autograd.grad(along, (rho, sigma))
    return second, 2 * (mixed * g + by_sigma.detach() * dg)
