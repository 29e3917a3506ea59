"""The configuration's section `dynamics`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from n2amd.config.section import Section, Seed, Unique

Method = Literal["dish", "dish_renewal", "fssh", "fssh_mc", "ehrenfest", "sdm", "ida"]
#: Methods that know Kramers pairs of spinors.
OF_PAIRS: tuple[Method, ...] = ("dish", "dish_renewal", "ehrenfest")


class DynamicsSettings(Section):
    """Surface hopping on the classical path."""

    methods: Annotated[list[Method], Unique] = Field(
        ["dish", "fssh"], min_length=1, description="Methods to run."
    )
    carrier: Literal["electron", "hole", "pair"] = Field(
        "electron", description="What relaxes: an electron, a hole, or an electron-hole pair."
    )
    pair_states: int | None = Field(
        None, ge=2, le=10000, description="States of a pair to keep, lowest mean energies; default: all."
    )
    scheme: Literal["local_diabatic", "hst"] = Field(
        "local_diabatic",
        description="Propagation: local_diabatic by overlaps, hst by couplings (of either "
        "`couplings.scheme`).",
    )
    samples: int = Field(20, ge=1, le=100000, description="Initial conditions (start frames).")
    trajectories: int = Field(200, ge=1, le=10**7, description="Trajectories per initial condition.")
    duration_fs: float = Field(
        1000.0, gt=0, le=1e9, description="Length, fs; longer than the trajectory: head to tail."
    )
    dephasing_time_fs: float | None = Field(
        None,
        gt=0,
        le=10**6,
        description="One pure-dephasing time for all pairs, fs; default: from the gap fluctuations.",
    )
    waiting: Literal["deterministic", "exponential"] = Field(
        "deterministic", description="Decoherence waiting time."
    )
    absorbing: bool = Field(
        True, description="Whether DISH trajectories end at the final state, or go on and may leave it again."
    )
    detailed_balance: Literal["gap", "none"] = Field(
        "gap", description="Factor of uphill hops: Boltzmann's of the energy gap, or one."
    )
    substeps: int = Field(10, ge=1, le=10000, description="Electronic sub-steps per frame (hst scheme).")
    kinetic_energy_eV: float | None = Field(
        None,
        gt=0,
        le=10**9,
        description="Kinetic energy of the nuclei (sdm), eV; default: that of a large solid.",
    )
    output_stride: int = Field(1, ge=1, le=10**9, description="Steps between stored populations.")
    seeds: Annotated[list[Seed], Unique] = Field([1], min_length=1, description="Seeds; one run each.")

    @model_validator(mode="after")
    def _options_of_methods(self) -> DynamicsSettings:
        if not self.absorbing and "dish_renewal" in self.methods:
            raise ValueError("dish_renewal is absorbing only: set absorbing to true or leave the method out")
        if self.pair_states is not None and self.carrier != "pair":
            raise ValueError(
                f"pair_states is of carrier pair only, not of {self.carrier}: set carrier or leave it out"
            )
        return self
