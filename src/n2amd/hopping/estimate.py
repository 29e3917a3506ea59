"""What a run would cost and how well it would know the lifetime, from a slice of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from n2amd.hopping import ensemble, propagators, renewal
from n2amd.hopping.ensemble import Plan
from n2amd.hopping.methods import METHODS
from n2amd.hopping.path import ClassicalPath

#: Slices grow until one takes this many CPU seconds.
_SLICE_SECONDS = 0.2
#: Statistical error of a lifetime that is asked for.
_WANTED_ERROR = 0.1
#: Arrays of (frames, n, n) complex numbers that a method holds at the same time.
_TABLES = 6


@dataclass(frozen=True)
class Estimate:
    """Cost and statistics of a run.

    Attributes
    ----------
    method
        Its name.
    samples, trajectories, duration_fs
        Of the plan.
    counted
        Whether populations have sampling errors.
    setup_seconds, cpu_seconds
        CPU seconds of what every process does once, and of everything else together.
    slice_seconds
        CPU seconds of the slice that was measured.
    memory_bytes, output_bytes
        Of a process, and of the output before compression.
    hops
        Expected number of hops between all states, or None where the method has none.
    lifetime_fs
        Of the pair of band edges (exact two-state DISH), infinite without coupling.
    """

    method: str
    samples: int
    trajectories: int
    duration_fs: float
    counted: bool
    setup_seconds: float
    cpu_seconds: float
    slice_seconds: float
    memory_bytes: float
    output_bytes: float
    hops: float | None
    lifetime_fs: float

    @property
    def arrivals(self) -> float:
        """Trajectories expected to recombine."""
        return self.samples * self.trajectories * -float(np.expm1(-self.duration_fs / self.lifetime_fs))

    @property
    def relative_error(self) -> float:
        """Expected statistical error of the lifetime, infinite without arrivals."""
        return float(1 / np.sqrt(self.arrivals)) if self.arrivals > 0 else float("inf")

    @property
    def wanted_duration_fs(self) -> float:
        """Duration after which the error is 10 %; infinite where trajectories are too few for that."""
        share = 1 / _WANTED_ERROR**2 / (self.samples * self.trajectories)
        return float(-self.lifetime_fs * np.log1p(-share)) if share < 1 else float("inf")

    def lines(self) -> list[str]:
        """Return the report, an advice last."""
        lifetime = f"{self.lifetime_fs / 1e3:.4g} ps" if np.isfinite(self.lifetime_fs) else "infinite"
        wanted = _duration(self.wanted_duration_fs)
        return [
            f"{self.method}: {self.samples} x {self.trajectories} trajectories of {self.duration_fs:g} fs",
            f"cost: {self.cpu_seconds:.3g} CPU s, and {self.setup_seconds:.2g} on every process "
            f"(from a slice of {self.slice_seconds:.2g} CPU s)",
            f"memory of a process: {self.memory_bytes / 1e6:.0f} MB; output: at most "
            f"{self.output_bytes / 1e6:.1f} MB",
            f"lifetime of the band-edge pair (exact two-state DISH): {lifetime}",
            f"expected: {'no' if self.hops is None else f'{self.hops:.3g}'} hops in all, "
            f"{self.arrivals:.3g} trajectories recombine: statistical error of the lifetime "
            f"{100 * self.relative_error:.2g} %; 10 % takes {wanted}",
            f"advice: {self.advice()}",
        ]

    def advice(self) -> str:
        """Say in one sentence what to change."""
        if not np.isfinite(self.lifetime_fs):
            return "the band edges do not couple: look at the couplings before running anything"
        if not self.counted:
            return "populations carry no sampling error: more trajectories buy nothing but hop records"
        if self.relative_error <= _WANTED_ERROR:
            return f"run it: {self.arrivals:.0f} arrivals are enough"
        factor = self.wanted_duration_fs / self.duration_fs
        if not np.isfinite(factor):
            fewest = int(np.ceil(2 / _WANTED_ERROR**2 / self.samples))
            return f"take {fewest} trajectories a sample or more: all of these would not give 10 %"
        cost = self.cpu_seconds * factor
        if cost > 36_000:
            return (
                f"take the exact lifetime (dish_renewal, or the analysis): 10 % would cost {cost:.2g} CPU s"
            )
        return f"set duration_fs to {self.wanted_duration_fs:.3g}: that costs {cost:.2g} CPU s"


def estimate(path: ClassicalPath, plan: Plan) -> Estimate:
    """Measure a slice of the plan and say what all of it would take.

    Raises
    ------
    InputError
        If the plan could not be run.
    """
    ensemble.check(path, plan)
    method = METHODS[plan.method]
    method.prepare(path, plan)
    begin = time.process_time()
    run = method.prepare(path, plan)
    setup = time.process_time() - begin
    block = range(min(64, plan.trajectories) if method.counted else plan.trajectories)
    steps, seconds = min(plan.steps, 50), 0.0
    while True:
        piece = {**ensemble.unit(plan, 0, block), "steps": steps, "stride": min(plan.stride, steps)}
        outcome = run(**piece)
        begin = time.process_time()
        run(**piece)
        seconds = time.process_time() - begin
        if seconds >= _SLICE_SECONDS or steps >= plan.steps:
            break
        steps = min(plan.steps, 4 * steps)
    samples, n = len(plan.start_frames), path.states
    units = samples * (plan.trajectories / len(block)) * (plan.steps / steps)
    stored = 8.0 * samples * plan.times * n
    hops = float(outcome.hops.sum()) * units
    return Estimate(
        method=plan.method,
        samples=samples,
        trajectories=plan.trajectories,
        duration_fs=plan.steps * path.timestep_fs,
        counted=method.counted,
        setup_seconds=setup,
        cpu_seconds=seconds * units,
        slice_seconds=seconds,
        memory_bytes=16.0 * _TABLES * len(path.energies) * (path.members * n) ** 2
        + 2 * stored
        + 32 * samples * plan.trajectories,
        output_bytes=stored + 40 * samples * plan.trajectories,
        hops=None if plan.method == "ehrenfest" else hops,
        lifetime_fs=_lifetime(path, plan),
    )


def _lifetime(path: ClassicalPath, plan: Plan) -> float:
    whole = path.whole
    steps = propagators.build(whole, plan.scheme, plan.substeps)
    tau = float(plan.dephasing_time[path.start, path.final])
    return renewal.lifetime(whole, steps, tau, plan.hop_temperature, waiting=plan.waiting)


def _duration(femtoseconds: float) -> str:
    return f"{femtoseconds / 1e3:.4g} ps" if np.isfinite(femtoseconds) else "more trajectories"
