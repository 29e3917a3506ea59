"""Electronic propagators U(t) of every frame interval: c(t + dt) = U(t) c(t), built once for everything.

Two schemes. `local_diabatic` needs only energies and overlaps across time and is right at trivial crossings;
`hst` integrates H = E - i hbar d with Hammes-Schiffer-Tully couplings, on the time grid of Hefei-NAMD.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.errors import ComputationError, InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.units import HBAR_EV_FS

Scheme = Literal["local_diabatic", "hst"]

#: Phase taken off the overlap before its Cayley transform, which a state that turned into minus another one
#: (eigenvalue -1) would make singular.
_CAYLEY_PHASE = 0.1234567


def build(path: ClassicalPath, scheme: Scheme, substeps: int = 10) -> NDArray[np.complex128]:
    """Propagators of all intervals of a path by the chosen scheme, (frames - 1, n, n).

    Raises
    ------
    InputError
        If the path lacks the overlaps or couplings that the scheme needs.
    """
    if scheme == "local_diabatic":
        return local_diabatic(path.energies, source(path, scheme), path.timestep_fs)
    return hst(path.energies, source(path, scheme), path.timestep_fs, substeps)


def source(path: ClassicalPath, scheme: Scheme) -> NDArray:
    """What a scheme works from, (frames - 1, n, n): transported overlaps, or couplings; raises as `build`."""
    found = path.overlap if scheme == "local_diabatic" else path.nac
    if found is None:
        needed = "overlaps across time" if scheme == "local_diabatic" else "couplings"
        raise InputError(f"{scheme} needs {needed}", field="scheme", remedy="choose the other scheme")
    return transported(found) if scheme == "local_diabatic" else found


def transported(overlap: NDArray) -> NDArray:
    """Overlaps after phases of the states were chosen, frame by frame, so that <i(t)|i(t+dt)> is positive.

    Phases (signs of real states) that a diagonalisation leaves to chance are then gone, except one for each
    state, constant in time, which no population depends on.
    """
    diagonal = np.diagonal(overlap, axis1=1, axis2=2)
    size = np.abs(diagonal)
    turn = np.divide(diagonal, size, out=np.ones_like(diagonal), where=size > 0)
    phase = np.concatenate([np.ones_like(turn[:1]), np.cumprod(turn.conj(), axis=0)])
    return phase[:-1].conj()[:, :, None] * overlap * phase[1:][:, None, :]


def loewdin(overlap: NDArray) -> NDArray:
    """Unitary matrices nearest to the overlaps (Loewdin's symmetric orthogonalisation), (..., n, n).

    Raises
    ------
    ComputationError
        If an overlap is singular: the states at t + dt are not those at t.
    """
    left, singular, right = np.linalg.svd(overlap)
    smallest = singular.min(axis=-1)
    if smallest.min() < 1e-6:
        raise ComputationError(
            f"interval {int(smallest.argmin())}: the overlap is singular, a state has left the window; "
            "keep more states or a shorter time step"
        )
    return left @ right


def rotation_generator(unitary: NDArray) -> NDArray[np.complex128]:
    """Hermitian K with exp(i K) = unitary and eigenvalues in (-pi, pi], (..., n, n).

    By the Cayley transform, whose eigenvectors are orthonormal also at degenerate eigenvalues.
    """
    one = np.eye(unitary.shape[-1])
    turned = unitary * np.exp(-1j * _CAYLEY_PHASE)
    cayley = np.linalg.solve((turned + one).swapaxes(-1, -2), (turned - one).swapaxes(-1, -2)).swapaxes(
        -1, -2
    )
    tangent, vectors = np.linalg.eigh(-0.5j * (cayley - _dagger(cayley)))
    angle = 2 * np.arctan(tangent) + _CAYLEY_PHASE
    angle = np.where(angle > np.pi, angle - 2 * np.pi, angle)
    return (vectors * angle[..., None, :]) @ _dagger(vectors)


def exponential(hermitian: NDArray, factor: float = 1.0) -> NDArray[np.complex128]:
    """exp(-i factor M) of Hermitian matrices M, (..., n, n)."""
    values, vectors = np.linalg.eigh(hermitian)
    return (vectors * np.exp(-1j * factor * values)[..., None, :]) @ _dagger(vectors)


def coupling_of_overlap(overlap: NDArray, timestep: float) -> NDArray:
    """Coupling hbar d (eV) that, constant over the step, gives the overlap: d = log(Loewdin(O)) / dt."""
    coupling = 1j * HBAR_EV_FS / timestep * rotation_generator(loewdin(overlap))
    return coupling if np.iscomplexobj(overlap) else coupling.real


def local_diabatic(energies: NDArray, overlap: NDArray, timestep: float) -> NDArray[np.complex128]:
    r"""Local diabatisation: the orthogonalised overlap itself carries the amplitudes across the interval.

    With T = Loewdin(O), O_ij = <i(t)|j(t+dt)>, the bare scheme (Granucci, Persico, Toniolo, J. Chem. Phys.
    114, 10608 (2001)) is U = exp(-i E(t+dt) dt/2 hbar) T^dagger exp(-i E(t) dt/2 hbar): all transfer happens
    at mid-step. Across a gap that overestimates the transfer by (x / sin x)^2, x = gap dt / 2 hbar: 2 at 1.8
    eV and 14 at 3.2 eV with dt = 1 fs. So the rotation T^dagger = exp(-iK) is spread evenly over the step
    while the phases run, U = exp(-i (E dt / hbar + K)) with E the mean of both ends: the same T^dagger where
    states cross, and the exact solution of a constant coupling at any gap.

    Parameters
    ----------
    energies
        (F, n), eV.
    overlap
        (F - 1, n, n), real or complex.
    timestep
        fs.
    """
    rotation = rotation_generator(loewdin(overlap))
    phase = 0.5 * (energies[1:] + energies[:-1]) * (timestep / HBAR_EV_FS)
    return exponential(rotation + phase[:, :, None] * np.eye(energies.shape[1]))


def hst(
    energies: NDArray,
    nac: NDArray,
    timestep: float,
    substeps: int = 10,
    integrator: Literal["trotter", "exponential"] = "trotter",
) -> NDArray[np.complex128]:
    """Integrate H = E - i hbar d over every interval in `substeps` electronic steps.

    On Hefei-NAMD's grid: couplings belong to mid-steps and are interpolated linearly to both neighbours
    (constant beyond the ends), energies linearly between frames, both taken in the middle of a sub-step.

    Parameters
    ----------
    energies
        (F, n), eV.
    nac
        hbar d_ij at t + dt/2, (F - 1, n, n), eV, real or complex.
    timestep
        fs.
    substeps
        Electronic steps an interval.
    integrator
        `trotter`: symmetric product of pair rotations around the phases (Akimov, Prezhdo, JCTC 10, 789
        (2014)), as Hefei-NAMD does it; `exponential`: exact for H held constant in a sub-step.
    """
    energies, coupling = np.ascontiguousarray(energies), np.ascontiguousarray(nac) / HBAR_EV_FS
    if integrator == "trotter":
        n = energies.shape[1]
        result = np.zeros((len(coupling), n, n), dtype=np.complex128)
        # real rotations act on real and imaginary parts alike: twice as fast as complex arithmetic
        rows = result if np.iscomplexobj(coupling) else result.view(np.float64)
        _trotter(energies, coupling, timestep, substeps, result, rows)
        return result
    before = np.concatenate([coupling[:1], coupling[:-1]])
    after = np.concatenate([coupling[1:], coupling[-1:]])
    product = np.broadcast_to(np.eye(energies.shape[1], dtype=np.complex128), coupling.shape)
    for step in range(substeps):
        x = (step + 0.5) / substeps
        w_before, w_here, w_after = midpoint_weights(x)
        hamiltonian = -1j * HBAR_EV_FS * (w_before * before + w_here * coupling + w_after * after)
        diagonal = (1 - x) * energies[:-1] + x * energies[1:]
        hamiltonian = hamiltonian + diagonal[:, :, None] * np.eye(energies.shape[1])
        product = exponential(hamiltonian, timestep / substeps / HBAR_EV_FS) @ product
    return product


def trotter_rate_factor(gap: float, timestep: float, substeps: int) -> float:
    """Factor by which `hst` with pair rotations changes the rate of recombination across a gap (eV).

    The rotations act at the ends of a sub-step, the phases in between: to first order in a constant coupling
    the amplitude is x / tan x times the exact one, x = gap dt / (2 hbar substeps).
    """
    x = abs(gap) * timestep / (2 * HBAR_EV_FS * substeps)
    return float((x / np.tan(x)) ** 2) if x > 0 else 1.0


def cumulative(propagators: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """W(f) = U(f-1) ... U(0) with W(0) = 1, (frames, n, n): amplitudes are W(f) times a constant vector."""
    result = np.empty((len(propagators) + 1, *propagators.shape[1:]), dtype=np.complex128)
    result[0] = np.eye(propagators.shape[1])
    for frame, step in enumerate(propagators):
        result[frame + 1] = step @ result[frame]
    return result


@njit(cache=True, inline="always")
def midpoint_weights(x: float) -> tuple[float, float, float]:
    """Weights of the couplings of the previous, this and the next interval at fraction x of this one."""
    if x <= 0.5:
        return 0.5 - x, 0.5 + x, 0.0
    return 0.0, 1.5 - x, x - 0.5


@njit(cache=True)
def substep_angles(coupling, frame, x, duration, angles):  # type: ignore[no-untyped-def]
    """Rotation angles d_jk * duration (upper triangle) at fraction x of an interval."""
    n = coupling.shape[1]
    w_before, w_here, w_after = midpoint_weights(x)
    before, here, after = (
        coupling[max(frame - 1, 0)],
        coupling[frame],
        coupling[min(frame + 1, len(coupling) - 1)],
    )
    for j in range(n):
        for k in range(j + 1, n):
            angles[j, k] = (w_before * before[j, k] + w_here * here[j, k] + w_after * after[j, k]) * duration


@njit(cache=True)
def rotations(angles, sine, cosine):  # type: ignore[no-untyped-def]
    """Sines (with the phase of the angle) and cosines of pair rotations (upper triangle).

    By series where the angle is below 0.1, as it nearly always is: exact to rounding, and ten times faster.
    """
    n = len(angles)
    for j in range(n):
        for k in range(j + 1, n):
            angle = angles[j, k]
            square = angle.real * angle.real + angle.imag * angle.imag
            if square < 0.01:
                ratio = 1 - square / 6 * (1 - square / 20 * (1 - square / 42 * (1 - square / 72)))
                cosine[j, k] = 1 - square / 2 * (
                    1 - square / 12 * (1 - square / 30 * (1 - square / 56 * (1 - square / 90)))
                )
            else:
                size = np.sqrt(square)
                ratio = np.sin(size) / size
                cosine[j, k] = np.cos(size)
            sine[j, k] = angle * ratio


@njit(cache=True)
def _trotter(energies, coupling, timestep, substeps, result, rows):  # type: ignore[no-untyped-def]
    """Fill `result` (frames - 1, n, n); `rows` is its memory, seen as reals where the couplings are real."""
    n = energies.shape[1]
    width = rows.shape[2]
    duration = timestep / substeps
    angles = np.zeros((n, n), dtype=coupling.dtype)
    cosine = np.ones((n, n))
    sine = np.zeros((n, n), dtype=coupling.dtype)
    for frame in range(len(coupling)):
        matrix, row = result[frame], rows[frame]
        for j in range(n):
            matrix[j, j] = 1.0
        for step in range(substeps):
            x = (step + 0.5) / substeps
            substep_angles(coupling, frame, x, 0.5 * duration, angles)
            rotations(angles, sine, cosine)
            for j in range(n):
                for k in range(j + 1, n):
                    c, s, t = cosine[j, k], sine[j, k], np.conj(sine[j, k])
                    for m in range(width):
                        a, b = row[j, m], row[k, m]
                        row[j, m] = c * a - s * b
                        row[k, m] = t * a + c * b
            for j in range(n):
                energy = (1.0 - x) * energies[frame, j] + x * energies[frame + 1, j]
                phase = np.exp(-1j * energy * duration / HBAR_EV_FS)
                for m in range(n):
                    matrix[j, m] *= phase
            for j in range(n - 1, -1, -1):
                for k in range(n - 1, j, -1):
                    c, s, t = cosine[j, k], sine[j, k], np.conj(sine[j, k])
                    for m in range(width):
                        a, b = row[j, m], row[k, m]
                        row[j, m] = c * a - s * b
                        row[k, m] = t * a + c * b


def _dagger(matrix: NDArray) -> NDArray:
    return matrix.conj().swapaxes(-1, -2)
