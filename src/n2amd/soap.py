"""The SOAP optimizer: Adam in the slowly turning eigenbasis of Shampoo's preconditioner.

N. Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", arXiv:2409.11321 (2024), algorithm 3.
For the small matrices of a force field or a density network the eigenbases cost next to nothing beside the
rest of a training step; docs/decisions/force-field-cells.md and learned-density.md have what they bring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Soap(torch.optim.Optimizer):
    """Adam on gradients that are rotated, for every matrix of weights, into eigenbases of G G^T and G^T G.

    The first step of a weight only sets up its bases.

    Parameters
    ----------
    params
        Weights; tensors of more than two dimensions are matrices of their first dimension, empty ones are
        left alone.
    lr
        Learning rate.
    betas
        Decays of the mean gradient, and of its square and the preconditioner.
    eps
        Added to the root of the mean square.
    refresh_every
        Steps between two updates of the bases: one power iteration and a QR decomposition.
    largest_basis
        A dimension longer than this keeps its own axes.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        refresh_every: int = 10,
        largest_basis: int = 256,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "refresh_every": refresh_every,
            "largest_basis": largest_basis,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return what the closure returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None and weight.numel():
                    self._step(weight, _as_matrix(weight.grad), group)
        return loss

    def _step(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, (mean_decay, square_decay) = self.state[weight], group["betas"]
        if not state:
            state["updates"] = 0
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            sides = [
                torch.zeros(n, n, dtype=gradient.dtype, device=gradient.device)
                for n in gradient.shape
                if 1 < n <= group["largest_basis"]
            ]
            state["sides"], state["bases"] = sides, []
        axes = [axis for axis, n in enumerate(gradient.shape) if 1 < n <= group["largest_basis"]]
        if state["updates"]:
            state["mean"].lerp_(gradient, 1 - mean_decay)
            rotated = _rotate(gradient, state["bases"], axes)
            state["square"].mul_(square_decay).addcmul_(rotated, rotated, value=1 - square_decay)
            mean = _rotate(state["mean"], state["bases"], axes) / (1 - mean_decay ** state["updates"])
            square = state["square"] / (1 - square_decay ** state["updates"])
            step = mean / (square.sqrt() + group["eps"])
            back = [basis.T for basis in state["bases"]]
            weight.add_(_rotate(step, back, axes).reshape(weight.shape), alpha=-group["lr"])
        for side, axis in zip(state["sides"], axes, strict=True):
            outer = gradient @ gradient.T if axis == 0 else gradient.T @ gradient
            side.lerp_(outer, 1 - square_decay)
        if not state["updates"]:
            state["bases"] = [_eigenbasis(side) for side in state["sides"]]
        elif state["updates"] % group["refresh_every"] == 0:
            _refresh(state, axes)
        state["updates"] += 1


def _as_matrix(gradient: Tensor) -> Tensor:
    return gradient.reshape(len(gradient), -1) if gradient.dim() > 1 else gradient.reshape(-1, 1)


def _rotate(matrix: Tensor, bases: list[Tensor], axes: list[int]) -> Tensor:
    """Components of a matrix along the columns of the bases of its axes."""
    for basis, axis in zip(bases, axes, strict=True):
        matrix = basis.T @ matrix if axis == 0 else matrix @ basis
    return matrix


def _eigenbasis(side: Tensor) -> Tensor:
    """Eigenvectors of the first preconditioner, a matrix of rank one.

    In double precision and scaled to one: LAPACK's single precision gave NaN for elements near its smallest.
    """
    largest = side.abs().max().double().clamp(min=torch.finfo(torch.float64).tiny)
    return torch.linalg.eigh(side.double() / largest)[1].to(side.dtype)


def _refresh(state: dict[str, Any], axes: list[int]) -> None:
    """Turn the bases towards the present eigenvectors, in descending order, as QR wants them."""
    for place, (side, axis) in enumerate(zip(state["sides"], axes, strict=True)):
        basis = state["bases"][place]
        order = torch.argsort((basis * (side @ basis)).sum(0), descending=True)
        state["square"] = state["square"].index_select(axis, order)
        state["bases"][place] = torch.linalg.qr(side @ basis[:, order])[0]
