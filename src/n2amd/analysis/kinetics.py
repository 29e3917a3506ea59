"""Rates of hops between the states of a carrier and levels of a defect, from couplings or from a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.dephasing_error import DephasingError, dephasing_error
from n2amd.analysis.intervals import Interval, sample
from n2amd.analysis.lifetime import TAU_BAND_FS, Resampling, hop_probabilities
from n2amd.fields import array, whole
from n2amd.hopping import kinetics, renewal
from n2amd.hopping.dephasing import times
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import Scheme, build
from n2amd.storage import open_hdf5

#: Draws of all rates that an interval is made of.
DRAWS = 4000
#: Values of a dephasing time that draws choose from.
_NODES = 192
#: Dephasing times ahead, beyond which a rate is taken to stay as it is.
_AHEAD = 8.0


@dataclass(frozen=True)
class Rates:
    """Rates between n states, 1/fs.

    Attributes
    ----------
    value
        From i to j, (n, n), diagonal zero.
    draws
        What they may truly be, (draws, n, n); None where the data do not tell.
    looped
        Whether the trajectory was too short and was gone around.
    """

    value: NDArray[np.float64]
    draws: NDArray[np.float64] | None
    looped: bool = False

    def without(self, states: list[int]) -> Rates:
        """The same rates with nothing going into some states."""
        value = self.value.copy()
        value[:, states] = 0.0
        draws = None if self.draws is None else self.draws.copy()
        if draws is not None:
            draws[:, :, states] = 0.0
        return Rates(value, draws, self.looped)

    def interval(
        self, quantity: Callable[[NDArray[np.float64]], NDArray[np.float64]], confidence: float
    ) -> Interval:
        """Return a function of the rates (..., n, n) with its interval; unknown where it is not finite."""
        value = float(quantity(self.value))
        bounds: tuple[float | None, float | None] = (None, None)
        if self.draws is not None:
            found = quantity(self.draws)
            tail = (1 - confidence) / 2
            low, high = np.quantile(found, [tail, 1 - tail], method="nearest")
            bounds = tuple(float(x) if np.isfinite(x) else None for x in (low, high))  # type: ignore[assignment]
        return Interval(value if np.isfinite(value) else None, *bounds)


def rates_of_path(
    path: ClassicalPath,
    dephasing_fs: NDArray[np.float64],
    temperature: float,
    resampling: Resampling,
    scheme: Scheme = "local_diabatic",
    substeps: int = 10,
) -> Rates:
    """Rates of DISH's renewal process for every pair of open states, without trajectories.

    A carrier in i that has moved coherently for the dephasing time of the pair, m steps, is found in j with
    probability P_ij = |U_ji|^2 times the Boltzmann factor of a hop that costs energy, and else starts again
    (`n2amd.hopping.renewal`, exact for two states); so K_ij = <P_ij> / (m dt). Amplitudes go through all
    states of the window.

    Parameters
    ----------
    path
        Of one carrier.
    dephasing_fs
        Dephasing times of the pairs, (n, n).
    temperature
        K.
    resampling
        Level of intervals, shortest memory, seed of the draws.
    scheme, substeps
        Of the propagators.
    """
    window, n = path.whole, path.open_states
    columns = np.arange(path.states) if path.source is None else path.source.columns
    steps = build(window, scheme, substeps)
    value, freedom = np.zeros((n, n)), np.ones((n, n))
    # rate at each quantile of the dephasing time over the rate at the one that was found
    by_quantile = np.ones((n, n, _NODES))
    looped = False
    for i in range(n):
        for j in range(n):
            tau = float(dephasing_fs[i, j])
            if i == j or not np.isfinite(tau):
                continue
            waiting = renewal.waiting_steps(tau, path.timestep_fs)
            pair = replace(window, start=int(columns[i]), final=int(columns[j]))
            if 2 * waiting > len(steps):
                looped = True
                value[i, j] = _around(pair, steps, waiting, temperature).mean() / (waiting * path.timestep_fs)
                continue
            gap = path.energies[:, j] - path.energies[:, i]
            # a gap that does not move has no time that could be uncertain
            moves = bool(np.isfinite(times(gap[None], path.timestep_fs)).all())
            error = dephasing_error(gap, path.timestep_fs, resampling.confidence) if moves else None
            longest = min(max(waiting, int(_AHEAD * waiting)), len(steps) // 2)
            rows = _within(pair, steps, longest, temperature)
            row = rows[waiting - 1][np.isfinite(rows[waiting - 1])]
            if row.any():
                memory = max(resampling.block_fs / path.timestep_fs, 0 if error is None else error.memory)
                found = sample(row, resampling.confidence, memory)
                value[i, j] = found.mean / (waiting * path.timestep_fs)
                freedom[i, j] = found.freedom
                if error is not None:
                    by_quantile[i, j] = _at_quantiles(rows, waiting, tau, error, path.timestep_fs)
    if looped:
        return Rates(value, None, True)
    generator = np.random.default_rng(resampling.seed)
    factor = freedom / generator.chisquare(freedom, size=(DRAWS, n, n))
    return Rates(value, value * factor * _drawn(by_quantile, generator))


def _at_quantiles(
    rows: NDArray[np.float64], waiting: int, tau: float, error: DephasingError, timestep: float
) -> NDArray[np.float64]:
    """Rate at what the dephasing time may be over that after `waiting` steps, (`_NODES`,).

    Around each quantile 1 fs more and less: rates ripple with the time, which is no noise that averages out.
    """
    shares = (np.arange(_NODES // 3) + 0.5) / (_NODES // 3)
    quantiles = tau / error.tau_fs * error.times(shares)
    around = np.ravel(quantiles[:, None] + TAU_BAND_FS * np.array([-1.0, 0.0, 1.0]))
    around = np.clip(around, 0.0, timestep * (len(rows) - 0.5))
    lengths = np.array([renewal.waiting_steps(float(time), timestep) for time in around])
    rates = np.nanmean(rows, axis=1) / np.arange(1, len(rows) + 1)
    return np.asarray(rates[lengths - 1] / rates[waiting - 1])


def _drawn(by_quantile: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Draws (`DRAWS`, n, n) of what the dephasing times do to the rates; both directions share a time."""
    n = len(by_quantile)
    nodes = generator.integers(_NODES, size=(DRAWS, n, n))
    lower = np.tril(nodes, -1)
    nodes = lower + lower.swapaxes(1, 2)
    row, column = np.indices((n, n))
    return np.asarray(by_quantile[row, column, nodes])


