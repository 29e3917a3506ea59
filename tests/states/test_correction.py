"""States by the factor of a similar frame, against LAPACK; what must not pass; who shares a factor."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from crystals import dense_states, perfect_gallium_arsenide, rutile
from synthetic_crystal import SyntheticCrystal, cut, moving_frames

from n2amd.config.states import StatesSettings
from n2amd.states.factor_groups import FactorGroups
from n2amd.states.frame_solver import FrameSolver
from n2amd.states.neighbours import NeighbourSolver
from n2amd.states.solvers.block_ldl import BlockLdl
from n2amd.states.solvers.block_si import Target, solve_states
from n2amd.states.solvers.certificate import CertificateError, CertifiedStates, Tolerances
from n2amd.states.solvers.correction import LARGEST_CHANGE, correct_states, relative_change
from n2amd.states.solvers.pencil import Pencil

OFF_GAMMA = (0.13, -0.41, 0.27)
SIDE = 6


def between(first: Pencil, second: Pencil, share: float) -> Pencil:
    """A pencil on the straight line from one to another."""
    h, s = (
        (1 - share) * first.csr(one).toarray() + share * second.csr(other).toarray()
        for one, other in ((first.hamiltonian, second.hamiltonian), (first.overlap, second.overlap))
    )
    return Pencil.from_dense(h, s)


def anchored(pencil: Pencil, occupied: int) -> tuple[BlockLdl, CertifiedStates]:
    """Factor and states of one pencil."""
    solver = BlockLdl()
    target = Target(occupied - SIDE, occupied + SIDE, occupied)
    found = solve_states(solver, pencil, target, keep=True, count_ends=True)
    assert found.anchor is not None
    return solver, found


def corrected(solver: BlockLdl, found: CertifiedStates, near: Pencil, occupied: int) -> CertifiedStates:
    assert found.anchor is not None
    window = (occupied - SIDE, occupied + SIDE)
    return correct_states(
        solver, solver.place(near), found.anchor, *window, tolerance=1e-7, accepted=Tolerances()
    )


@pytest.mark.parametrize("k", [(0, 0, 0), OFF_GAMMA])
def test_corrected_states_are_those_of_lapack(k) -> None:
    """Two frames of one trajectory, 100 fs apart: a step of some per cent of the way, and none."""
    first, occupied = rutile("0000", k)
    second, _ = rutile("0004", k)
    solver, found = anchored(between(first, second, 0.0), occupied)
    for share in (0.0, 0.04, 0.1):
        near = between(first, second, share)
        states = corrected(solver, found, near, occupied)
        energies, wanted, s = dense_states(near, occupied - SIDE, occupied + SIDE)
        np.testing.assert_allclose(states.energies.numpy(), energies, rtol=0, atol=1e-9)
        mine = states.states.numpy()
        outside = mine - wanted @ (wanted.conj().T @ (s @ mine))
        assert np.abs(outside).max() < 1e-6
        assert states.certificate.residual < 2e-7
        assert states.certificate.orthonormality_error < 1e-12
        assert states.certificate.inertia == occupied
        assert states.certificate.factorisations == 0


def test_a_threefold_level_is_corrected_whole() -> None:
    """Of perfect GaAs, all of whose energies change by half a per cent about another zero."""
    pencil, occupied = perfect_gallium_arsenide()
    solver, found = anchored(pencil, occupied)
    h, s = (pencil.csr(m).toarray() for m in (pencil.hamiltonian, pencil.overlap))
    near = Pencil.from_dense(1.005 * h + 0.02 * s, s)
    states = corrected(solver, found, near, occupied)
    energies, _, _ = dense_states(near, occupied - SIDE, occupied + SIDE)
    np.testing.assert_allclose(states.energies.numpy(), energies, rtol=0, atol=1e-9)
    assert np.ptp(energies[SIDE - 2 : SIDE]) < 1e-9
    assert np.ptp(energies[SIDE - 3 : SIDE]) < 2e-3


def test_the_change_is_that_of_all_eigenvalues() -> None:
    first, occupied = rutile("0000")
    second, _ = rutile("0004")
    solver, found = anchored(first, occupied)
    shift = found.certificate.shift
    near = between(first, second, 0.1)
    dense = [p.csr(p.hamiltonian - shift * p.overlap).toarray() for p in (first, near)]
    wanted = np.abs(np.linalg.eigvals(np.linalg.solve(dense[0], dense[1] - dense[0]))).max()
    change = relative_change(solver, solver.place(near), shift)
    assert 0.6 * wanted < change < 1.01 * wanted
    assert relative_change(solver, solver.place(first), shift) < 1e-6


def test_a_frame_that_differs_too_much_needs_its_own_factor() -> None:
    first, occupied = rutile("0000")
    solver, found = anchored(first, occupied)
    h, s = (first.csr(m).toarray() for m in (first.hamiltonian, first.overlap))
    far = Pencil.from_dense(h + 3.0 * np.diag(np.cos(np.arange(len(h)))), s)
    assert relative_change(solver, solver.place(far), found.certificate.shift) > LARGEST_CHANGE
    with pytest.raises(CertificateError, match="differs by"):
        corrected(solver, found, far, occupied)


@pytest.mark.parametrize("target", [0.0, 0.9])
def test_a_state_that_comes_into_the_window_from_far_away_is_not_overlooked(target: float) -> None:
    """One empty state far above the gap falls to the middle of it, or among the window's empty states."""
    first, occupied = rutile("0000")
    solver, found = anchored(first, occupied)
    h, s = (first.csr(m).toarray() for m in (first.hamiltonian, first.overlap))
    energies, c = scipy.linalg.eigh(h, s)
    far = occupied + 150
    edge = energies[occupied] + target
    s_c = s @ c[:, far]
    changed = Pencil.from_dense(h + (edge - energies[far]) * np.outer(s_c, s_c), s)
    with pytest.raises(CertificateError):
        corrected(solver, found, changed, occupied)


