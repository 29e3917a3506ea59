"""Further frames of a data set without its DFT code: self-consistent with the ingredients that the set holds.

Each finished frame is a data set of its own in the folder OUT.work; in the end all become one file. What was
killed goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.scf_kpoints import mesh_counts, scf_kpoints
from n2amd.baseline.schemes import HYBRIDS
from n2amd.baseline.self_consistent import ScfSettings, self_consistent
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.pairs import find_pairs
from n2amd.checksums import first_damaged
from n2amd.dataset.merge import merge
from n2amd.dataset.sampled_forces import with_sampled_forces
from n2amd.dataset.store import (
    create_dataset,
    read_attributes,
    read_basis,
    read_frames,
    read_ingredients,
)
from n2amd.dft.engines.kmesh import half_mesh
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.ingestion.scf_electrons import reference_electrons
from n2amd.orbitals.basis import Basis
from n2amd.provenance import sha256_of_config
from n2amd.restart import read_or_set_aside, same_job
from n2amd.storage import make_folder
from n2amd.structure import Structure

#: Part of every fingerprint; raise it where frames come out with other numbers.
GENERATION = "2"
#: Density of a structure on its mesh to start from, beyond that of neutral atoms, 1/A^3.
Start = Callable[[Structure], NDArray[np.float64]]


@dataclass(frozen=True)
class ScfCampaign:
    """What all frames have in common.

    Attributes
    ----------
    reference
        Data set whose orbitals, ingredients, smearing and k spacing are taken.
    k_spacing
        Largest distance of k points along a reciprocal vector, 1/Angstrom.
    tolerance
        Largest change of H in the last cycle, eV.
    start
        Makes the function that gives the density to start from; None: neutral atoms.
    fitted
        `Ingredients.to_json` of ingredients fitted to frames, for a data set that holds none of its own.
    grid_cell_sampling
        Places of the mesh that energies, forces and stress are means over.
    """

    reference: Path
    k_spacing: float
    tolerance: float
    start: Callable[[], Start] | None = None
    fitted: str | None = None
    grid_cell_sampling: int = 1

    @property
    def ingredients(self) -> Ingredients:
        """Those of the data set, else the fitted ones.

        Raises
        ------
        InputError
            If there are neither.
        """
        if (stored := read_ingredients(self.reference)) is not None:
            return stored
        if self.fitted is None:
            raise InputError(
                "the data set has no ingredients of H0",
                file=self.reference,
                field="ingredients",
                remedy="ingest the frames again with the code's pseudopotential files, or pass a model that "
                "was trained on them and has fitted ones (--model)",
            )
        return Ingredients.from_json(self.fitted)


def reference_spacing(reference: Path) -> float:
    """Distance of k points in the frames of a data set, the largest along any axis of any frame, 1/Angstrom.

    An axis with one k point tells it only where no other has more: the vacuum beside a layer needs no more.

    Raises
    ------
    InputError
        If no frame says its k points.
    """
    spacings = []
    for frame in read_frames(reference):
        if frame.bands is not None:
            counts = mesh_counts(scf_kpoints(frame)[0])
            several = counts > 1 if counts.max() > 1 else counts == 1
            spacings.append(float((_reciprocal_lengths(frame.structure) / counts)[several].max()))
    if not spacings:
        raise InputError(
            "no frame says its k points", file=reference, field="bands", remedy="give --k-spacing"
        )
    return max(spacings)


def _reciprocal_lengths(structure: Structure) -> NDArray[np.float64]:
    """Lengths of the reciprocal vectors, 2 pi included, (3,), 1/Angstrom."""
    return np.linalg.norm(2 * np.pi * np.linalg.inv(structure.cell).T, axis=1)


def compute_frames(
    campaign: ScfCampaign,
    structures: Sequence[Structure],
    out: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Compute structures self-consistently and write them as a data set.

    Parameters
    ----------
    campaign
        What they have in common.
    structures
        Structures to compute.
    out
        Data set to write.
    jobs
        Processes, one frame at a time each.
    progress
        Called with frames done and frames in all.

    Returns
    -------
    reused
        Frames that were finished before.

    Raises
    ------
    InputError
        If the reference lacks ingredients, an element, or frames, or is of a hybrid functional.
    ComputationError
        If a frame does not converge.
    """
    _require(campaign, structures)
    folder = out.with_name(out.name + ".work")
    make_folder(folder)
    tasks = [(campaign, s, folder / f"frame_{k:04d}.h5") for k, s in enumerate(structures)]
    waiting = [task for task in tasks if not _is_finished(*task)]
    reused = len(tasks) - len(waiting)
    progress(reused, len(tasks))
    for done, _ in enumerate(_run(waiting, jobs), reused + 1):
        progress(done, len(tasks))
    merge([path for _, _, path in tasks], out)
    shutil.rmtree(folder)
    return reused


def _run(tasks: Sequence[tuple[ScfCampaign, Structure, Path]], jobs: int) -> Iterator[None]:
    if jobs == 1:
        for task in tasks:
            _compute(*task)
            yield
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_compute, *task) for task in tasks]
        try:
            for future in as_completed(futures):
                future.result()
                yield
        finally:
            pool.shutdown(cancel_futures=True)


def _require(campaign: ScfCampaign, structures: Sequence[Structure]) -> None:
    ingredients, reference = campaign.ingredients, campaign.reference
    # a set may have a label of its own; its frames say what the code computed
    computed = next(iter(read_frames(reference, [0]))).origin.get("functional", "")
    names = (str(read_attributes(reference)["functional"]), computed)
    functional = next((name for name in names if name.lower() in HYBRIDS), None)
    if functional is not None:
        raise InputError(
            f"the cycle has no exact exchange, which {functional} needs",
            file=reference,
            field="functional",
            remedy="compute the frames with the code itself",
        )
    for z in {int(z) for structure in structures for z in structure.numbers}:
        ingredients[z]


