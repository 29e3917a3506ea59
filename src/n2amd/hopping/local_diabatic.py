"""Local diabatisation: the Hamiltonian of neighbouring frames in one basis, interpolated and integrated.

The eigenstates of a frame, carried to its neighbours by the overlaps across time, are a basis in which H(t)
is smooth however fast eigenstates swap or mix: at a crossing only the eigenvectors turn. Granucci, Persico
and Toniolo (J. Chem. Phys. 114, 10608 (2001)) interpolate H linearly between two frames,

    c(t + dt) = T^dagger exp(-i Z dt / hbar) c(t),  Z = (E(t) + T E(t + dt) T^dagger) / 2,

with T the orthogonalised overlap <i(t)|j(t+dt)>, in one step or in sub-steps. Here H goes through four
frames (a cubic), and sub-steps are of fourth order (Magnus). Why the kinks of the linear interpolation
matter across a gap, and what else was tried: docs/decisions/local-diabatic-step.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.nac import adjoint
from n2amd.hopping.unitary import nearest_unitary
from n2amd.units import HBAR_EV_FS

#: Frames that the interpolation goes through.
_NODES = 4
#: Largest phase (rad) that the outermost states gain on each other within a sub-step.
_PHASE = 0.6
#: Memory of the matrices of a chunk of intervals, bytes.
_CHUNK_BYTES = 2e8


def transport_phases(overlap: NDArray) -> NDArray:
    """Phases of the states of every frame that make all <i(t)|i(t+dt)> positive, (F, n).

    Phases (signs of real states) that a diagonalisation leaves to chance are gone with them, except one for
    each state, constant in time, which no population depends on.

    Parameters
    ----------
    overlap
        (F - 1, n, n).
    """
    diagonal = np.diagonal(overlap, axis1=1, axis2=2)
    size = np.abs(diagonal)
    turn = np.divide(diagonal, size, out=np.ones_like(diagonal), where=size > 0)
    return np.concatenate([np.ones_like(turn[:1]), np.cumprod(turn.conj(), axis=0)])


def exponential(hermitian: NDArray, factor: float = 1.0) -> NDArray[np.complex128]:
    """exp(-i factor M) of Hermitian matrices M, (..., n, n)."""
    values, vectors = np.linalg.eigh(hermitian)
    return (vectors * np.exp(-1j * factor * values)[..., None, :]) @ adjoint(vectors)


def local_diabatic(
    energies: NDArray[np.float64],
    overlap: NDArray,
    timestep: float,
    mixing: NDArray | None = None,
) -> NDArray[np.complex128]:
    """Propagators of all intervals, c(t + dt) = U c(t), (F - 1, n, n), unitary.

    Exact for an H(t) that is a cubic in t (in a basis that does not depend on t), whatever its eigenstates
    do: Rabi oscillations, avoided crossings, swaps within a step. Amplitudes are those of states in the
    phases of `transport_phases`; rotations inside degenerate levels change U as they change the basis.

    Parameters
    ----------
    energies
        (F, n), eV.
    overlap
        <i(t)|j(t+dt)>, (F - 1, n, n), real or complex. States may leave the set and enter it.
    timestep
        fs.
    mixing
        Matrix elements <i|H|j> between states of a frame that are not eigenstates, diagonal zero, (F, n, n),
        eV; None where all are.
    """
    phase = transport_phases(overlap)
    overlap = phase[:-1].conj()[:, :, None] * overlap * phase[1:][:, None, :]
    if mixing is not None:
        mixing = phase.conj()[:, :, None] * mixing * phase[:, None, :]
    carried = nearest_unitary(overlap)
    n = energies.shape[1]
    # counted from the middle, energies turn least within a sub-step; the rest is a phase common to all states
    middle = 0.5 * (energies.max() + energies.min())
    energies = energies - middle
    substeps = _substeps(energies, timestep)
    size = max(1, int(_CHUNK_BYTES / (16 * 12 * n * n)))
    result = np.empty(carried.shape, dtype=np.complex128)
    for group, nodes in _stencils(len(energies)):
        for first in range(0, len(group), size):
            intervals = group[first : first + size]
            matrices, onward = _in_basis_of(intervals, nodes, energies, carried, mixing)
            result[intervals] = adjoint(onward) @ _integrate(matrices, nodes, timestep, substeps)
    return result * np.exp(-1j * middle * timestep / HBAR_EV_FS)


def _substeps(energies: NDArray[np.float64], timestep: float) -> int:
    width = float(energies.max() - energies.min())
    return max(1, int(np.ceil(width * timestep / HBAR_EV_FS / _PHASE)))


def _stencils(n_frames: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Intervals (their first frames) that share a stencil, and its frames relative to the first one."""
    count = min(_NODES, n_frames)
    intervals = np.arange(n_frames - 1)
    offset = np.clip(intervals - (count // 2 - 1), 0, n_frames - count) - intervals
    return [(intervals[offset == k], k + np.arange(count)) for k in np.unique(offset)]


def _in_basis_of(
    intervals: NDArray[np.int64],
    nodes: NDArray[np.int64],
    energies: NDArray[np.float64],
    carried: NDArray,
    mixing: NDArray | None,
) -> tuple[list[NDArray], NDArray]:
    """H of the frames of a stencil in the basis of the intervals' first frames, and T of the intervals.

    H(t + k) becomes X H X^dagger, X = T(t) .. T(t + k - 1), or T(t - 1)^dagger .. T(t + k)^dagger for k < 0.
    """
    n = energies.shape[1]
    transport = {0: np.broadcast_to(np.eye(n, dtype=carried.dtype), (len(intervals), n, n))}
    for k in range(1, int(nodes[-1]) + 1):
        transport[k] = transport[k - 1] @ carried[intervals + k - 1]
    for k in range(-1, int(nodes[0]) - 1, -1):
        transport[k] = transport[k + 1] @ adjoint(carried[intervals + k])
    matrices = []
    for k in map(int, nodes):
        x = transport[k]
        own = x * energies[intervals + k][:, None, :]
        if mixing is not None:
            own = own + x @ mixing[intervals + k]
        matrices.append(own @ adjoint(x))
    return matrices, transport[1]


def _integrate(
    matrices: list[NDArray], nodes: NDArray[np.int64], timestep: float, substeps: int
) -> NDArray[np.complex128]:
    """Propagate over an interval in a fixed basis, (I, n, n), H(t) a polynomial through the frames.

    Sub-steps of h: exp(-i h (H1 + H2) / 2 hbar - sqrt(3) h^2 [H2, H1] / 12 hbar^2), H1 and H2 at the two
    Gauss points (Magnus expansion of fourth order: Blanes, Casas, Oteo, Ros, Phys. Rep. 470, 151 (2009)).
    """
    n = matrices[0].shape[-1]
    step = timestep / substeps / HBAR_EV_FS
    gauss = np.sqrt(3) / 6
    result = np.broadcast_to(np.eye(n, dtype=np.complex128), matrices[0].shape)
    for k in range(substeps):
        early, late = (
            sum(weight * matrix for weight, matrix in zip(_lagrange(nodes, x), matrices))
            for x in ((k + 0.5 - gauss) / substeps, (k + 0.5 + gauss) / substeps)
        )
        product = late @ early
        commutator = product - adjoint(product)
        generator = 0.5 * step * (early + late) - 1j * np.sqrt(3) / 12 * step**2 * commutator
        result = _unitary_step(generator) @ result
    return result


def _unitary_step(generator: NDArray) -> NDArray[np.complex128]:
    """exp(-i G) of Hermitian matrices of norm 0.4 or less, (..., n, n), unitary: Pade approximant (4, 4).

    In error by |x|^9 / 2.5e7 for an eigenvalue x; three times faster than to diagonalise. Higham, SIAM J.
    Matrix Anal. Appl. 26, 1179 (2005).
    """
    one = np.eye(generator.shape[-1])
    x = -1j * generator
    square = x @ x
    even = one + 3 / 28 * square + square @ square / 1680
    odd = x @ (one / 2 + square / 84)
    return np.asarray(np.linalg.solve(even - odd, even + odd), dtype=np.complex128)


def _lagrange(nodes: NDArray[np.int64], x: float) -> NDArray[np.float64]:
    """Weights of the values at the nodes in the polynomial through them, at x."""
    return np.array(
        [np.prod([(x - other) / (node - other) for other in nodes if other != node]) for node in nodes]
    )