def test_a_state_across_the_shift_is_not_overlooked() -> None:
    first, occupied = rutile("0000")
    solver, found = anchored(first, occupied)
    h, s = (first.csr(m).toarray() for m in (first.hamiltonian, first.overlap))
    energies, c = scipy.linalg.eigh(h, s)
    s_c = s @ c[:, occupied]
    fall = energies[occupied] - energies[occupied - 1] + 0.1
    with pytest.raises(CertificateError, match=r"differs by|lie below the shift"):
        corrected(solver, found, Pencil.from_dense(h - fall * np.outer(s_c, s_c), s), occupied)


@pytest.mark.parametrize("last", [0, 3, 7, 8, 14, 29])
@pytest.mark.parametrize("half", [1, 3, 4])
def test_groups_part_a_trajectory(half: int, last: int) -> None:
    groups = FactorGroups(half, last)
    for frame in range(last + 1):
        anchor = groups.anchor(frame)
        assert 0 <= anchor <= last
        assert abs(frame - anchor) < 2 * half
        assert frame in groups.members(anchor)
        assert groups.anchor(anchor) == anchor
    served = [f for a in range(0, last + 1, 2 * half) for f in groups.members(a) if groups.anchor(f) == a]
    assert served == list(range(last + 1))


def test_a_reach_below_the_time_step_shares_nothing() -> None:
    assert FactorGroups.of(0.0, 1.0, 99) is None
    assert FactorGroups.of(0.9, 1.0, 99) is None
    assert FactorGroups.of(0.3, 0.1, 99) == FactorGroups(3, 99)


SETTINGS = StatesSettings(valence=2, conduction=2, margin=1, solver="block_si")


class Counting(FrameSolver):
    """Notes which frames were given a factor."""

    def solve_folded(self, folded, frame, *, count_ends, keep=False):
        FACTORS.append((frame, keep))
        return super().solve_folded(folded, frame, count_ends=count_ends, keep=keep)


FACTORS: list[tuple[int, bool]] = []


def neighbour_solver(frames, settings=SETTINGS) -> NeighbourSolver:
    FACTORS.clear()
    solver = Counting.for_structure(SyntheticCrystal(), settings, frames.structure).placed(frames.first)
    FACTORS.clear()
    return NeighbourSolver(solver, frames)


def test_frames_that_move_little_share_factors_and_have_the_states_of_lapack() -> None:
    frames = moving_frames(12, amplitude=0.02)
    shared = neighbour_solver(frames)
    dense = FrameSolver.for_structure(
        SyntheticCrystal(), SETTINGS.model_copy(update={"solver": "dense"}), frames.structure
    )
    for frame in range(12):
        states, wanted = shared.solve(frame), dense.solve(frames[frame], frame)
        np.testing.assert_allclose(states.energies, wanted.energies, rtol=0, atol=1e-9)
        assert states.inertia == shared._solver.window.n_occupied
    assert len(FACTORS) < 12


def test_states_do_not_depend_on_where_one_begins() -> None:
    frames = moving_frames(12, amplitude=0.02)
    whole = neighbour_solver(frames)
    wanted = [whole.solve(frame) for frame in range(12)]
    for start in (2, 5, 9):
        part = neighbour_solver(cut(frames, start, 11))
        for frame in range(start, 12):
            assert np.array_equal(part.solve(frame).coefficients, wanted[frame].coefficients)


def test_frames_that_move_far_get_their_own_factors_and_the_user_is_told(caplog) -> None:
    frames = moving_frames(12, amplitude=0.9)
    shared = neighbour_solver(frames)
    dense = FrameSolver.for_structure(
        SyntheticCrystal(), SETTINGS.model_copy(update={"solver": "dense"}), frames.structure
    )
    for frame in range(12):
        wanted = dense.solve(frames[frame], frame)
        np.testing.assert_allclose(shared.solve(frame).energies, wanted.energies, rtol=0, atol=1e-9)
    assert len([frame for frame, keep in FACTORS if not keep]) >= 5
    assert "lower states.factor_reach_fs" in caplog.text


def test_the_change_is_the_same_at_each_call() -> None:
    """Whatever random numbers were drawn before."""
    first, occupied = rutile("0000")
    second, _ = rutile("0004")
    solver, found = anchored(first, occupied)
    near = solver.place(between(first, second, 0.1))
    one = relative_change(solver, near, found.certificate.shift)
    torch.rand(3)
    assert one == relative_change(solver, near, found.certificate.shift)


def test_an_anchor_without_a_factor_to_share_is_solved_once(monkeypatch) -> None:
    """Where an anchor needed two shifts, frames of its group have factors of their own."""
    frames = moving_frames(7, amplitude=0.02)
    shared = neighbour_solver(frames)

    def without_factor(self, folded, frame, *, count_ends, keep=False):
        FACTORS.append((frame, keep))
        return FrameSolver.solve_folded(self, folded, frame, count_ends=count_ends)

    monkeypatch.setattr(Counting, "solve_folded", without_factor)
    for frame in range(7):
        shared.solve(frame)
    assert [frame for frame, keep in FACTORS if keep] == [0]
    assert [frame for frame, keep in FACTORS if not keep] == [1, 2, 3, 4, 5, 6]
