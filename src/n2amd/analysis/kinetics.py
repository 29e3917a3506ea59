"""Rates of hops between the states of a carrier and levels of a defect, from couplings or from a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.intervals import Interval, sample
from n2amd.analysis.lifetime import Resampling, hop_probabilities
from n2amd.fields import array, whole
from n2amd.hopping import kinetics, renewal
from n2amd.hopping.path import ClassicalPath
from n2amd.hopping.propagators import Scheme, build
from n2amd.storage import open_hdf5

#: Draws of all rates that an interval is made of.
DRAWS = 4000


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
    value, freedom = np.zeros((n, n)), np.full((n, n), np.nan)
    looped = False
    for i in range(n):
        for j in range(n):
            tau = float(dephasing_fs[i, j])
            if i == j or not np.isfinite(tau):
                continue
            waiting = renewal.waiting_steps(tau, path.timestep_fs)
            pair = replace(window, start=int(columns[i]), final=int(columns[j]))
            around = 2 * waiting > len(steps)
            series = (_around if around else _within)(pair, steps, waiting, temperature)
            looped |= around
            if series.any():
                memory = resampling.block_fs / path.timestep_fs
                found = sample(series, resampling.confidence, memory)
                value[i, j] = found.mean / (waiting * path.timestep_fs)
                freedom[i, j] = found.freedom
    if looped:
        return Rates(value, None, True)
    generator = np.random.default_rng(resampling.seed)
    known = np.nan_to_num(freedom, nan=1.0)
    factor = known / generator.chisquare(known, size=(DRAWS, n, n))
    return Rates(value, value * factor)


def _around(
    pair: ClassicalPath, steps: NDArray[np.complex128], waiting: int, temperature: float
) -> NDArray[np.float64]:
    """P of every start frame, the trajectory taken head to tail."""
    return renewal.hop_probabilities(pair, steps, np.array([waiting]), temperature)[0]


def _within(
    pair: ClassicalPath, steps: NDArray[np.complex128], waiting: int, temperature: float
) -> NDArray[np.float64]:
    """P of the start frames from which the trajectory is long enough."""
    frames, w = pair.energies.shape
    start, final = np.zeros((2, frames, w))
    start[:, pair.start] = 1.0
    costs = pair.hop_costs(temperature)
    uphill = np.maximum(0.0, costs[:, pair.final] - costs[:, pair.start])
    final[1:, pair.final] = np.exp(-uphill)
    row = hop_probabilities(steps, start, final, waiting)[-1]
    return row[np.isfinite(row)]


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
