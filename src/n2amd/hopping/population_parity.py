"""Populations from DFT's own H against the network's on the same frames: one code path, nothing drawn.

The frames are few (as many as DFT was done for), so they are taken head to tail; start frames, temperature
and dephasing time are the same for both. What differs is what the two Hamiltonians differ in.

Carriers move coherently for one dephasing time and are then found in one state, and so on: with two states
this is `dish_renewal`, with more its plain generalisation. Surface hopping without decoherence would not do
here: amplitudes that go around the same few frames for 1 ps depend on every digit of both Hamiltonians.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.store import Couplings
from n2amd.errors import InputError
from n2amd.hopping import propagators, renewal
from n2amd.hopping.dephasing import of_gap
from n2amd.hopping.path import Carrier, ClassicalPath, path_of, window_of

#: Length of the populations, and about how many points of them are stored.
LENGTH_FS, POINTS = 1000.0, 100
#: Frames below which there is no dephasing time.
FEWEST_FRAMES = 4


def compare_populations(
    dft: Couplings, model: Couplings, temperature: float, dephasing_fs: float | None = None
) -> dict[str, Any] | None:
    """Run the same surface hopping on couplings of two Hamiltonians.

    Parameters
    ----------
    dft, model
        Couplings on the same frames.
    temperature
        K, for the Boltzmann factors.
    dephasing_fs
        Pure-dephasing time of the gap for both; default: that of DFT's gap.

    Returns
    -------
    document
        `populations` of `nac_parity.json`: `recombination` of an electron at the band edge (DISH as a renewal
        process) and `relaxation` of an electron and a hole that start in the outermost kept state, each the
        mean over all start frames. None where the frames are too few or the gap stands still, so that
        there is no dephasing time.

    Raises
    ------
    InputError
        If a set of couplings cannot be propagated, or the two are of different frames.
    """
    if len(dft.energies) != len(model.energies) or dft.timestep_fs != model.timestep_fs:
        raise InputError(
            f"{len(dft.energies)} and {len(model.energies)} frames",
            field="n_frames",
            remedy="compare couplings of the same frames",
        )
    if len(dft.energies) < FEWEST_FRAMES:
        return None
    tau, definition = _dephasing(dft, dephasing_fs)
    if not np.isfinite(tau):
        return None
    steps = round(LENGTH_FS / dft.timestep_fs)
    stride = max(1, steps // POINTS)
    recombination = _recombination(dft, model, tau, temperature, stride)
    relaxation = {
        carrier: _relaxation(dft, model, carrier, tau, temperature, stride)
        for carrier in ("electron", "hole")
    }
    parts = [recombination, *relaxation.values()]
    return {
        "temperature_K": temperature,
        "dephasing_fs": tau,
        "dephasing_definition": definition,
        "time_fs": dft.timestep_fs * stride * np.arange(steps // stride + 1),
        "recombination": recombination,
        "relaxation": relaxation,
        "largest_difference": max(part["largest_difference"] for part in parts),
        "rms_difference": max(part["rms_difference"] for part in parts),
    }


def _dephasing(dft: Couplings, given: float | None) -> tuple[float, str]:
    if given is not None:
        return given, "given"
    found = of_gap(dft.gap, dft.timestep_fs)
    if np.isfinite(found.gaussian_fs):
        return found.gaussian_fs, "gaussian"
    # so few frames may not hold the fall of the dephasing function
    return found.inverse_sigma_fs, "hbar/sigma"


def _recombination(
    dft: Couplings, model: Couplings, tau: float, temperature: float, stride: int
) -> dict[str, Any]:
    share, lifetimes = [], []
    for couplings in (dft, model):
        path = window_of(couplings).whole
        steps = propagators.build(path, "local_diabatic")
        tables = renewal.prepare(path, steps, tau, temperature)
        samples = [
            renewal.run_sample(
                tables,
                seed=0,
                sample=0,
                start_frame=frame,
                start_state=path.start,
                steps=round(LENGTH_FS / path.timestep_fs) // stride * stride,
                stride=stride,
                trajectories=range(0),
                columns=(0, 1),
                states=2,
            ).population[:, 0]
            for frame in range(path.intervals)
        ]
        share.append(np.mean(samples, axis=0))
        lifetimes.append(1e-6 * renewal.lifetime(path, steps, tau, temperature))
    known = all(np.isfinite(lifetimes))
    return {
        "dft": share[0],
        "model": share[1],
        "lifetime_dft_ns": lifetimes[0] if np.isfinite(lifetimes[0]) else None,
        "lifetime_model_ns": lifetimes[1] if np.isfinite(lifetimes[1]) else None,
        "lifetime_ratio": lifetimes[1] / lifetimes[0] if known else None,
        **_differences(share[0], share[1]),
    }


def _relaxation(
    dft: Couplings, model: Couplings, carrier: Carrier, tau: float, temperature: float, stride: int
) -> dict[str, Any]:
    found = [
        relaxation(path_of(couplings, carrier), tau, temperature)[::stride] for couplings in (dft, model)
    ]
    bands = path_of(dft, carrier).band_index
    return {"bands": bands, "dft": found[0], "model": found[1], **_differences(found[0], found[1])}


def relaxation(path: ClassicalPath, tau: float, temperature: float) -> NDArray[np.float64]:
    """Populations of a carrier from the outermost state on, mean over all start frames, (steps + 1, n).

    After every `waiting_steps(tau)` steps the state i is found in j with probability |U_ji|^2, times the
    Boltzmann factor of a hop that costs energy; in between populations stay as they are.
    """
    steps, length = propagators.build(path, "local_diabatic"), renewal.waiting_steps(tau, path.timestep_fs)
    lap, n = steps.shape[:2]
    through = np.broadcast_to(np.eye(n, dtype=np.complex128), steps.shape)
    for step in range(length):
        through = np.roll(steps, -step, axis=0) @ through
    cost = np.roll(path.hop_costs(temperature), 1 - length, axis=0)
    hop = np.abs(through.swapaxes(1, 2)) ** 2
    hop = hop * np.exp(-np.maximum(0.0, cost[:, None, :] - cost[:, :, None]))
    diagonal = np.arange(n)
    hop[:, diagonal, diagonal] = 0.0
    hop[:, diagonal, diagonal] = 1.0 - hop.sum(axis=2)
    total = round(LENGTH_FS / path.timestep_fs) + 1
    population = np.zeros((lap, n))
    population[:, path.outermost] = 1.0
    result = np.empty((total, n))
    begin = np.arange(lap)
    for start in range(0, total, length):
        result[start : start + length] = population.mean(axis=0)
        population = np.einsum("fi,fij->fj", population, hop[(begin + start) % lap])
    return result


def _differences(dft: NDArray[np.float64], model: NDArray[np.float64]) -> dict[str, float]:
    difference = model - dft
    return {
        "largest_difference": float(np.abs(difference).max()),
        "rms_difference": float(np.sqrt((difference**2).mean())),
    }
