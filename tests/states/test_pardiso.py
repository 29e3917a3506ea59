from __future__ import annotations

import numpy as np
import pytest
import torch
from crystals import dense_states, rutile

from n2amd.errors import InputError
from n2amd.states.solvers.block_si import Target, solve_states
from n2amd.states.solvers.pardiso import Pardiso
from n2amd.states.solvers.pencil import Pencil


@pytest.mark.pardiso
@pytest.mark.parametrize("k", [(0, 0, 0), (0.13, -0.41, 0.27)])
def test_states_are_those_of_lapack(k) -> None:
    pencil, occupied = rutile("0000", k)
    target = Target(occupied - 8, occupied + 8, occupied)
    found = solve_states(Pardiso(), pencil, target, count_ends=True)
    energies, _, _ = dense_states(pencil, target.low, target.high)
    np.testing.assert_allclose(found.energies.numpy(), energies, rtol=0, atol=1e-9)
    assert found.certificate.inertia == occupied


@pytest.mark.pardiso
def test_another_pattern_is_analysed_anew() -> None:
    """A stale analysis gives a wrong inertia without a word."""
    solver = Pardiso()
    full, occupied = rutile()
    h, s = full.csr(full.hamiltonian), full.csr(full.overlap)
    kept = abs(s) + abs(h) > 1e-3
    thin = [(matrix * kept).tocsr() for matrix in (h, s)]
    both = [matrix + 1e-300 * kept for matrix in thin]
    sparse = Pencil.from_csr(*both)
    for pencil in (full, sparse, full):
        solver.prepare(pencil)
        count = solver.factor(-5.5)
        h, s = (pencil.csr(m).toarray() for m in (pencil.hamiltonian, pencil.overlap))
        assert count == int((np.linalg.eigvalsh(h + 5.5 * s) < 0).sum())
        right = torch.ones(pencil.n, 2, dtype=torch.float64)
        assert np.allclose((h + 5.5 * s) @ solver.solve(right).numpy(), 1, atol=1e-8)
    assert occupied == 192


def test_without_the_package_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypardiso", None)
    with pytest.raises(InputError, match=r"states\.factorisation.*pip install pypardiso"):
        Pardiso()
