"""The configuration's section `states`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from n2amd.config_section import Section

Fraction = Annotated[float, Field(ge=-1, le=1)]


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
    margin: int = Field(
        6, ge=0, le=1000, description="Further states on each side for tracking; cut afterwards."
    )
    solver: Literal["auto", "dense", "block_si"] = Field(
        "auto",
        description="Eigensolver: dense (LAPACK), block_si (block shift-invert Lanczos with certified "
        "states), or auto: dense below 2,000 orbitals.",
    )
    factorisation: Literal["block_ldl", "pardiso"] = Field(
        "block_ldl",
        description="Direct solver of block_si: dense, on CPU or GPU; or sparse, on CPU (pip install "
        "pypardiso).",
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
