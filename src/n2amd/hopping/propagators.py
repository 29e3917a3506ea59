"""Electronic propagators U(t) of every frame interval: c(t + dt) = U(t) c(t), built once for everything.

Two schemes. `local_diabatic` needs only energies and overlaps across time and is right where states cross,
however they do it; `hst` integrates H = E - i hbar d with Hammes-Schiffer-Tully couplings, on the time grid
of Hefei-NAMD. Either is built on all states that the couplings file holds, and then cut to those of a path.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping import pairs
from n2amd.hopping.local_diabatic import exponential, local_diabatic
from n2amd.hopping.path import ClassicalPath, Source
from n2amd.hopping.unitary import nearest_unitary
from n2amd.units import HBAR_EV_FS

Scheme = Literal["local_diabatic", "hst"]


def build(path: ClassicalPath, scheme: Scheme, substeps: int = 10) -> NDArray[np.complex128]:
    """Propagators of all intervals of a path by the chosen scheme, (frames - 1, n, n), unitary.

    Parameters
    ----------
    path
        With a source, propagators are those of its window, cut.
    scheme, substeps
        `substeps` is for hst.

    Raises
    ------
    InputError
        If the path lacks the overlaps or couplings that the scheme needs.
    """
    if path.source is not None:
        return cut(build(path.source.window, scheme, substeps), path.source)
    if scheme == "local_diabatic":
        return local_diabatic(path.energies, _given(path.overlap, scheme), path.timestep_fs, path.mixing)
    if path.spin is not None:
        raise InputError(
            "hst propagates by derivative couplings alone, which flip no spin",
            field="dynamics.scheme",
            remedy="set it to local_diabatic",
        )
    return hst(path.energies, _given(path.nac, scheme), path.timestep_fs, substeps)


def cut(propagators: NDArray[np.complex128], source: Source) -> NDArray[np.complex128]:
    """Propagators of the states of a path from those of the window they belong to, (frames - 1, n, n).

    A state that leaves the path's states hands its place to the one that enters them (`nearest_unitary`).
    Those of electron-hole pairs are determinants of the window's (`hopping.pairs`). Where the states are
    Kramers pairs, they are of both states of each, next to each other.
    """
    columns = np.ravel(source.columns[:, None] + np.arange(source.members))
    kept = propagators[:, columns[:, None], columns[None, :]]
    if len(columns) < propagators.shape[1]:
        kept = nearest_unitary(kept)
    if source.pairs is None:
        return kept
    # single excitations are not closed: what goes into double ones is lost
    return nearest_unitary(pairs.determinants(source.pairs, kept))


def _given(found: NDArray | None, scheme: Scheme) -> NDArray:
    if found is None:
        needed = "overlaps across time" if scheme == "local_diabatic" else "couplings"
        raise InputError(f"{scheme} needs {needed}", field="scheme", remedy="choose the other scheme")
    return found


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
