"""The output file of surface hopping, `n2amd/populations` (docs/file-formats.md)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.hopping.ensemble import Plan, Result
from n2amd.hopping.methods import METHODS
from n2amd.hopping.path import ClassicalPath
from n2amd.storage import create_hdf5


def write(
    file: Path,
    path: ClassicalPath,
    plan: Plan,
    result: Result,
    *,
    ranks: int,
    scissor: float,
    config: Any,
    inputs: Iterable[Path],
) -> None:
    """Write populations, mean energy, hop records and what they were made with.

    Parameters
    ----------
    path
        Of the states that a carrier can be in: those of the populations.
    scissor
        Shift of the conduction states that is in the path's energies, eV.
    config, inputs
        Hashed into the root attributes.
    """
    samples, method = len(plan.start_frames), METHODS[plan.method]
    steps = np.arange(plan.times) * plan.stride
    energy = np.zeros(plan.times)
    for frame, population in zip(plan.start_frames, result.population):
        energy += np.sum(population * path.energies[path.frames_along(int(frame), steps)], axis=1)
    mean = result.population.mean(axis=0)
    spread = result.population.std(axis=0, ddof=1) if samples > 1 else np.full_like(mean, np.nan)
    # binomial within each sample; nothing is drawn where populations are exact
    drawn = samples * plan.trajectories if method.counted else np.inf
    variance = np.mean(result.population * (1 - result.population), axis=0) / drawn
    arrived = np.argwhere(result.arrival_step >= 0)
    sample, trajectory = arrived[:, 0], arrived[:, 1]
    with create_hdf5(file, "populations", config=config, inputs=inputs) as out:
        out.attrs.update(
            method=plan.method,
            carrier=path.carrier,
            scheme=plan.scheme,
            temperature_K=plan.temperature,
            timestep_fs=path.timestep_fs,
            samples=samples,
            trajectories=plan.trajectories,
            steps=plan.steps,
            seed=plan.seed,
            n_ranks=ranks,
            waiting=plan.waiting,
            substeps=plan.substeps,
            scissor_eV=scissor,
            final_state=path.final,
            kinetic_energy_eV=plan.kinetic_energy,
            absorbing=int(method.absorbs(plan)),
            detailed_balance=method.balance(plan),
            cpu_seconds=result.cpu_seconds,
        )
        if path.defect:
            out.attrs["defect_states"] = path.defect
        if path.spin is not None:
            out.attrs["spins"] = 1
        out["time"] = steps * path.timestep_fs
        out.create_dataset("population", data=result.population, compression="gzip", shuffle=True)
        out["mean_population"] = mean
        out["standard_error"] = spread / np.sqrt(samples)
        out["sampling_error"] = np.sqrt(variance)
        out["energy"] = energy / samples
        if path.hole_band is None:
            out["band_index"] = path.band_index
        else:
            out["electron_band"], out["hole_band"] = path.band_index, path.hole_band
        out["state_energies"] = path.energies.mean(axis=0)
        out["initial/frame"] = plan.start_frames
        out["initial/state"] = plan.start_states
        out["hops/sample"] = sample
        out["hops/trajectory"] = trajectory
        out["hops/step"] = result.arrival_step[sample, trajectory]
        out["hops/source"] = result.arrival_source[sample, trajectory]
        out["hops/target"] = np.full(len(sample), path.final)
        out["hops/count"] = result.hops
        out["dephasing_time"] = plan.dephasing_time[: path.states, : path.states]
