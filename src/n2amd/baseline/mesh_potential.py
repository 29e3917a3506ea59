"""Potentials of a density on a mesh: exchange-correlation, and Hartree's by Fourier transforms.

The exchange-correlation potential is the derivative of the *discretised* energy: with F = de/dsigma and D the
gradient on the mesh, V = de/drho + D^T (2 F D rho). Codes that discretise so have it exactly (J. A. White,
D. M. Bird, Phys. Rev. B 50, 4954 (1994)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.baseline.exchange_correlation import derivatives, spin_derivatives
from n2amd.baseline.functionals import Functional, find_functional
from n2amd.baseline.mesh_gradient import STENCIL, cartesian_from_mesh, find_difference
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh

#: Points whose temporaries are held at a time.
_BLOCK = {"cpu": 1 << 16, "cuda": 1 << 22}
#: Density below which the local kernel is taken as flat, 1/A^3, and its relative step of differentiation.
KERNEL_DENSITY, KERNEL_STEP = 1e-3, 1e-3


def xc_potential(
    density: Tensor | NDArray[np.float64],
    mesh: Mesh,
    functional: str,
    *,
    rydberg: float,
    bohr: float,
    gradient: str = "siesta",
    digits: str = "siesta",
) -> tuple[float, Tensor]:
    """Exchange-correlation energy and potential of a density.

    Parameters
    ----------
    density
        Valence and partial core, 1/A^3: (n1, n2, n3), or (2, n1, n2, n3) for spin up and down (each with half
        of the core). The potential lies on its device.
    mesh
        Of the density.
    functional
        Label, see `find_functional`.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom, as the code has them.
    gradient
        Of the density on the mesh: "siesta" or "fourier".
    digits
        Whose parameters of the functional: "siesta" or "libxc".

    Returns
    -------
    Energy, eV; potential, shaped as the density, eV: the derivative of the energy with respect to every
    point's density, divided by the volume of a point.

    Raises
    ------
    InputError
        If the functional or the gradient is not known, or the density is not one of this mesh.
    """
    values = _checked(density, mesh, spin=True)
    form = find_functional(functional, digits)
    along = find_difference(gradient)
    compiled = values.ndim == 3 and values.device.type == "cpu"
    if compiled and (gradient == "siesta" or form.gradient is None):
        total, potential = _compiled(values, mesh, form, bohr)
    else:
        fields = values.reshape(-1, *mesh.shape) * bohr**3
        if form.gradient is None:
            total, potential = _local(fields, form)
        elif gradient == "siesta":
            total, potential = _by_slabs(fields, mesh, form, bohr)
        else:
            total, potential = _at_once(fields, mesh, form, bohr, along)
        potential = potential.reshape(values.shape)
    hartree = 2 * rydberg
    return total * hartree * mesh.volume_element / bohr**3, potential.mul_(hartree)


def hartree_potential(
    density: Tensor | NDArray[np.float64], mesh: Mesh, *, rydberg: float, bohr: float
) -> Tensor:
    """Potential energy of an electron in the field of an electron density, with zero average.

    Parameters
    ----------
    density
        1/A^3, (n1, n2, n3), real; its average does not count. The potential lies on its device.
    mesh
        Of the density.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom, as the code has them.

    Returns
    -------
    (n1, n2, n3), eV

    Raises
    ------
    InputError
        If the density is not one of this mesh.
    """
    values = _checked(density, mesh, spin=False)
    components = torch.fft.rfftn(values)
    _divide_by_square(components, mesh, 4 * math.pi * 2 * rydberg * bohr)
    return torch.fft.irfftn(components, s=mesh.shape)


def _checked(density: Tensor | NDArray[np.float64], mesh: Mesh, *, spin: bool) -> Tensor:
    """The density as a tensor of doubles."""
    values = torch.as_tensor(density).detach()
    shapes = [tuple(mesh.shape), (2, *mesh.shape)] if spin else [tuple(mesh.shape)]
    if tuple(values.shape) not in shapes or values.is_complex():
        raise InputError(
            f"a density of {tuple(values.shape)} ({values.dtype}) does not fit the mesh {tuple(mesh.shape)}",
            field="density",
            remedy=f"give real values of shape {' or '.join(map(str, shapes))}",
        )
    return values.to(torch.float64).contiguous()


def _divide_by_square(components: Tensor, mesh: Mesh, factor: float) -> None:
    """Turn Fourier components of a density into those of its potential, in place, plane after plane."""
    n1, n2, n3 = mesh.shape
    device = components.device
    whole = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64, device=device) for n in (n1, n2)]
    half = torch.arange(n3 // 2 + 1, dtype=torch.float64, device=device)
    metric = mesh.reciprocal @ mesh.reciprocal.T
    in_plane = (
        metric[1, 1] * whole[1][:, None] ** 2
        + metric[2, 2] * half**2
        + 2 * metric[1, 2] * whole[1][:, None] * half
    )
    mixed = 2 * (metric[0, 1] * whole[1][:, None] + metric[0, 2] * half)
    for planes in slabs(n1, n2 * n3, device):
        first = whole[0][planes, None, None]
        square = torch.addcmul(in_plane + metric[0, 0] * first**2, mixed.expand(len(first), -1, -1), first)
        if planes.start == 0:
            square[0, 0, 0] = math.inf
        components[planes] *= factor / square


def slabs(n1: int, points: int, device: torch.device) -> Iterator[slice]:
    """Ranges of planes whose points fill a block."""
    step = max(1, _BLOCK["cuda" if device.type == "cuda" else "cpu"] // points)
    for start in range(0, n1, step):
        yield slice(start, min(start + step, n1))


def _compiled(values: Tensor, mesh: Mesh, form: Functional, bohr: float) -> tuple[float, Tensor]:
    from n2amd.baseline.mesh_potential_kernel import unpolarised

    inverse = cartesian_from_mesh(mesh, values).numpy() * bohr
    total, potential = unpolarised(values.numpy(), form, inverse.T @ inverse, bohr**3)
    return total, torch.from_numpy(potential)


def field_derivatives(
    form: Functional, fields: Tensor, gradients: Tensor | None
) -> tuple[float, Tensor, Tensor]:
    """Energy, derivative with respect to the fields, and with respect to their gradients.

    `fields` is (1 or 2, ...) for an unpolarised or a polarised density, `gradients` (1 or 2, 3, ...).
    """
    sigma = None
    if gradients is not None:
        first, last = gradients[0], gradients[-1]
        pairs = [(first, first), (first, last), (last, last)][: 2 * len(fields) - 1]
        sigma = torch.stack([(a * b).sum(0) for a, b in pairs])
    if len(fields) == 1:
        energy, slope, by_sigma = derivatives(form, fields, sigma)
    else:
        energy, slope, by_sigma = spin_derivatives(form, fields, sigma)
    if gradients is None or by_sigma is None:
        return float(energy.sum()), slope, slope
    if len(fields) == 1:
        return float(energy.sum()), slope, 2 * by_sigma[:, None] * gradients
    up, mixed, down = by_sigma
    flow = torch.stack([2 * up * first + mixed * last, 2 * down * last + mixed * first])
    return float(energy.sum()), slope, flow


def _local(fields: Tensor, form: Functional) -> tuple[float, Tensor]:
    """Sum of energies per volume and potential of a local functional."""
    potential = torch.empty_like(fields)
    total = 0.0
    for planes in slabs(fields.shape[1], fields[0, 0].numel(), fields.device):
        energy, potential[:, planes], _ = field_derivatives(form, fields[:, planes], None)
        total += energy
    return total, potential


def _by_slabs(fields: Tensor, mesh: Mesh, form: Functional, bohr: float) -> tuple[float, Tensor]:
    """Sum of energies per volume and potential with SIESTA's gradient; temporaries are slabs of planes."""
    matrix = cartesian_from_mesh(mesh, fields) * bohr
    along = find_difference("siesta")
    potential = torch.zeros_like(fields)
    total, n1 = 0.0, fields.shape[1]
    for planes in slabs(n1, fields[0, 0].numel(), fields.device):
        inside = torch.arange(planes.start, planes.stop, device=fields.device)
        values = fields[:, planes]
        across = torch.zeros_like(values)
        for m, weight in enumerate(STENCIL, 1):
            across += weight * (fields[:, (inside + m) % n1] - fields[:, (inside - m) % n1])
        steps = torch.stack([across, along(values, -2), along(values, -1)], dim=1)
        gradients = torch.einsum("ai,sixyz->saxyz", matrix, steps)
        energy, slope, flow = field_derivatives(form, values, gradients)
        total += energy
        flow = torch.einsum("ai,saxyz->sixyz", matrix, flow)
        potential[:, planes] += slope - along(flow[:, 1], -2) - along(flow[:, 2], -1)
        for m, weight in enumerate(STENCIL, 1):
            potential[:, (inside + m) % n1] += weight * flow[:, 0]
            potential[:, (inside - m) % n1] -= weight * flow[:, 0]
    return total, potential


