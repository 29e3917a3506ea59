"""Sections of the configuration on DFT data: frames that exist, or structures and a program to run."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from n2amd.config_section import Section, Seed, Supercell, Text, Texts, Unique, WrittenPath, WrittenPaths
from n2amd.config_states import Channel

DftCode = Literal["honpas", "siesta", "openmx", "cp2k", "abacus", "deeph", "pyscf"]
Mesh = tuple[
    Annotated[int, Field(ge=1, le=99)], Annotated[int, Field(ge=1, le=99)], Annotated[int, Field(ge=1, le=99)]
]


def _name(value: object) -> object:
    # YAML reads a frame called 12 as a number
    return str(value) if isinstance(value, int) else value


#: Name of a frame, or a pattern of names.
FrameName = Annotated[Text, BeforeValidator(_name)]


class StructureSettings(Section):
    """Structures that DFT is run on: a supercell with random strain, slid or bent layers, rattled atoms."""

    file: WrittenPath | None = Field(
        None,
        description="Structures to take as they are (extxyz: MD, active learning), instead of making them.",
    )
    chunks: int = Field(1, ge=1, le=10**5, description="Jobs that the structures are cut into.")
    frames_per_chunk: int = Field(10, ge=1, le=10**5, description="Structures of one job.")
    supercell: Supercell = Field("1x1x1", description="Supercell of the material's structure, AxBxC.")
    temperatures_K: list[Annotated[float, Field(gt=0, le=5000)]] = Field(
        [300.0], min_length=1, description="Temperatures of the rattle, Kelvin, taken in turn."
    )
    debye_temperature_K: float | None = Field(
        None, gt=0, le=5000, description="Debye temperature, Kelvin: with it the rattle is thermal."
    )
    sigma_A: float | None = Field(
        None, gt=0, le=1, description="Standard deviation of the rattle along each axis, Angstrom."
    )
    closest: float = Field(
        0.7,
        gt=0,
        lt=1,
        description="Shortest distance a rattle may leave, as a fraction of the species pair's before it.",
    )
    strain: float = Field(0.0, ge=0, le=0.3, description="Largest component of the random strain.")
    slide_A: float = Field(0.0, ge=0, le=10, description="Largest slide of a layer in its plane, Angstrom.")
    slide_axis: Literal["a", "b", "c"] = Field(
        "c", description="Lattice vector that layers are stacked along."
    )
    ripple_per_A: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Largest curvature, 1/Angstrom, of a sheet bent into a wave (1 / radius of a tube).",
    )
    layer_gap_A: float = Field(1.5, gt=0, le=20, description="Empty height, Angstrom, that parts two layers.")
    seed: Seed = Field(1, description="Seed; structure n depends on the seed and on n alone.")

    @property
    def frames(self) -> int:
        """Structures in all."""
        return self.chunks * self.frames_per_chunk

    @model_validator(mode="after")
    def _one_width(self) -> StructureSettings:
        if self.sigma_A is not None and self.debye_temperature_K is not None:
            raise ValueError("give sigma_A or debye_temperature_K, not both")
        return self


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


class Scissor(Section):
    """A rigid shift of the conduction bands before dynamics; shares its parent's states."""

    label: str = Field(
        "scissor", pattern=r"^[A-Za-z0-9-]+$", description="Name of the variant: FUNCTIONAL+LABEL."
    )
    gap_eV: float = Field(gt=0, le=50, description="Gap at the equilibrium structure after the shift, eV.")
    reference_gap_eV: float | None = Field(
        None,
        gt=0,
        le=50,
        description="Gap that is shifted to gap_eV, eV; default: the trajectory's canonical mean.",
    )


def _labels_once(scissors: list[Scissor]) -> list[Scissor]:
    labels = [scissor.label for scissor in scissors]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"two scissors have the label {label!r}; give each a label of its own")
    return scissors


