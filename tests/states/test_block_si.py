"""Block shift-invert Lanczos against LAPACK, and every certificate broken on purpose."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from crystals import dense_states, gallium_arsenide, perfect_gallium_arsenide, rutile, silicon

from n2amd.states.solvers.block_ldl import Blocking, BlockLdl, factorise
from n2amd.states.solvers.block_si import Options, Target, solve_states
from n2amd.states.solvers.certificate import (
    CertificateError,
    Tolerances,
    check_count,
    check_errors,
    check_sides,
    counting_energy,
)
from n2amd.states.solvers.device_pencil import DevicePencil, GroupedProduct
from n2amd.states.solvers.pencil import Pencil
from n2amd.states.solvers.protocol import FactorisationError
from n2amd.states.solvers.shift import find_shift

SMALL = Blocking(block=48, panel=96, columns=64)
OFF_GAMMA = (0.13, -0.41, 0.27)
CASES = [
    (rutile, ()),
    (rutile, ("0004", OFF_GAMMA)),
    (gallium_arsenide, ()),
    (perfect_gallium_arsenide, ()),
]


def window(occupied: int, side: int = 8) -> Target:
    return Target(occupied - side, occupied + side, occupied)


def random_hermitian(n: int, seed: int, complex_: bool = False) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    dtype = torch.complex128 if complex_ else torch.float64
    matrix = torch.randn(n, n, dtype=dtype, generator=generator)
    return (matrix + matrix.mH) / 2


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("n", [5, 48, 97, 300])
def test_block_ldl_solves_and_counts(n: int, complex_: bool) -> None:
    matrix = random_hermitian(n, n, complex_)
    right = random_hermitian(n, 1, complex_)[:, :3]
    factors = factorise(matrix.clone(), SMALL)
    assert factors.inertia == int((np.linalg.eigvalsh(matrix.numpy()) < 0).sum())
    assert torch.allclose(matrix @ factors.solve(right), right, rtol=0, atol=1e-7)


def test_block_ldl_reads_the_lower_half_alone() -> None:
    matrix = random_hermitian(150, 2)
    spoilt = torch.tril(matrix) + 7 * torch.triu(torch.ones_like(matrix), 1)
    right = torch.ones(150, 1, dtype=torch.float64)
    one, other = (factorise(m.clone(), SMALL).solve(right) for m in (matrix, spoilt))
    assert torch.equal(one, other)


def test_a_vanishing_pivot_is_refused() -> None:
    singular = torch.zeros(6, 6, dtype=torch.float64)
    singular[0, 0] = 1
    with pytest.raises(FactorisationError, match="a pivot vanishes"):
        factorise(singular, SMALL)
    not_finite = torch.eye(6, dtype=torch.float64)
    not_finite[3, 3] = torch.nan
    with pytest.raises(FactorisationError):
        factorise(not_finite, SMALL)


@pytest.mark.parametrize(("crystal", "arguments"), CASES)
def test_products_are_those_of_the_matrices(crystal, arguments) -> None:
    pencil, _ = crystal(*arguments)
    on_device = DevicePencil(pencil)
    block = torch.randn(pencil.n, 3, dtype=on_device.dtype, generator=torch.Generator().manual_seed(0))
    for values, product in ((pencil.hamiltonian, on_device.hamiltonian), (pencil.overlap, on_device.overlap)):
        wanted = pencil.csr(values) @ block.numpy()
        np.testing.assert_allclose(product(block).numpy(), wanted, rtol=0, atol=1e-9)
        gathered = GroupedProduct(pencil, torch.from_numpy(values).to(block.dtype), batch=5)
        np.testing.assert_allclose(gathered(block).numpy(), wanted, rtol=0, atol=1e-9)
    shifted = on_device.shifted(0.3).numpy()
    np.testing.assert_allclose(
        shifted, pencil.csr(pencil.hamiltonian - 0.3 * pencil.overlap).toarray(), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize(("crystal", "arguments"), CASES)
def test_states_are_those_of_lapack(crystal, arguments) -> None:
    pencil, occupied = crystal(*arguments)
    target = window(occupied)
    found = solve_states(BlockLdl(), pencil, target, count_ends=True)
    energies, states, s = dense_states(pencil, target.low, target.high)
    np.testing.assert_allclose(found.energies.numpy(), energies, rtol=0, atol=1e-9)
    mine = found.states.numpy()
    # what of one space lies outside the other, in the norm of S; whole levels only
    outer = [k for k in range(16) if energies[0] + 1e-6 < energies[k] < energies[-1] - 1e-6]
    outside = mine[:, outer] - states @ (states.conj().T @ (s @ mine[:, outer]))
    angle = np.sqrt(np.linalg.eigvalsh(outside.conj().T @ s @ outside)[-1].clip(0))
    assert angle < 1e-6
    certificate = found.certificate
    assert certificate.inertia == occupied
    assert energies[7] < certificate.shift < energies[8]
    assert certificate.residual < 1e-6
    assert certificate.orthonormality_error < 1e-12
    assert certificate.ends_counted


def test_a_threefold_vbm_is_found_whole() -> None:
    """Of perfect silicon, to the symmetry that its file has (0.02 meV)."""
    pencil, occupied = silicon()
    target = window(occupied)
    energies = solve_states(BlockLdl(), pencil, target, count_ends=True).energies.numpy()
    assert np.ptp(energies[5:8]) < 2e-5
    assert energies[5] - energies[4] > 1e-3
    np.testing.assert_allclose(energies, dense_states(pencil, target.low, target.high)[0], rtol=0, atol=1e-9)


def test_a_warm_start_and_another_shift_give_the_same_states() -> None:
    pencil, occupied = rutile()
    target = window(occupied)
    cold = solve_states(BlockLdl(), pencil, target)
    middle = float(cold.energies[7:9].mean())
    later, _ = rutile("0004")
    again = solve_states(BlockLdl(), later, target, middle)
    warm = solve_states(BlockLdl(), later, target, middle, warm=cold.states)
    np.testing.assert_allclose(warm.energies.numpy(), again.energies.numpy(), rtol=0, atol=1e-10)
    moved = solve_states(BlockLdl(), later, target, middle + 0.4)
    np.testing.assert_allclose(moved.energies.numpy(), again.energies.numpy(), rtol=0, atol=1e-10)


def test_a_shift_among_the_valence_states_does_not_change_the_window() -> None:
    pencil, occupied = rutile()
    target = window(occupied)
    wanted = solve_states(BlockLdl(), pencil, target).energies
    inside = float(wanted[5] + wanted[6]) / 2
    found = solve_states(BlockLdl(), pencil, target, inside)
    assert found.certificate.inertia == occupied - 2
    np.testing.assert_allclose(found.energies.numpy(), wanted.numpy(), rtol=0, atol=1e-10)


def test_a_shift_outside_the_window_is_searched_for_anew() -> None:
    pencil, occupied = rutile()
    found = solve_states(BlockLdl(), pencil, window(occupied), -40.0)
    assert found.certificate.inertia == occupied
    assert found.certificate.factorisations > 2


def test_single_precision_with_refinement_gives_the_same_states() -> None:
    pencil, occupied = rutile()
    double = solve_states(BlockLdl(), pencil, window(occupied))
    single = solve_states(BlockLdl(single=True), pencil, window(occupied), double.certificate.shift)
    np.testing.assert_allclose(single.energies.numpy(), double.energies.numpy(), rtol=0, atol=1e-9)


def test_the_gap_is_found_by_counting() -> None:
    pencil, occupied = gallium_arsenide()
    solver = BlockLdl()
    solver.prepare(pencil)
    energies, _, _ = dense_states(pencil, occupied - 1, occupied + 1)
    for guess in (None, -100.0, 60.0):
        shift = find_shift(solver, occupied - 8, occupied + 8, occupied, pencil.on_site_energies(), guess)
        assert energies[0] < shift < energies[1]


class Broken(BlockLdl):
    """A solver that lies about one thing."""

    def __init__(
        self,
        *,
        miscount: int = 0,
        noise: float = 0.0,
        hidden: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.miscount, self.noise, self.hidden = miscount, noise, hidden

    @property
    def inertia(self) -> int:
        return super().inertia + self.miscount

    def factor(self, shift: float) -> int:
        return super().factor(shift) + self.miscount

    def solve(self, block: torch.Tensor) -> torch.Tensor:
        x = super().solve(block)
        if self.noise:
            x = x + self.noise * torch.randn(
                x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(5)
            )
        if self.hidden is not None:
            # a state that the operator does not see: the S-projection of it is taken out
            c, s_c = self.hidden
            x = x - c[:, None] * (s_c @ x)[None]
        return x


def test_a_wrong_count_is_caught_at_the_ends() -> None:
    """One state more below the shift, and the window would be one state too high."""
    pencil, occupied = rutile()
    _, states, s = dense_states(pencil, occupied - 3, occupied - 2)
    hidden = (torch.from_numpy(states[:, 0]), torch.from_numpy(s @ states[:, 0]))
    target = window(occupied)
    # the operator misses one state of the window: the others are sound, and one from outside takes its place
    with pytest.raises(CertificateError, match=r"states lie below .*some are missing or false"):
        solve_states(Broken(hidden=hidden), pencil, target, count_ends=True)


def test_a_false_inverse_is_caught_by_the_residual() -> None:
    pencil, occupied = rutile()
    with pytest.raises(CertificateError, match=r"leave a residual|the residual is"):
        solve_states(Broken(noise=1e-2), pencil, window(occupied), -5.0, options=Options(largest_basis=256))


def test_a_shift_on_which_the_factor_explodes_is_left(monkeypatch) -> None:
    """The first shift fails; the second attempt is made at another one, and the states are the same."""
    pencil, occupied = rutile()
    wanted = solve_states(BlockLdl(), pencil, window(occupied))
    shift = wanted.certificate.shift

    class Exploding(BlockLdl):
        def factor(self, energy: float) -> int:
            if energy == shift:
                raise FactorisationError("a pivot vanishes")
            return super().factor(energy)

    found = solve_states(Exploding(), pencil, window(occupied), shift)
    assert found.certificate.shift != shift
    np.testing.assert_allclose(found.energies.numpy(), wanted.energies.numpy(), rtol=0, atol=1e-10)


def test_a_full_basis_leads_to_a_wider_block_and_two_shifts() -> None:
    pencil, occupied = rutile()
    target = window(occupied)
    wanted = solve_states(BlockLdl(), pencil, target)
    asked = []

    class Recording(BlockLdl):
        def factor(self, energy: float) -> int:
            asked.append(energy)
            return super().factor(energy)

    shift = wanted.certificate.shift
    options = Options(largest_basis=256)
    found = solve_states(Recording(), pencil, target, shift, options=options)
    assert found.certificate.factorisations == len(asked) > 2
    np.testing.assert_allclose(found.energies.numpy(), wanted.energies.numpy(), rtol=0, atol=1e-9)


def test_when_nothing_helps_every_failure_is_told() -> None:
    pencil, occupied = rutile()
    shift = solve_states(BlockLdl(), pencil, window(occupied)).certificate.shift
    narrow, wide = Options().width, 2 * Options().width
    with pytest.raises(CertificateError, match=rf"blocks of {narrow} .*; then .*blocks of {wide}"):
        solve_states(BlockLdl(), pencil, window(occupied), shift, options=Options(largest_basis=96))


@pytest.mark.parametrize(
    ("residual", "error", "message"),
    [(1e-3, 1e-15, "residual"), (np.nan, 1e-15, "residual"), (1e-8, 1e-6, "S-orthonormal")],
)
def test_errors_above_their_tolerances_are_refused(residual: float, error: float, message: str) -> None:
    with pytest.raises(CertificateError, match=message):
        check_errors(residual, error, Tolerances())


def test_states_on_the_wrong_side_of_the_shift_are_refused() -> None:
    energies = torch.tensor([-1.0, 0.0, 1.0])
    check_sides(energies, 0.5, 2)
    with pytest.raises(CertificateError, match="2 of the states lie below"):
        check_sides(energies, 0.5, 1)


def test_counts_are_made_between_levels() -> None:
    energies = torch.tensor([-1.0, -1.0, -0.5, 0.0, 0.5, 0.5])
    assert counting_energy(energies, 0, 1) == (1, -0.75)
    assert counting_energy(energies, 4, -1) == (3, 0.25)
    with pytest.raises(CertificateError, match="one level"):
        counting_energy(torch.zeros(4), 0, 1)
    with pytest.raises(CertificateError, match="7 states lie below"):
        check_count(6, 7, 0.0)


def test_indefinite_overlap_is_not_certified() -> None:
    pencil, occupied = gallium_arsenide(2)
    h, s = (pencil.csr(m).toarray() for m in (pencil.hamiltonian, pencil.overlap))
    s = s - (scipy.linalg.eigvalsh(s)[0] + 0.05) * np.eye(len(s))
    with pytest.raises((CertificateError, FactorisationError)):
        solve_states(BlockLdl(), Pencil.from_dense(h, s), window(occupied, 4), count_ends=True)
