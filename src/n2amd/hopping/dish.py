"""Decoherence-induced surface hopping (DISH) by the rules of Hefei-NAMD.

Jaeger, Fischer, Prezhdo, J. Chem. Phys. 137, 22A545 (2012). Every step: the amplitudes c are propagated;
1/tau_i = sum_{j != i} |c_j|^2 / tau_ij; of the states whose clock has passed tau_i one, chosen at random,
decoheres and its clock restarts; with probability |c_i|^2 exp(-max(0, cost) / kT), cost from mid-step
energies, the wave function collapses on it and it becomes the active state, else it is projected out and the
active state stays.

These rules, step by step, are `dish_plain`; `dish_kernel` does the same without looking where nothing can
happen. Random numbers are a stream of words per trajectory. A collapse is proposed with probability |c_i|^2:
the product of (1 - |c_i|^2) over events falls below a number drawn once a proposal, which is the same as a
draw an event; a proposal is accepted with the Boltzmann factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.hopping import dish_kernel
from n2amd.hopping.outcome import Outcome
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import cumulative
from n2amd.hopping.simd import WIDTH

#: Steps that the kernel looks ahead: many where few states leave long quiet times.
_AHEAD, _AHEAD_OF_FEW = 8, 32
_FEW = 4
#: Trajectories that go in step: what they need fits into the second-level cache.
_IN_STEP = 64


@dataclass(frozen=True)
class DishTables:
    """What all trajectories share.

    Attributes
    ----------
    rows
        Cumulative propagators W(f), real and imaginary parts, (frames, n, 2, width); rows are padded with
        zeros to `width`, so that they fill vector registers.
    columns
        The same, transposed: (frames, n, 2, width).
    leak, ahead
        Largest amplitude outside state a within `ahead` steps of being wholly in it at frame f, (frames, n).
    rate
        dt / tau_ij, diagonal 0, (n, n).
    cost
        Mid-step energies in units of kT, sign by carrier, (frames - 1, n).
    exponential
        Whether waiting times are drawn (one exponential an interval between decoherences) or are tau_i
        itself.
    final, absorbing
        State whose first arrivals are recorded, and whether trajectories end there.
    """

    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    leak: NDArray[np.float64]
    ahead: int
    rate: NDArray[np.float64]
    cost: NDArray[np.float64]
    exponential: bool
    final: int
    absorbing: bool


def prepare(
    path: ClassicalPath,
    propagators: NDArray[np.complex128],
    dephasing_time: NDArray[np.float64],
    temperature: float,
    *,
    waiting: str = "deterministic",
    absorbing: bool = True,
) -> DishTables:
    """Tabulate what all trajectories share.

    Parameters
    ----------
    path
        Energies and carrier.
    propagators
        U of every interval, (frames - 1, n, n).
    dephasing_time
        (n, n), fs; zeros and infinities mean no dephasing.
    temperature
        K; infinity switches the Boltzmann factor off.
    waiting
        `deterministic` (a state decoheres when its clock passes tau_i) or `exponential`.
    absorbing
        Whether a trajectory ends when it reaches the final state, as recombination does.
    """
    total = cumulative(propagators)
    n = path.states
    rows = _split(total)
    ahead = _AHEAD_OF_FEW if n <= _FEW else _AHEAD
    return DishTables(
        rows=rows,
        columns=_split(total.swapaxes(1, 2)),
        leak=dish_kernel.leakage(rows.reshape(-1), n, ahead, _blocks(rows)),
        ahead=ahead,
        rate=rates(dephasing_time, path.timestep_fs),
        cost=path.hop_costs(temperature),
        exponential=waiting == "exponential",
        final=path.final,
        absorbing=absorbing,
    )


def rates(dephasing_time: NDArray[np.float64], timestep: float) -> NDArray[np.float64]:
    """dt / tau_ij with zeros on the diagonal and where there is no dephasing, (n, n)."""
    tau = np.asarray(dephasing_time, dtype=np.float64)
    rate = np.divide(timestep, tau, out=np.zeros_like(tau), where=tau > 0)
    np.fill_diagonal(rate, 0.0)
    return rate


def _split(matrices: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Real and imaginary parts of each row, padded to whole vector registers, (frames, n, 2, width)."""
    frames, n = matrices.shape[:2]
    parts = np.zeros((frames, n, 2, -(-n // WIDTH) * WIDTH))
    parts[:, :, 0, :n], parts[:, :, 1, :n] = matrices.real, matrices.imag
    return parts


def _blocks(rows: NDArray[np.float64]) -> tuple[int, ...]:
    """One element for every vector of a row: its length is a constant of the compiled kernel."""
    return (0,) * (rows.shape[3] // WIDTH)


def _bounds(rate: NDArray[np.float64], width: int) -> tuple[NDArray[np.float64], ...]:
    """What bounds on 1/tau_i need for each reference state (`dish_kernel.run`), (n, width), flat."""
    n = len(rate)
    towards = rate.T
    slow, spread = np.zeros((n, width)), np.zeros((n, width))
    longest, excess = np.full((n, width), dish_kernel.NEVER), np.zeros((n, width))
    slow[:, :n], spread[:, :n] = towards, rate.max(axis=1) - towards
    np.divide(1.0, towards, out=longest[:, :n], where=towards > 0)
    np.divide(spread[:, :n], towards**2, out=excess[:, :n], where=towards > 0)
    return tuple(table.reshape(-1) for table in (slow, spread, longest, excess))


def run_block(
    tables: DishTables,
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
    n, width = len(tables.rate), tables.rows.shape[3]
    changes = np.zeros((steps // stride + 1, n), dtype=np.int64)
    hops = np.zeros((n, n), dtype=np.int64)
    arrival_step = np.full(len(trajectories), -1, dtype=np.int64)
    arrival_source = np.full(len(trajectories), -1, dtype=np.int64)
    changes[0, start_state] = len(trajectories)
    rates_by_column = np.zeros((n, width))
    rates_by_column[:, :n] = tables.rate.T
    bounds = _bounds(tables.rate, width)
    for first in range(0, len(trajectories), _IN_STEP):
        dish_kernel.run(
            tables.rows.reshape(-1),
            tables.columns.reshape(-1),
            tables.leak,
            tables.ahead,
            rates_by_column.reshape(-1),
            bounds,
            tables.cost,
            tables.exponential,
            tables.final,
            tables.absorbing,
            (seed, sample, trajectories.start + first),
            (start_frame, start_state, steps, stride),
            _blocks(tables.rows),
            changes,
            hops,
            arrival_step[first : first + _IN_STEP],
            arrival_source[first : first + _IN_STEP],
        )
    return Outcome(np.cumsum(changes, axis=0), hops, arrival_step, arrival_source)