class ActiveLearningSettings(Section):
    """Rounds of labelling what the network knows least: choose frames of a trajectory, label, train."""

    rounds: int = Field(
        0, ge=0, le=20, description="Rounds; 0: the network learns from the given data alone."
    )
    frames: int = Field(8, ge=1, le=1000, description="Frames that are chosen and labelled in each round.")
    label_by: Literal["scf", "engine", "folder"] | None = Field(
        None,
        description="`scf`: self-consistent frames with what the data hold of their DFT code; `engine`: the "
        "functional's own `engine`; `folder`: you compute them, the run stops and says where the results go. "
        "Default: `engine` where there is one, else `scf`.",
    )
    supercell: Supercell | None = Field(
        None,
        description="Supercell AxBxC whose trajectory the frames are chosen from; default: the job's first.",
    )
    candidates: int = Field(
        200, ge=1, le=10**5, description="Frames of the trajectory looked at, evenly spaced."
    )

    @model_validator(mode="after")
    def _enough_candidates(self) -> ActiveLearningSettings:
        if self.candidates < self.frames:
            raise ValueError(
                f"candidates is {self.candidates}, fewer than the {self.frames} frames to choose from them"
            )
        return self


class RebuiltFrames(Section):
    """Frames kept as densities, whose H and S are made again: a data set where the DFT files have no room."""

    densities: WrittenPath = Field(description="Their file (`n2amd hamiltonian densities`).")
    material: Text = Field(
        description="Material with frames of the same basis, pseudopotentials and k spacing."
    )
    functional: Text = Field(description="That functional of it.")


