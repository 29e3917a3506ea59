"""A functional's section `engine`: a DFT program to run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from n2amd.config.section import Section, Text, Texts

Mesh = tuple[
    Annotated[int, Field(ge=1, le=99)], Annotated[int, Field(ge=1, le=99)], Annotated[int, Field(ge=1, le=99)]
]


class DftSettings(Section):
    """What every engine needs to know."""

    functional: Literal["PBE", "HSE06"] = Field("PBE", description="Exchange-correlation functional.")
    basis: Text | Texts = Field(
        "DZVP-MOLOPT-SR-GTH", description="Gaussian basis by CP2K's name: one for all, or one per element."
    )
    kpoints: Mesh = Field((3, 3, 3), description="K mesh, always with Gamma in it.")
    max_scf: int = Field(60, ge=1, le=1000, description="SCF steps before a frame counts as failed.")
    forces: bool = Field(True, description="Compute forces.")

    def basis_of(self, element: str) -> str:
        """Return the basis of an element; empty where none is given."""
        return self.basis if isinstance(self.basis, str) else self.basis.get(element, "")


class Cp2kSettings(DftSettings):
    """DFT by CP2K, a program of its own: PBE with k points; HSE06 at Gamma only."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"command"})

    program: Literal["cp2k"] = Field("cp2k", description="CP2K.")
    command: Text | None = Field(
        None, description="How CP2K is started, e.g. `mpiexec -n 4 cp2k.psmp`; default: the one on the PATH."
    )
    basis_file: Text = Field("BASIS_MOLOPT", description="CP2K's file of basis sets.")
    potential: Text | Texts = Field(
        "GTH-PBE", description="Pseudopotential: one for all, or one per element."
    )
    potential_file: Text = Field("GTH_POTENTIALS", description="CP2K's file of pseudopotentials.")
    cutoff_Ry: float = Field(200.0, ge=50, le=5000, description="Cutoff of the finest grid, Rydberg.")
    rel_cutoff_Ry: float = Field(
        40.0, ge=10, le=500, description="Cutoff that assigns Gaussians to grids, Rydberg."
    )
    eps_scf: float = Field(1e-7, gt=0, le=1e-3, description="Convergence of the SCF cycle.")
    mixing: float = Field(0.4, gt=0, le=1, description="Share of the new density in Broyden mixing.")
    smearing_K: float = Field(
        300.0,
        ge=0,
        le=5000,
        description="Electronic temperature, Kelvin; at 0 cycles fail where a gap nearly closes.",
    )
    stress: bool = Field(True, description="Compute the stress.")

    def potential_of(self, element: str) -> str:
        """Return the pseudopotential of an element; empty where none is given."""
        return self.potential if isinstance(self.potential, str) else self.potential.get(element, "")

    @model_validator(mode="after")
    def _hybrid_at_gamma(self) -> Cp2kSettings:
        if self.functional == "HSE06" and max(self.kpoints) > 1:
            raise ValueError(
                "CP2K 2023.1 has HSE06 at Gamma only: set kpoints to [1, 1, 1] for a large supercell, "
                "or use program: pyscf"
            )
        return self


class PyscfSettings(DftSettings):
    """DFT by PySCF, in Python: PBE and HSE06 with k points, for small cells."""

    program: Literal["pyscf"] = Field("pyscf", description="PySCF.")
    pseudopotential: Text = Field("gth-pbe", description="Pseudopotential by PySCF's name.")
    ke_cutoff_Ha: float | None = Field(
        None,
        gt=0,
        le=2000,
        description="Cutoff of the density grid, Hartree; default: PySCF's, from the basis.",
    )
    integration: Literal["multigrid", "fftdf"] = Field(
        "multigrid", description="How PBE's density and potential are put on the grid; HSE06 takes fftdf."
    )
    conv_tol: float = Field(1e-8, gt=0, le=1e-4, description="Convergence of the SCF energy, Hartree.")
    real_space_mesh: Mesh | None = Field(
        None,
        description="K mesh that H(R) is made of, after the SCF cycle; default: dense enough for the cell.",
    )
    hybrid: Literal["one-shot", "self-consistent"] = Field(
        "one-shot", description="HSE06: its operator on PBE's density, or its own SCF cycle."
    )
    stress: bool = Field(False, description="Compute the stress (as slow as the forces).")

    @model_validator(mode="after")
    def _no_hybrid_gradients(self) -> PyscfSettings:
        if self.functional == "HSE06" and (self.stress or self.forces):
            raise ValueError(
                "HSE06 in PySCF has no forces and no stress: set both to false, train the force field "
                "on another functional (forcefield_functional)"
            )
        return self


def _program(value: object) -> str | None:
    name = value.get("program") if isinstance(value, dict) else getattr(value, "program", None)
    return None if name is None else str(name)


#: A program to run, told apart by `program`.
Engine = Annotated[
    Annotated[Cp2kSettings, Tag("cp2k")] | Annotated[PyscfSettings, Tag("pyscf")], Discriminator(_program)
]
