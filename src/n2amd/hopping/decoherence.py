"""FSSH trajectories with decoherence: each one has its own amplitudes, which know its active state.

`sdm`: energy-based decay of mixing, Granucci, Persico, J. Chem. Phys. 126, 134114 (2007): after every step
the other amplitudes decay with tau_j = hbar / |E_j - E_a| (1 + C / E_kin), C = 0.1 hartree, and the active
one takes up the rest. In a large solid the kinetic energy makes the bracket one.

`ida`: instantaneous decoherence at attempted hops, Nelson, Fernandez-Alberti, Roitberg, Tretiak, J. Chem.
Phys. 138, 224111 (2013): amplitudes collapse on the new state after a hop, and on the old one after a hop
that was refused, which under the classical path the Boltzmann factor does.

Hop probabilities are the flows of `fssh`, from each trajectory's own amplitudes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.hopping.fssh import flow, propagate
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.philox import draw, uniform
from n2amd.units import HBAR_EV_FS

#: `none` is plain FSSH, trajectory by trajectory: what tests compare with the exact chain.
Correction = Literal["sdm", "ida", "none"]
#: C of Granucci and Persico, 0.1 hartree, eV.
_CONSTANT = 2.7211386
#: Purpose of the random numbers (the last word of Philox' counter).
_STREAM = 2


@dataclass(frozen=True)
class Tables:
    """What all trajectories share.

    Attributes
    ----------
    propagators
        U of every interval, (frames - 1, n, n).
    cost
        Mid-step energies in units of kT, sign by carrier, (frames - 1, n).
    decay
        Energies at the end of every interval in units of the decay of one step, (frames - 1, n): amplitudes
        decay by exp(-|difference|).
    collapse
        Whether attempted hops collapse the amplitudes.
    final
        State whose first arrivals are recorded.
    """

    propagators: NDArray[np.complex128]
    cost: NDArray[np.float64]
    decay: NDArray[np.float64]
    collapse: bool
    final: int


def prepare(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    temperature: float,
    *,
    correction: Correction,
    kinetic_energy: float = float("inf"),
) -> Tables:
    """Tabulate what all trajectories share.

    Parameters
    ----------
    propagators
        U of every interval, (frames - 1, n, n).
    temperature
        K; infinity switches the Boltzmann factor off.
    kinetic_energy
        Of the nuclei, eV (`sdm`).
    """
    rate = path.timestep_fs / HBAR_EV_FS / (1 + _CONSTANT / kinetic_energy) if correction == "sdm" else 0.0
    return Tables(
        propagators=np.ascontiguousarray(propagators),
        cost=path.hop_costs(temperature),
        decay=path.energies[1:] * rate,
        collapse=correction == "ida",
        final=path.final,
    )


def run_block(
    tables: Tables,
    *,
    seed: int,
    sample: int,
    start_frame: int,
    start_state: int,
    steps: int,
    stride: int,
    trajectories: range,
) -> Outcome:
    """Run some trajectories of one sample; the outcome of each depends only on (seed, sample, its number)."""
    n = tables.propagators.shape[1]
    changes = np.zeros((steps // stride + 1, n), dtype=np.int64)
    changes[0, start_state] = len(trajectories)
    hops = np.zeros((n, n), dtype=np.int64)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    arrival_source = np.full(len(trajectories), -1, dtype=np.int64)
    _run(
        tables.propagators,
        tables.cost,
        tables.decay,
        tables.collapse,
        tables.final,
        (seed, sample, trajectories.start),
        (start_frame, start_state, steps, stride),
        changes,
        hops,
        arrival_step,
        arrival_source,
    )
    return Outcome(np.cumsum(changes, axis=0), hops, arrival_step, arrival_source)


@njit(cache=True)
def _decay(energies, a, c):  # type: ignore[no-untyped-def]
    """Damp all amplitudes but the active one, which takes up what they lose."""
    rest = 0.0
    for j in range(len(c)):
        if j != a:
            c[j] *= np.exp(-abs(energies[j] - energies[a]))
            rest += c[j].real ** 2 + c[j].imag ** 2
    own = c[a].real ** 2 + c[a].imag ** 2
    wanted = max(0.0, 1.0 - rest)
    c[a] = c[a] * np.sqrt(wanted / own) if own > 0.0 else complex(np.sqrt(wanted), 0.0)


@njit(cache=True)
def _selected(u, c, new, a, chance):  # type: ignore[no-untyped-def]
    """State that a trajectory in state a attempts to hop to by the fewest switches, or a itself."""
    # chance of being in a times the population of a: flows need no division
    left = chance * (c[a].real ** 2 + c[a].imag ** 2)
    for j in range(len(c)):
        if j != a:
            left -= max(0.0, flow(u, c, new, a, j))
            if left < 0.0:
                return j
    return a


@njit(cache=True)
def _run(  # type: ignore[no-untyped-def]
    propagators,
    cost,
    decay,
    collapse,
    final,
    key,
    begin,
    changes,
    hops,
    arrival_step,
    arrival_source,
):
    """Run the trajectories one after another; fills the last four arguments."""
    lap, n = len(propagators), propagators.shape[1]
    seed, sample, first = key
    start_frame, start_state, steps, stride = begin
    decays = decay.any()
    c, new = np.empty(n, dtype=np.complex128), np.empty(n, dtype=np.complex128)
    for t in range(len(arrival_step)):
        c[:] = 0.0
        c[start_state] = 1.0
        a, frame = start_state, start_frame
        for step in range(1, steps + 1):
            u = propagators[frame]
            propagate(u, c, new)
            w0, w1, w2, w3 = draw(seed, sample, first + t, step, _STREAM)
            j = _selected(u, c, new, a, uniform(w0, w1))
            c[:] = new
            if j != a:
                if uniform(w2, w3) < np.exp(-max(0.0, cost[frame, j] - cost[frame, a])):
                    hops[a, j] += 1
                    stored = (step + stride - 1) // stride
                    if stored < len(changes):
                        changes[stored, a] -= 1
                        changes[stored, j] += 1
                    if j == final and arrival_step[t] < 0:
                        arrival_step[t], arrival_source[t] = step, a
                    a = j
                if collapse:
                    c[:] = 0.0
                    c[a] = 1.0
            if decays:
                _decay(decay[frame], a, c)
            frame = 0 if frame + 1 == lap else frame + 1
