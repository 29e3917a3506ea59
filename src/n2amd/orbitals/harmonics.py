"""Real spherical harmonics, their Gaunt coefficients, and their rotations.

One convention everywhere: m = -l..l, z is the polar axis, no Condon-Shortley sign, so that
Y_1 = sqrt(3/4pi) (y, z, x) and Y_2 ~ (xy, yz, 3z2-r2, xz, x2-y2). These are e3nn's harmonics of the
vector (y, z, x).
"""

from __future__ import annotations

from functools import cache
from math import factorial, pi, sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: A numpy array or a torch tensor.
Array = Any
#: Highest angular momentum with tested accuracy.
MAX_L = 8


def solid_components(l_max: int, x: Array, y: Array, z: Array) -> list[Array]:
    """Real regular solid harmonics r^l Y_lm of every l up to `l_max`, one array a component.

    Plain arithmetic on x, y, z, so that numpy arrays and torch tensors (with their derivatives) serve alike.

    Parameters
    ----------
    l_max
        Highest angular momentum.
    x, y, z
        Cartesian components, of one shape.

    Returns
    -------
    components
        (l_max + 1)^2 arrays of that shape; the component l, m stands at l^2 + l + m.
    """
    square = x * x + y * y + z * z
    zero = 0.0 * square
    components = [zero] * (l_max + 1) ** 2
    cosine, sine = zero + 1.0, zero  # real and imaginary part of (x + iy)^m
    sectoral = 1.0  # (2m - 1)!!
    for m in range(l_max + 1):
        if m:
            cosine, sine = x * cosine - y * sine, x * sine + y * cosine
            sectoral *= 2 * m - 1
        # r^(l-m) times the m-th derivative of the Legendre polynomial, by its three-term recursion in l
        previous, current = zero, zero + sectoral
        for l in range(m, l_max + 1):
            if l > m:
                step = ((2 * l - 1) * z * current - (l + m - 1) * square * previous) / (l - m)
                previous, current = current, step
            norm = sqrt((2 * l + 1) / (4 * pi) * factorial(l - m) / factorial(l + m) * (2 if m else 1))
            centre = l * l + l
            components[centre + m] = norm * current * cosine
            if m:
                components[centre - m] = norm * current * sine
    return components


def solid_harmonics(l_max: int, vectors: ArrayLike) -> NDArray[np.float64]:
    """Real regular solid harmonics r^l Y_lm for every l up to `l_max`.

    They are polynomials of the vector, hence smooth everywhere, the origin included.

    Parameters
    ----------
    l_max
        Highest angular momentum.
    vectors
        (..., 3).

    Returns
    -------
    harmonics
        (..., (l_max + 1)^2); the component l, m stands at l^2 + l + m.
    """
    x, y, z = np.moveaxis(np.asarray(vectors, dtype=np.float64), -1, 0)
    return np.stack(solid_components(l_max, x, y, z), axis=-1)


