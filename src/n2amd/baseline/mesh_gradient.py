"""Gradient of a periodic function on a mesh, as a code discretises it, and its adjoint.

SIESTA takes central differences of seven points along the mesh directions, also in skew cells (J. M. Soler et
al., J. Phys. Condens. Matter 14, 2745 (2002); L. C. Balbas et al., Phys. Rev. B 64, 165110 (2001));
plane-wave codes differentiate the Fourier series. Both operators are antisymmetric: the adjoint is minus the
divergence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh

#: Weight of f(x + m h) - f(x - m h), m = 1, 2, 3: exact for polynomials of degree six.
STENCIL: Final = (45 / 60, -9 / 60, 1 / 60)


def difference(values: Tensor, axis: int) -> Tensor:
    """Derivative along a mesh direction, per mesh step, by `STENCIL`; `axis` counts from the end."""
    result = torch.zeros_like(values)
    for m, weight in enumerate(STENCIL, 1):
        result.add_(torch.roll(values, -m, axis), alpha=weight).sub_(
            torch.roll(values, m, axis), alpha=weight
        )
    return result


def fourier_difference(values: Tensor, axis: int) -> Tensor:
    """Derivative along a mesh direction, per mesh step, of the Fourier series; `axis` counts from the end.

    The highest component of an even number of points has no derivative on the mesh.
    """
    n = values.shape[axis]
    k = torch.arange(n // 2 + 1, dtype=values.dtype, device=values.device)
    if n % 2 == 0:
        k[-1] = 0
    factor = (2j * math.pi / n) * k.reshape([-1] + [1] * (-axis - 1))
    return torch.fft.irfft(torch.fft.rfft(values, dim=axis) * factor, n=n, dim=axis)


def central_difference(values: Tensor, axis: int) -> Tensor:
    """Derivative along a mesh direction, per mesh step, from the two next points; `axis` counts from the end.

    OpenMX' rule; for the potential it takes the adjoint, as SIESTA does with its own.
    """
    return (torch.roll(values, -1, axis) - torch.roll(values, 1, axis)) / 2


_METHODS: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "siesta": difference,
    "openmx": central_difference,
    "fourier": fourier_difference,
}


def find_difference(method: str) -> Callable[[Tensor, int], Tensor]:
    """Return the derivative along a mesh direction: of SIESTA, of OpenMX, or of the Fourier series.

    Raises
    ------
    InputError
        If there is no such method.
    """
    if method not in _METHODS:
        raise InputError(
            f"no gradient on the mesh by {method!r}",
            field="gradient",
            remedy=f"choose one of {', '.join(_METHODS)}",
        )
    return _METHODS[method]


def cartesian_from_mesh(mesh: Mesh, like: Tensor) -> Tensor:
    """Matrix that turns derivatives per mesh step into Cartesian ones, (3 Cartesian, 3 mesh), 1/A."""
    inverse = torch.linalg.inv(torch.as_tensor(mesh.cell, dtype=torch.float64))
    return (inverse * torch.tensor(mesh.shape, dtype=torch.float64)).to(dtype=like.dtype, device=like.device)


def gradient(values: Tensor, mesh: Mesh, method: str = "siesta") -> Tensor:
    """Cartesian gradient of a periodic function.

    Parameters
    ----------
    values
        (..., n1, n2, n3)
    mesh
        Its mesh.
    method
        "siesta", "openmx" or "fourier".

    Returns
    -------
    (..., 3, n1, n2, n3), per Angstrom

    Raises
    ------
    InputError
        If there is no such method.
    """
    along = find_difference(method)
    steps = torch.stack([along(values, axis) for axis in (-3, -2, -1)], dim=-4)
    return torch.einsum("ai,...ixyz->...axyz", cartesian_from_mesh(mesh, values), steps)


def adjoint_gradient(vectors: Tensor, mesh: Mesh, method: str = "siesta") -> Tensor:
    """Adjoint of `gradient`: the sum of `vectors * gradient(f)` is that of `adjoint_gradient(vectors) * f`.

    Parameters
    ----------
    vectors
        (..., 3, n1, n2, n3)
    mesh, method
        As for `gradient`.

    Returns
    -------
    (..., n1, n2, n3), minus the divergence, per Angstrom
    """
    along = find_difference(method)
    steps = torch.einsum("ai,...axyz->...ixyz", cartesian_from_mesh(mesh, vectors), vectors)
    result = along(steps[..., 0, :, :, :], -3)
    for axis in (1, 2):
        result = result + along(steps[..., axis, :, :, :], axis - 3)
    return -result
