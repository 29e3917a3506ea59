"""Inputs of the analysis with a known answer, as the earlier stages would write them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from n2amd.couplings.store import Couplings, Tracking
from n2amd.couplings.store import write_couplings as write_couplings_file
from n2amd.storage import create_hdf5, write_json
from n2amd.units import HBAR_EV_FS


def gaussian_process(n: int, correlation_steps: float, seed: int, columns: int = 1) -> np.ndarray:
    """Unit-variance Gaussian series with a smooth autocorrelation, (n, columns)."""
    rng = np.random.default_rng(seed)
    pad = int(8 * correlation_steps) + 1
    lag = np.arange(-pad, pad + 1)
    kernel = np.exp(-0.5 * (lag / correlation_steps) ** 2) * np.cos(lag / correlation_steps)
    kernel /= np.sqrt(np.sum(kernel**2))
    noise = rng.standard_normal((n + 2 * pad, columns))
    return np.stack([np.convolve(noise[:, k], kernel, "valid") for k in range(columns)], 1)


def write_couplings(
    path: Path,
    *,
    frames: int = 600,
    timestep: float = 1.0,
    gap: float = 1.8,
    sigma: float = 0.045,
    nac: float = 0.005,
    valence: int = 2,
    conduction: int = 2,
    seed: int = 1,
) -> Path:
    """A window of `valence + conduction` states with fluctuating energies and couplings, eV."""
    n = valence + conduction
    centre = np.concatenate([-0.15 * np.arange(valence)[::-1], gap + 0.15 * np.arange(conduction)])
    energies = centre + sigma / np.sqrt(2) * gaussian_process(frames, 8, seed, n)
    coupling = nac * gaussian_process(frames - 1, 6, seed + 1, n * n).reshape(frames - 1, n, n)
    coupling = (coupling - coupling.transpose(0, 2, 1)) / np.sqrt(2)
    angle = coupling * timestep / HBAR_EV_FS
    # <i(t)|j(t+dt)> of a small rotation; its antisymmetric part gives the couplings back to third order
    overlap = np.eye(n) + angle + 0.5 * angle @ angle
    tracking = Tracking(
        permutation=np.argsort(np.argsort(energies, axis=1), axis=1),
        successor=np.tile(np.arange(n), (frames - 1, 1)),
        min_overlap=np.ones(frames - 1),
        n_clusters=np.zeros(frames - 1, int),
        window_leak=np.zeros(frames - 1),
        edge_clusters=np.zeros(frames - 1, int),
    )
    couplings = Couplings(
        timestep_fs=timestep,
        n_occupied=valence + 10,
        vbm=valence - 1,
        cbm=valence,
        overlap_kind="exact",
        order="energy",
        kpoint=(0.0, 0.0, 0.0),
        energies=energies,
        overlap=overlap,
        nac=coupling,
        band_index=np.arange(10, 10 + n),
        tracking=tracking,
    )
    write_couplings_file(path, couplings)
    return path


def write_populations(
    path: Path,
    *,
    lifetime_fs: float,
    duration: int = 1000,
    samples: int = 20,
    trajectories: int = 200,
    method: str = "dish",
    seed: int = 1,
    scissor: float = 0.0,
    temperature: float = 300.0,
) -> Path:
    """Trajectories that recombine at exponential times, watched for `duration` steps of 1 fs.

    The dephasing time of the band edges is 15 fs.
    """
    rng = np.random.default_rng(seed)
    arrival = np.ceil(rng.exponential(lifetime_fs, (samples, trajectories))).astype(int)
    time = np.arange(duration + 1.0)
    survival = np.stack([(row[None, :] > time[:, None]).mean(1) for row in arrival])
    excited = 0.1 * (1 - np.exp(-time / 80)) * survival
    population = np.stack([1 - survival, survival - excited, excited], axis=-1)
    sample, trajectory = np.nonzero(arrival <= duration)
    step = arrival[sample, trajectory]
    with create_hdf5(path, "populations") as file:
        file.attrs.update(
            method=method,
            carrier="electron",
            scheme="local_diabatic",
            temperature_K=temperature,
            timestep_fs=1.0,
            samples=samples,
            trajectories=trajectories,
            seed=seed,
            substeps=10,
            n_ranks=1,
            waiting="deterministic",
            scissor_eV=scissor,
            final_state=0,
            absorbing=1,
        )
        file["time"] = time
        file["population"] = population
        file["mean_population"] = population.mean(0)
        file["standard_error"] = population.std(0) / np.sqrt(samples)
        file["energy"] = np.zeros(len(time))
        file["band_index"] = np.array([11, 12, 13])
        file["state_energies"] = np.array([0.0, 1.8, 1.95])
        hops = file.create_group("hops")
        hops["sample"], hops["trajectory"], hops["step"] = sample, trajectory, step
        hops["source"], hops["target"] = np.ones_like(step), np.zeros_like(step)
        file["dephasing_time"] = np.full((3, 3), 15.0) - 15.0 * np.eye(3)
    return path


def write_trajectory(path: Path, *, atoms: int = 48, frames: int = 600, supercell: str = "2x2x2") -> Path:
    rng = np.random.default_rng(4)
    with create_hdf5(path, "trajectory") as file:
        file.attrs.update(
            timestep_fs=1.0,
            temperature_K=300.0,
            n_frames=frames,
            material="TiO2",
            supercell=supercell,
            drift_meV_per_atom_per_ps=0.1,
            seed=7,
        )
        file["numbers"] = np.full(atoms, 8)
        file["cell"], file["pbc"] = 9.0 * np.eye(3), [True] * 3
        file["positions"] = np.zeros((1, atoms, 3))
        file["temperature"] = 300 + 10 * rng.standard_normal(frames)
    return path


def forcefield_report() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    energy, force = -300.5 + 0.02 * rng.standard_normal(24), rng.normal(0, 1.2, 24 * 48 * 3)
    return {
        "model": "forcefield.model",
        "compiled": True,
        "test": {"energy_mae_meV_per_atom": 0.6, "force_mae_meV_per_A": 21.0, "n_frames": 24},
        "parity": {
            "energy_dft_eV_per_atom": energy,
            "energy_model_eV_per_atom": energy + 8e-4 * rng.standard_normal(24),
            "force_dft_eV_A": force,
            "force_model_eV_A": force + 0.026 * rng.standard_normal(len(force)),
        },
        "seed": 3,
    }


def hamiltonian_report() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    dft = np.concatenate([rng.normal(0, 2.0, 4000), rng.normal(-15, 6.0, 800)])
    distance = np.linspace(0, 8, 17)
    mae = 1.4 * np.exp(-distance / 3)
    return {
        "test": {
            "mae_meV": 0.71,
            "mae_raw_meV": 0.8,
            "vbm_mae_meV": 2.1,
            "cbm_mae_meV": 1.9,
            "gap_mae_meV": 2.4,
            "n_frames": 20,
        },
        "by_shell_pair": [],
        "by_distance": [
            {"distance_A": d, "mae_meV": m, "max_meV": 14 * m, "n": 100} for d, m in zip(distance, mae)
        ],
        "parity": {"dft_eV": dft, "model_eV": dft + 1e-3 * rng.standard_normal(len(dft))},
        "history": {"step": [1], "loss_meV": [1.0], "validation_mae_meV": [1.0], "stage": [1]},
        "settings": {},
        "seed": 5,
    }


def doubt_report(n_atoms: int = 48, frames: int = 12, wrong_by: float = 1.0) -> dict[str, Any]:
    """`hamiltonian.json` as far as the figure of the doubt reads it: normal errors of the spreads told."""
    rng = np.random.default_rng(n_atoms)
    rows = []
    for _ in range(frames):
        spreads = np.exp(rng.normal(2.0, 0.7, 2))
        errors = wrong_by * spreads * rng.standard_normal(2)
        rows.append(
            {
                f"{edge}_{what}_meV": float(value[k])
                for k, edge in enumerate(("vbm", "cbm"))
                for what, value in (("error", errors), ("spread", spreads))
            }
        )
    return {"frames": [{"n_atoms": n_atoms}] * frames, "doubt": {"frames": rows}}


def bands_report() -> dict[str, Any]:
    k = np.linspace(0, 3, 91)
    phase = np.pi * np.abs((k + 1) % 2 - 1)
    dft = np.stack(
        [-0.3 * b - 0.8 * np.sin(phase / 2) ** 2 * (1 + 0.3 * b) for b in range(5, -1, -1)]
        + [1.8 + 0.4 * b + 0.9 * np.sin(phase / 2) ** 2 for b in range(5)],
        axis=1,
    )
    model = dft + 0.004 * np.sin(5 * k)[:, None]
    return {
        "labels": [[0, "G"], [30, "X"], [60, "M"], [90, "G"]],
        "distance": k,
        "dft_eV": dft,
        "model_eV": model,
        "n_occupied": 6,
        "frame": "frame_0007",
    }


def dos_report() -> dict[str, Any]:
    energy = np.linspace(-6, 12, 400)
    parts = {
        name: height * np.exp(-0.5 * ((energy - centre) / 1.2) ** 2)
        for name, height, centre in (("O", 9.0, -3.0), ("Ti", 7.0, 4.0))
    }
    return {"energy_eV": energy, "total": sum(parts.values()), "projected": parts, "gap_eV": 1.9}


def populations_of_both() -> dict[str, Any]:
    """Populations of DFT's H and the network's, as `n2amd couplings parity` compares them."""
    time = np.linspace(0, 1000, 101)
    hot = {who: np.exp(-time / tau) for who, tau in (("dft", 90.0), ("model", 100.0))}
    relaxed = {who: np.stack([0 * time, 1 - left, left], axis=1) for who, left in hot.items()}
    return {
        "time_fs": time,
        "dephasing_fs": 9.8,
        "recombination": {
            "dft": time / 38e6,
            "model": time / 43e6,
            "lifetime_dft_ns": 38.0,
            "lifetime_model_ns": 43.0,
        },
        "relaxation": {name: {**relaxed, "rms_difference": 0.01} for name in ("electron", "hole")},
    }


def nac_report() -> dict[str, Any]:
    rng = np.random.default_rng(2)
    gap = rng.uniform(0.02, 3.0, 400)
    dft = 8 / gap * rng.standard_normal(400)
    model = dft + 0.08 / gap * rng.standard_normal(400)
    edges = [0, 0.1, 0.5, 1.0, 2.0, 3.0]
    bins = []
    for low, high in pairwise(edges):
        inside = (gap >= low) & (gap < high)
        error = np.abs(np.abs(model) - np.abs(dft))[inside]
        bins.append(
            {
                "gap_from_eV": low,
                "gap_to_eV": high,
                "mae_meV": float(error.mean()),
                "rms_dft_meV": float(np.sqrt(np.mean(dft[inside] ** 2))),
                "n": int(inside.sum()),
            }
        )
    return {
        "pairs": [
            {"states": [0, 1], "gap_eV": g, "nac_dft_meV": d, "nac_model_meV": m}
            for g, d, m in zip(gap, dft, model)
        ],
        "mae_meV": float(np.abs(np.abs(model) - np.abs(dft)).mean()),
        "rms_dft_meV": float(np.sqrt(np.mean(dft**2))),
        "by_gap": bins,
        "gap_edge": {"mae_meV": 0.02, "rms_dft_meV": 0.8, "rms_model_meV": 0.81},
        "n_frames": 30,
        "populations": populations_of_both(),
    }


def write_reports(folder: Path) -> dict[str, Path]:
    """The JSON reports of the model stages, by name."""
    made = {
        "forcefield": forcefield_report(),
        "hamiltonian": hamiltonian_report(),
        "bands": bands_report(),
        "dos": dos_report(),
        "doubt": doubt_report(),
        "nac_parity": nac_report(),
    }
    for name, report in made.items():
        write_json(folder / f"{name}.json", report)
    return {name: folder / f"{name}.json" for name in made}