@dataclass(frozen=True)
class _Reference:
    """What is taken from the data set.

    Attributes
    ----------
    zeroth
        H0 without density functions.
    smearing
        Of its first frame.
    charge, moment
        Of its frames, which are those of every cell that is computed.
    code, functional, label
        Its code; functional of its frames as the code calls it, and of the whole set.
    sha256
        Hash of all that a frame's numbers depend on.
    """

    zeroth: ZerothHamiltonian
    smearing: Smearing
    charge: float
    moment: float | None
    code: str
    functional: str
    label: str
    sha256: str


@lru_cache(maxsize=1)
def _reference(path: Path, ingredients: str) -> _Reference:
    """Read once what all frames share; ingredients as JSON."""
    basis, attributes = read_basis(path), read_attributes(path)
    first = next(iter(read_frames(path, [0])))
    charge, moment = reference_electrons(path)
    smearing, code = Smearing.of_origin(first.origin), str(attributes["code"])
    shared = [GENERATION, basis.to_json(), ingredients, str(smearing), code]
    identity = sha256_of_config([*shared, charge, moment] if charge or moment is not None else shared)
    zeroth = ZerothHamiltonian.of_neutral_atoms(basis, Ingredients.from_json(ingredients))
    functional = first.origin.get("functional", "unknown")
    label = str(attributes["functional"])
    return _Reference(zeroth, smearing, charge, moment, code, functional, label, identity)


@lru_cache(maxsize=1)
def _reference_of(campaign: ScfCampaign) -> _Reference:
    return _reference(campaign.reference, campaign.ingredients.to_json())


@lru_cache(maxsize=1)
def _start(campaign: ScfCampaign) -> Start | None:
    return None if campaign.start is None else campaign.start()


def _compute(campaign: ScfCampaign, structure: Structure, path: Path) -> None:
    """Compute one frame and write its file."""
    reference = _reference_of(campaign)
    frame = _solve(campaign, reference, structure, path.stem)
    frame = with_sampled_forces(frame, reference.zeroth.basis, campaign.grid_cell_sampling)
    # the files of single frames go: where it is from stays with the frame; the functional is named as the
    # reference's, so that both can be merged
    origin = {
        **frame.origin,
        "functional": reference.functional,
        "reference": str(campaign.reference),
        "reference_sha256": reference.sha256,
    }
    basis = Basis({int(z): reference.zeroth.basis[int(z)] for z in np.unique(structure.numbers)})
    with create_dataset(path, code=reference.code, functional=reference.label) as writer:
        writer.append(replace(frame, origin=origin), basis, {}, _fingerprint(campaign, structure))


def _solve(campaign: ScfCampaign, reference: _Reference, structure: Structure, name: str) -> Frame:
    lengths = _reciprocal_lengths(structure)
    # spacings of strained cells differ in the third digit
    counts = np.maximum(np.ceil(lengths / campaign.k_spacing - 0.02), 1).astype(int)
    counts[~_connected_axes(reference.zeroth, structure)] = 1
    kpoints, weights = half_mesh((int(counts[0]), int(counts[1]), int(counts[2])))
    start = _start(campaign)
    return self_consistent(
        reference.zeroth,
        structure,
        ScfSettings(
            kpoints,
            weights,
            reference.smearing,
            campaign.tolerance,
            energies=read_ingredients(campaign.reference) is not None,
        ),
        name=name,
        charge=reference.charge,
        moment=reference.moment,
        start=None if start is None else _with_spins(start(structure), reference.moment is not None),
    )


def _with_spins(density: NDArray[np.float64], spins: bool) -> NDArray[np.float64]:
    """Density to start from, with a magnetisation or without, whichever of them a model gives."""
    if not spins:
        return density if density.ndim == 3 else density[0]
    return density if density.ndim == 4 else np.stack([density, np.zeros_like(density)])


def _connected_axes(zeroth: ZerothHamiltonian, structure: Structure) -> NDArray[np.bool_]:
    """Axes along which H connects a cell with its images, (3,): along others all k points are the same."""
    shifts = [index.shift for index in find_pairs(structure, zeroth.ranges, half=True).values()]
    return np.any(np.concatenate(shifts) != 0, axis=0)


def _fingerprint(campaign: ScfCampaign, structure: Structure) -> str:
    """Hash what the numbers of a frame depend on."""
    settings = [_reference_of(campaign).sha256, campaign.k_spacing, campaign.tolerance]
    if campaign.grid_cell_sampling > 1:
        settings.append(campaign.grid_cell_sampling)
    digest = sha256(sha256_of_config(settings).encode())
    for values in (structure.cell, structure.positions, structure.numbers):
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _is_finished(campaign: ScfCampaign, structure: Structure, path: Path) -> bool:
    """Tell whether a file holds this very frame, whole; a damaged one is put aside."""
    found = read_or_set_aside(path, _fingerprint_of)
    wanted = sha256(_fingerprint(campaign, structure).encode()).hexdigest()
    return found is not None and same_job(path, found, wanted)


def _fingerprint_of(path: Path) -> str:
    """Return the fingerprint in the file of a frame that can be read to its end."""
    if not path.exists():
        raise FileNotFoundError(path)
    found = str(read_attributes(path)["inputs_sha256"])
    if (field := first_damaged(path)) is not None:
        raise InputError("damaged", file=path, field=field, remedy="compute it again")
    return found