class DataSource(Section):
    """One functional: DFT data, given or to be computed, with a network of its own."""

    code: DftCode | None = Field(None, description="The DFT code that wrote the files in `paths`.")
    paths: WrittenPaths = Field(
        default_factory=list,
        description="Folders of independent frames, for training; patterns such as `data/set_*` stand for "
        "what they match, in natural order, here and in the other lists of paths.",
    )
    exclude: Annotated[list[FrameName], Unique] = Field(
        default_factory=list,
        description="Frames of `paths` to leave out, by name or pattern (`frame_0012`, `md_*_1?`; with a `/` "
        "the folders above count too, `set_1/frame_*`).",
    )
    near_duplicates: Literal["refuse", "skip"] = Field(
        "refuse",
        description="What to do with copies: refuse a geometry that is there twice; or skip it, and every "
        "frame nearer than 0.03 Angstrom (root mean square) to one before.",
    )
    grid_cell_sampling: Literal[1, 2, 4] = Field(
        1,
        description="Places of the DFT code's mesh over which energies and forces of `paths` are means: 2 or "
        "4 take out the force that the mesh exerts on the atoms (SIESTA's GridCellSampling, computed from H "
        "and S at ingestion). For SIESTA and HONPAS; also for frames of `active_learning` by `scf`.",
    )
    spin: Channel | None = Field(
        None,
        description="Spin channel of spin-polarised data that states and dynamics are of; default: "
        "`states.spin`. Both channels: two functionals with the same paths.",
    )
    engine: Engine | None = Field(
        None, description="DFT to run instead of `paths`: `program` (`cp2k` or `pyscf`) and its options."
    )
    rebuilt: RebuiltFrames | None = Field(
        None, description="Frames kept as densities instead of `paths`; they have no forces."
    )
    structures: StructureSettings = Field(
        default_factory=StructureSettings, description="Structures that the engine computes."
    )
    trajectory_paths: WrittenPaths = Field(
        default_factory=list, description="Folders of consecutive DFT frames, for the parity of couplings."
    )
    density_paths: WrittenPaths = Field(
        [],
        max_length=1,
        description="Further frames of which only the densities are kept (`n2amd hamiltonian densities`): "
        "they train the density network.",
    )
    forcefield_paths: WrittenPaths = Field(
        default_factory=list,
        description="Extended XYZ files of further DFT frames with energies and forces, for the force field.",
    )
    forcefield_test_paths: WrittenPaths = Field(
        default_factory=list,
        description="Extended XYZ files of DFT frames that only judge the force field.",
    )
    trajectory_timestep_fs: float = Field(
        1.0, ge=0.001, le=10, description="Time between consecutive frames, fs."
    )
    without_bands: bool = Field(
        False, description="Accept frames whose code left no eigenvalues; H is not verified then."
    )
    electrons: float | None = Field(
        None, gt=0, le=10**6, description="Electrons in the cell, where the files do not say (DeepH folders)."
    )
    fit_overlap: bool | None = Field(
        None,
        description="Recover the radial functions from the overlaps, where the files have none; default: for "
        "DeepH folders.",
    )
    active_learning: ActiveLearningSettings = Field(
        default_factory=ActiveLearningSettings,
        description="Rounds of frames that the network chooses and that are labelled.",
    )
    scissors: Annotated[list[Scissor], AfterValidator(_labels_once)] = Field(
        default_factory=list, description="Scissor variants."
    )
    band_path: list[Text] = Field(
        default_factory=list,
        description="Special points for the band structure, e.g. [G, X, M, G]; empty: seekpath's.",
    )

    @model_validator(mode="after")
    def _given_or_computed(self) -> DataSource:
        if bool(self.paths) + (self.engine is not None) + (self.rebuilt is not None) != 1:
            raise ValueError(
                "give either paths (DFT frames that exist) or engine (DFT to run), or rebuilt (densities)"
            )
        if self.rebuilt is not None and self.active_learning.rounds:
            raise ValueError("active_learning is not for rebuilt frames: set rounds to 0")
        if self.engine is None and self.code is None:
            raise ValueError("code is missing: name the DFT code that wrote the files in paths")
        if self.engine is not None and self.code not in (None, self.engine.program):
            raise ValueError(
                f"code is {self.code!r}, but engine runs {self.engine.program!r}; leave code out"
            )
        if self.electrons is not None and self.written_by != "deeph":
            raise ValueError(
                f"electrons is for DeepH folders; the files of {self.written_by} say it themselves"
            )
        if self.grid_cell_sampling > 1 and self.written_by not in ("siesta", "honpas"):
            raise ValueError(
                f"grid_cell_sampling is for SIESTA and HONPAS; no energies of {self.written_by} are made of "
                "the parts of H0; leave it out"
            )
        if self.fit_overlap is False and self.written_by == "deeph":
            raise ValueError(
                "fit_overlap is false, but DeepH folders hold no radial functions, without which overlaps of "
                "new geometries are unknown; leave it out"
            )
        if self.active_learning.label_by == "engine" and self.engine is None:
            raise ValueError(
                "active_learning.label_by is engine, but the functional has none: choose scf or folder"
            )
        return self

    @property
    def labelled_by(self) -> Literal["scf", "engine", "folder"]:
        """Who labels the frames of active learning."""
        return self.active_learning.label_by or ("scf" if self.engine is None else "engine")

    @property
    def fits_overlap(self) -> bool:
        """Whether radial functions are recovered from overlaps."""
        return self.written_by == "deeph" if self.fit_overlap is None else self.fit_overlap

    @property
    def lacks_forces(self) -> str | None:
        """Why the frames will have no forces, None where they may have."""
        if self.written_by == "deeph":
            return "DeepH folders hold no energies and forces"
        if self.engine is not None and not self.engine.forces:
            return "its engine computes no forces"
        if self.rebuilt is not None:
            return "rebuilt frames have none"
        return None

    @property
    def written_by(self) -> DftCode:
        """The DFT code of the frames."""
        return self.engine.program if self.engine is not None else self.code  # type: ignore[return-value]


#: Sections inside a functional, and the functional itself, by the names that commands know them by.
DATA_SECTIONS: dict[str, type[Section]] = {
    "source": DataSource,
    "scissor": Scissor,
    "structures": StructureSettings,
    "cp2k": Cp2kSettings,
    "pyscf": PyscfSettings,
    "active_learning": ActiveLearningSettings,
}
