from __future__ import annotations

import copy

import pytest
import torch

from n2amd.soap import Soap


def problem(seed: int = 0):
    """Least squares whose curvature is badly conditioned in directions that mix the weights."""
    draw = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64)  # noqa: E731
    left, right = torch.linalg.qr(normal(6, 6))[0], torch.linalg.qr(normal(4, 4))[0]
    scales = torch.logspace(0, -2, 6, dtype=torch.float64)
    target, start, bias = normal(6, 4), normal(6, 4), normal(4)

    def loss(weight, shift):
        error = scales[:, None] * (left @ (weight - target) @ right)
        return (error**2).sum() + ((shift - bias) ** 2).sum()

    return loss, [start.clone().requires_grad_(), torch.zeros(4, dtype=torch.float64, requires_grad=True)]


def descend(optimizer, loss, weights, steps: int) -> float:
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        loss(*weights).backward()
        optimizer.step()
    return float(loss(*weights).detach())


def test_it_descends_where_adam_is_slow():
    loss, weights = problem()
    start = float(loss(*weights).detach())
    soap = descend(Soap(weights), loss, weights, 400)
    loss, weights = problem()
    adam = descend(torch.optim.Adam(weights), loss, weights, 400)
    assert soap < 1e-4 * start
    assert soap < 0.1 * adam


def test_the_first_step_only_sets_up_the_bases():
    loss, weights = problem()
    before = [weight.detach().clone() for weight in weights]
    optimizer = Soap(weights)
    loss(*weights).backward()
    optimizer.step()
    assert all(torch.equal(*pair) for pair in zip(before, weights))


def test_bases_stay_orthonormal():
    loss, weights = problem()
    optimizer = Soap(weights, refresh_every=3)
    descend(optimizer, loss, weights, 20)
    bases = optimizer.state[weights[0]]["bases"]
    assert [len(basis) for basis in bases] == [6, 4]
    for basis in bases:
        torch.testing.assert_close(basis.T @ basis, torch.eye(len(basis), dtype=basis.dtype))


def test_a_long_dimension_keeps_its_axes():
    loss, weights = problem()
    optimizer = Soap(weights, largest_basis=5)
    descend(optimizer, loss, weights, 5)
    assert [len(basis) for basis in optimizer.state[weights[0]]["bases"]] == [4]


@pytest.mark.parametrize("done", [0, 1, 17])
def test_a_resumed_descent_is_the_same(done, tmp_path):
    loss, weights = problem()
    optimizer = Soap(weights, lr=0.02, refresh_every=4)

    def advance(optimizer, weights, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            loss(*weights).backward()
            optimizer.step()

    advance(optimizer, weights, done)
    torch.save(optimizer.state_dict(), tmp_path / "state")
    others = [copy.deepcopy(weight.detach()).requires_grad_() for weight in weights]
    resumed = Soap(others, lr=0.02, refresh_every=4)
    resumed.load_state_dict(torch.load(tmp_path / "state"))
    advance(optimizer, weights, 13)
    advance(resumed, others, 13)
    assert all(torch.equal(*pair) for pair in zip(weights, others))


def test_bases_of_gradients_that_differ_by_many_orders_are_sound():
    """LAPACK's single precision fails on these, with an error or with NaN."""
    for seed in (22, 57, 95, 107, 150):
        draw = torch.Generator().manual_seed(seed)
        gradient = torch.randn(124, generator=draw) * 10 ** (28 * torch.rand(124, generator=draw) - 30)
        weight = torch.zeros(124, requires_grad=True)
        optimizer = Soap([weight])
        weight.grad = gradient
        optimizer.step()
        (basis,) = optimizer.state[weight]["bases"]
        torch.testing.assert_close(basis.T @ basis, torch.eye(124), atol=1e-5, rtol=0)
