"""The configuration's section `trajectory`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from n2amd.config.section import Section, Seed


class TrajectorySettings(Section):
    """Molecular dynamics with the force field: equilibration, then NVE."""

    # the limits only refuse a trajectory
    without_effect: ClassVar[frozenset[str]] = frozenset(
        {"checkpoint_every", "max_drift_meV_per_atom_per_ps", "max_temperature_ratio"}
    )

    temperature_K: float = Field(300.0, gt=0, le=5000, description="Target temperature, Kelvin.")
    timestep_fs: float = Field(1.0, ge=0.01, le=5, description="Time step of MD and of the couplings, fs.")
    equilibration_steps: int = Field(500, ge=0, le=10**8, description="Langevin steps before NVE.")
    frames: int = Field(400, ge=2, le=10**7, description="NVE frames kept, one per time step.")
    friction_per_fs: float = Field(0.02, gt=0, le=1, description="Langevin friction, 1/fs.")
    max_drift_meV_per_atom_per_ps: float = Field(
        5.0,
        gt=0,
        le=10**9,
        description="Largest drift of the conserved energy; beyond it the trajectory is refused.",
    )
    max_temperature_ratio: float = Field(
        3.0,
        gt=1,
        le=10**6,
        description="NVE temperature over target beyond which the trajectory is called blown up.",
    )
    checkpoint_every: int = Field(100, ge=1, le=10**7, description="Frames between restart points.")
    seed: Seed = Field(1, description="Seed of velocities and thermostat.")