def real_harmonics(l: int, vectors: ArrayLike, *, solid: bool = False) -> NDArray[np.float64]:
    """Real spherical harmonics of one l.

    Parameters
    ----------
    l
        Angular momentum.
    vectors
        (..., 3), of any length unless `solid`; zero vectors are allowed only for solid harmonics or l = 0.
    solid
        Return r^l Y_lm instead of Y_lm.

    Returns
    -------
    harmonics
        (..., 2 l + 1), m = -l..l, orthonormal on the unit sphere.
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    if not solid and l:
        vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return solid_harmonics(l, vectors)[..., l * l :]


def sphere_quadrature(degree: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors (n, 3) and weights (n,) that integrate harmonics up to `degree` exactly over the sphere.

    Gauss-Legendre in cos(theta) times a uniform grid in phi; the weights sum to 4 pi.
    """
    cosine, weight = np.polynomial.legendre.leggauss(degree // 2 + 1)
    n_phi = degree + 1
    phi = 2 * pi * np.arange(n_phi) / n_phi
    sine = np.sqrt(1 - cosine**2)
    points = np.stack(
        [np.outer(sine, np.cos(phi)), np.outer(sine, np.sin(phi)), np.outer(cosine, np.ones(n_phi))], axis=-1
    )
    return points.reshape(-1, 3), np.repeat(weight * 2 * pi / n_phi, n_phi)


@cache
def gaunt(l1: int, l2: int, L: int) -> NDArray[np.float64]:
    """Gaunt coefficients of real harmonics: the integral of Y_l1m1 Y_l2m2 Y_LM over the sphere.

    Returns
    -------
    coefficients
        (2 l1 + 1, 2 l2 + 1, 2 L + 1), read-only; zero unless l1 + l2 + L is even and the triangle closes.
    """
    points, weights = sphere_quadrature(l1 + l2 + L)
    first, second, third = (real_harmonics(k, points) for k in (l1, l2, L))
    result = np.einsum("k,ka,kb,kc->abc", weights, first, second, third, optimize=True)
    result[np.abs(result) < 1e-13] = 0.0  # selection rules hold exactly, rounding must not blur them
    result.setflags(write=False)
    return result


@cache
def solid_gradient(l: int) -> NDArray[np.float64]:
    """Matrix of the gradient of solid harmonics: d(r^l Y_lm)/dx_a = sum_m' g[a, m, m'] r^(l-1) Y_(l-1)m'.

    The gradient of a harmonic polynomial is harmonic of one degree less; its coefficients are
    (2 l + 1) sqrt(4 pi / 3) times the Gaunt coefficient of (1 a, l-1 m', l m).

    Returns
    -------
    matrix
        (3, 2 l + 1, 2 l - 1) for l >= 1, read-only; the first axis is x, y, z.
    """
    product = gaunt(1, l - 1, l)[[2, 0, 1]]  # p = (y, z, x), so that x is the last
    result = (2 * l + 1) * sqrt(4 * pi / 3) * product.transpose(0, 2, 1)
    result.setflags(write=False)
    return result


@cache
def _half_sphere(l: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (n, 3) and weighted harmonics (n, 2 l + 1) that project on Y_l; antipodes are left out."""
    degree = 2 * l if l % 2 else 2 * l + 2  # an even number of rings: none on the equator
    points, weights = sphere_quadrature(degree)
    upper = points[:, 2] > 0
    return points[upper], 2 * weights[upper, None] * real_harmonics(l, points[upper])


def real_wigner(l: int, rotation: ArrayLike) -> NDArray[np.float64]:
    """Matrices D of proper or improper rotations among the real harmonics: Y_l(Q r) = D Y_l(r).

    The projection of Y_l(Q r) on Y_l(r) is integrated exactly on a grid, so nothing is singular: there are
    no angles. D(-1) = (-1)^l.

    Parameters
    ----------
    l
        Angular momentum.
    rotation
        Orthogonal matrices, (..., 3, 3).

    Returns
    -------
    wigner
        (..., 2 l + 1, 2 l + 1), orthogonal.
    """
    points, projector = _half_sphere(l)
    rotated = np.einsum("...ab,kb->...ka", np.asarray(rotation, dtype=np.float64), points)
    return np.einsum("...km,kn->...mn", solid_harmonics(l, rotated)[..., l * l :], projector)


def bond_rotation(vectors: ArrayLike) -> NDArray[np.float64]:
    """Proper rotations that take each bond to the +z axis.

    No single smooth frame covers the sphere; two charts do. For z >= 0 it is the shortest rotation to +z; for
    z < 0 the bond is first turned by pi about x, so that the formula never divides by less than 1. The two
    charts differ at their border by a roll about the bond, which two-centre quantities cannot see.

    Parameters
    ----------
    vectors
        (..., 3); a zero vector gives the identity.

    Returns
    -------
    rotation
        (..., 3, 3) with rotation @ (v / |v|) = (0, 0, 1).
    """
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit = np.where(length > 0, vectors / np.where(length > 0, length, 1.0), [0.0, 0.0, 1.0])
    flip = np.where(unit[..., 2] < 0, -1.0, 1.0)
    x, y, z = unit[..., 0], flip * unit[..., 1], flip * unit[..., 2]
    shear = 1 / (1 + z)
    # columns y and z carry the turn by pi about x of the lower chart
    rows = [
        [1 - x * x * shear, -x * y * shear * flip, -x * flip],
        [-x * y * shear, (1 - y * y * shear) * flip, -y * flip],
        [x, y * flip, z * flip],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
