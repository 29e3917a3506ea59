"""Radial functions: a smooth cutoff, a Bessel basis for the network, cubic B-splines for the reference."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def envelope(x: Tensor) -> Tensor:
    """Cutoff polynomial of x = r / r_c: 1 at 0, 0 from 1 on, C2-smooth (p = 6 of Gasteiger et al. 2020)."""
    p = 6
    value = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    return torch.where(x < 1, value, torch.zeros_like(x))


def bessel(x: Tensor, n: int) -> Tensor:
    """Return sqrt(2) sin(k pi x) / x for k = 1..n, (n_edges, n); x = r / r_c > 0."""
    k = torch.arange(1, n + 1, dtype=x.dtype, device=x.device)
    return math.sqrt(2.0) * torch.sin(math.pi * k * x[:, None]) / x[:, None]


def cubic_splines(x: Tensor, n: int) -> Tensor:
    """Uniform cubic B-splines on 0..1, zero with two derivatives from x = 1 on; (n_edges, n)."""
    u = (x[:, None] * (n + 1) - torch.arange(n, dtype=x.dtype, device=x.device)).abs()
    wide, narrow = (2 - u).clamp(min=0), (1 - u).clamp(min=0)
    return (wide**3 - 4 * narrow**3) / 6