def _around(
    pair: ClassicalPath, steps: NDArray[np.complex128], waiting: int, temperature: float
) -> NDArray[np.float64]:
    """P of every start frame, the trajectory taken head to tail."""
    return renewal.hop_probabilities(pair, steps, np.array([waiting]), temperature)[0]


def _within(
    pair: ClassicalPath, steps: NDArray[np.complex128], longest: int, temperature: float
) -> NDArray[np.float64]:
    """P after 1..longest steps of the start frames, (longest, F - 1); NaN beyond the trajectory's end."""
    frames, w = pair.energies.shape
    start, final = np.zeros((2, frames, w))
    starts, finals = list(pair.amplitudes_of(pair.start)), list(pair.amplitudes_of(pair.final))
    start[:, starts] = 1.0 / len(starts)
    costs = pair.hop_costs(temperature)
    uphill = np.maximum(0.0, costs[:, pair.final] - costs[:, pair.start])
    final[1:, finals] = np.exp(-uphill)[:, None]
    return hop_probabilities(steps, start, final, longest)


def rates_of_run(file: str | Path, seed: int) -> Rates:
    """Rates that the hops of a run tell: hops from i to j over the time that carriers were in i.

    Hops are independent events, so that a rate is known as that of a Poisson process (Jeffreys' prior).

    Raises
    ------
    InputError
        If the file holds no hops or populations.
    """
    with open_hdf5(file, "n2amd/populations") as source:
        time = array(source, "time", (None,))
        by_sample = array(source, "population", (None, len(time), None))
        samples, _, n = by_sample.shape
        hops = array(source, "hops/count", (n, n), "whole").astype(np.float64)
        watched = samples * whole(source, "trajectories", 1)
    exposure = watched * np.trapezoid(by_sample.mean(axis=0), time, axis=0)
    known = exposure > 0
    safe = np.where(known, exposure, 1.0)[:, None]
    np.fill_diagonal(hops, 0.0)
    value = np.where(known[:, None], hops / safe, 0.0)
    generator = np.random.default_rng(seed)
    draws = generator.gamma(hops + 0.5, size=(DRAWS, n, n)) / safe
    return Rates(value, np.where(known[:, None] & ~np.eye(n, dtype=bool), draws, 0.0))


def recombination(rates: Rates, start: int, final: int, confidence: float) -> Interval:
    """Mean time to recombination with its interval, fs."""
    return rates.interval(lambda found: kinetics.lifetime(found, start, final), confidence)