def _at_once(
    fields: Tensor, mesh: Mesh, form: Functional, bohr: float, along: Callable[[Tensor, int], Tensor]
) -> tuple[float, Tensor]:
    """The same with any gradient: three components of it are held for the whole mesh."""
    matrix = cartesian_from_mesh(mesh, fields) * bohr
    steps = torch.stack([along(fields, axis) for axis in (-3, -2, -1)], dim=1)
    potential = torch.empty_like(fields)
    total = 0.0
    for planes in slabs(fields.shape[1], fields[0, 0].numel(), fields.device):
        gradients = torch.einsum("ai,sixyz->saxyz", matrix, steps[:, :, planes])
        energy, potential[:, planes], flow = field_derivatives(form, fields[:, planes], gradients)
        total += energy
        steps[:, :, planes] = torch.einsum("ai,saxyz->sixyz", matrix, flow)
    for axis in (0, 1, 2):
        potential -= along(steps[:, axis], axis - 3)
    return total, potential


def local_xc_kernel(density: NDArray[np.float64], *, rydberg: float, bohr: float) -> NDArray[np.float64]:
    """Local density approximation of the kernel dV_xc/drho on a mesh, eV A^3; flat below `KERNEL_DENSITY`.

    Parameters
    ----------
    density
        With the core, (n1, n2, n3), 1/A^3.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom.
    """
    form = find_functional("PW92")
    rho = torch.from_numpy(np.maximum(density, KERNEL_DENSITY)).flatten() * bohr**3
    step = KERNEL_STEP * rho
    above, below = (derivatives(form, rho + sign * step)[1] for sign in (1, -1))
    kernel = (above - below) / (2 * step)
    return (kernel * (2 * rydberg * bohr**3)).reshape(density.shape).numpy()


def local_spin_kernel(spins: NDArray[np.float64], *, rydberg: float, bohr: float) -> NDArray[np.float64]:
    """Local kernels dV_s/drho and dV_s/dm of both spins s, m = rho_up - rho_down, on a mesh, eV A^3.

    Parameters
    ----------
    spins
        Densities of spin up and down with half of the core each, (2, n1, n2, n3), 1/A^3.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom.

    Returns
    -------
    kernels
        (spin, density or magnetisation, n1, n2, n3).
    """
    form = find_functional("PW92")
    rho = torch.from_numpy(np.maximum(spins, KERNEL_DENSITY / 2)).flatten(1) * bohr**3
    step = 2 * KERNEL_STEP * rho.amin(dim=0)
    kernels = []
    for direction in ((1, 1), (1, -1)):
        change = torch.tensor(direction, dtype=rho.dtype)[:, None] * step / 2
        above, below = (spin_derivatives(form, rho + sign * change)[1] for sign in (1, -1))
        kernels.append((above - below) / (2 * step))
    found = torch.stack(kernels, dim=1) * (2 * rydberg * bohr**3)
    return found.reshape(2, 2, *spins.shape[1:]).numpy()
