"""The configuration's section `states`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from n2amd.config.section import Section, Unique
from n2amd.plugins import SOLVERS, plugin_names

Channel = Literal["up", "down"]
#: Spin channels in the order of a collinear Hamiltonian's leading axis.
CHANNELS: tuple[Channel, ...] = get_args(Channel)
SpinOrbitPicture = Literal["spinors", "spin_states"]
#: What a Hamiltonian's states are of that are not those of a closed shell.
Component = Literal["up", "down", "spinors"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
Fraction = Annotated[float, Field(ge=-1, le=1)]
#: Direct solvers of the program itself.
FACTORISATIONS = ("block_ldl", "pardiso", "mumps")


def _known_solver(name: str) -> str:
    if name not in FACTORISATIONS:
        added = plugin_names(SOLVERS)
        if name not in added:
            known = ", ".join((*FACTORISATIONS, *added))
            raise ValueError(
                f"{name!r} is no direct solver; write one of {known}, or install the package that adds it"
            )
    return name


Factorisation = Annotated[str, Field(pattern=r"^[A-Za-z]\w*$"), AfterValidator(_known_solver)]


class DefectSettings(Section):
    """Levels of a defect among the kept states, told by where they live or by their filling."""

    atoms: Annotated[list[Annotated[int, Field(ge=0)]], Unique] | None = Field(
        None,
        min_length=1,
        description="Atoms around the defect, counted from 0, on which its levels live; or `edge`.",
    )
    edge: Literal["filled", "empty"] | None = Field(
        None,
        description="Instead of `atoms`: levels are the highest filled or the lowest empty states of every "
        "frame, wherever they live.",
    )
    states: int = Field(
        1,
        ge=1,
        le=100,
        description="Levels in the spin channel, filled and empty ones; filled ones count as valence states.",
    )

    @model_validator(mode="after")
    def _told_in_one_way(self) -> DefectSettings:
        if (self.atoms is None) == (self.edge is None):
            raise ValueError(
                "levels are told by where they live or by their filling: "
                "give atoms, or edge (filled or empty)"
            )
        return self


class StatesSettings(Section):
    """States around the gap of every frame."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"frames_per_shard"})
    renamed: ClassVar[dict[str, str]] = {
        "shards": "give frames_per_shard, the frames of each (those of the trajectory over the shards), so "
        "that a longer trajectory solves only its new frames",
        "doubt_samples": "give doubt_stride, the frames between two moments (0: none)",
    }

    valence: int = Field(2, ge=1, le=1000, description="States kept at and below the VBM.")
    conduction: int = Field(2, ge=1, le=1000, description="States kept at and above the CBM.")
    spin: Channel | None = Field(
        None, description="Channel of a spin-polarised Hamiltonian; default: a closed shell, which has none."
    )
    spin_orbit: SpinOrbitPicture | None = Field(
        None,
        description="Spin-orbit coupling of the pseudopotentials: spinors (eigenstates with it) or "
        "spin_states (eigenstates without it, of spin up and down, which it couples); default: none.",
    )
    defect: DefectSettings | None = Field(
        None, description="Levels of a defect to tell from the bands: atoms and states; default: none."
    )
    margin: int = Field(
        6, ge=0, le=1000, description="Further states on each side for tracking; cut afterwards."
    )
    solver: Literal["auto", "dense", "block_si"] = Field(
        "auto",
        description="Eigensolver: dense (LAPACK), block_si (block shift-invert Lanczos with certified "
        "states), or auto: dense below 2,000 orbitals.",
    )
    factorisation: Factorisation = Field(
        "block_ldl",
        description="Direct solver of block_si: block_ldl (dense, on CPU or GPU), pardiso (sparse, on CPU; "
        "pip install pypardiso), mumps (sparse, on CPUs of one or several processes; pip install pymumps), "
        "or the name of one that an installed package adds.",
    )
    factor_reach_fs: float = Field(
        4.0,
        ge=0,
        le=1000,
        description="With block_si: frames up to so many fs before and after one share its factor, each "
        "certified by itself; one that differs too much gets its own. 0: every frame has its own.",
    )
    kpoint: tuple[Fraction, Fraction, Fraction] = Field(
        (0.0, 0.0, 0.0), description="Fractional k point of the supercell."
    )
    frames_per_shard: int = Field(
        100,
        ge=2,
        le=10**7,
        description="Frames of the trajectory that one job solves: always the same ones, so that a longer "
        "trajectory solves only what is new.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where H is predicted and block_si solves."
    )
    mesh_refinement: float = Field(
        1.0,
        ge=1,
        le=4,
        description="H0 of a learned density: mesh finer by this along each vector than the DFT code's. 1 is "
        "the code's own Hamiltonian, whose levels move with the atoms against the mesh; at 2 they hardly do.",
    )
    residual_tolerance_eV: float = Field(
        1e-5, gt=0, le=1, description="Largest residual ||(H - E S) c||, eV."
    )
    doubt_stride: int = Field(
        25,
        ge=0,
        le=10**7,
        description="Frames between the moments, two neighbouring frames each, at which a model with a "
        "learned density tells how far edges and couplings may be wrong; 0: none.",
    )
    projections: Literal["none", "atoms", "shells"] = Field(
        "none", description="Weights of every state to store: on atoms, or on each shell of each atom."
    )
    partition: Literal["mulliken", "loewdin"] = Field(
        "mulliken",
        description="How these weights share out overlaps; loewdin diagonalises S of every frame.",
    )

    @property
    def weights_of(self) -> Literal["none", "atoms", "shells"]:
        """What weights of the states are of: levels of a defect are found by those of atoms."""
        return "atoms" if self.defect is not None and self.projections == "none" else self.projections

    @property
    def component(self) -> Component | None:
        """What is solved of a Hamiltonian: a spin channel, spinors, or (None) what knows no spin."""
        return "spinors" if self.spin_orbit == "spinors" else self.spin

    @model_validator(mode="after")
    def _with_spin_orbit_coupling(self) -> StatesSettings:
        if self.spin_orbit is None:
            return self
        if self.spin is not None:
            raise ValueError(
                f"spin_orbit couples the channels, so that there is no spin {self.spin}: leave spin out, or "
                "spin_orbit"
            )
        if self.defect is not None:
            raise ValueError("levels of a defect are told without spin-orbit coupling: leave spin_orbit out")
        if self.spin_orbit == "spinors":
            self._require_spinors_to_be_solved()
        return self

    def _require_spinors_to_be_solved(self) -> None:
        for name in ("valence", "conduction", "margin"):
            if (number := getattr(self, name)) % 2:
                raise ValueError(
                    f"{name} = {number} spinors cut a pair of degenerate ones: give an even number"
                )
        if self.solver == "block_si":
            raise ValueError("block_si solves no spinors: set solver to dense, or take spin_states")

    @model_validator(mode="after")
    def _room_for_the_defect(self) -> StatesSettings:
        # one of the bands' own on either side
        if self.defect is not None and self.defect.states > self.valence + self.conduction - 2:
            raise ValueError(
                f"defect.states = {self.defect.states} leave no band edges among {self.valence} valence and "
                f"{self.conduction} conduction states: raise valence or conduction"
            )
        return self
