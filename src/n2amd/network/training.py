"""From a data set to a model file: split, align, fit the reference, train in two stages, save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from n2amd import provenance
from n2amd.blocks.matrix import gauge_shift
from n2amd.blocks.pairs import find_pairs
from n2amd.config import HamiltonianSettings
from n2amd.dataset.electrons import Census, with_valence_charges
from n2amd.dataset.frame import Frame
from n2amd.dataset.split import split_indices
from n2amd.dataset.store import n_frames, read_basis, read_frames, read_ingredients
from n2amd.device import choose_device
from n2amd.errors import InputError
from n2amd.network.checkpoint import save_model
from n2amd.network.data import align_gauge, hamiltonian_ranges, join_targets, make_sample
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.network.precision import require_full_precision
from n2amd.network.presets import Preset, resolve
from n2amd.network.reference_fit import fit_reference, residual_targets
from n2amd.network.trainer import History, Trainer
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_fit import OverlapFit, OverlapLimits
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.storage import read_json


def check_message_cutoff(frames: Sequence[Frame], cutoff: float) -> float:
    """Return the mean number of neighbours; refuse a cutoff that leaves an atom alone.

    Raises
    ------
    InputError
        If an atom has no neighbour within the cutoff.
    """
    counts = []
    for frame in frames:
        numbers = sorted({int(z) for z in frame.structure.numbers})
        ranges = {(a, b): cutoff for a in numbers for b in numbers if a <= b}
        pairs = find_pairs(frame.structure, ranges, half=False)
        neighbours = np.zeros(frame.structure.n_atoms)
        for index in pairs.values():
            np.add.at(neighbours, index.i[~index.on_site], 1)
        if not neighbours.all():
            raise InputError(
                f"atom {int(np.argmin(neighbours))} has no neighbour within {cutoff} A",
                frame=frame.name,
                field="hamiltonian.message_cutoff_A",
                remedy="use a longer cutoff",
            )
        counts.append(neighbours.mean())
    return float(np.mean(counts))


def basis_to_train(dataset: Path, overlap_fit: Path | None) -> tuple[Basis, OverlapLimits | None]:
    """Return the basis with its radial functions: the data set's, or recovered ones with their limits.

    Raises
    ------
    InputError
        If no radial functions are known, which every use of the network needs, or the fit is of another
        basis.
    """
    basis = read_basis(dataset)
    if overlap_fit is None:
        if not basis.has_radial_functions:
            raise InputError(
                "the basis has no radial functions, so overlaps of new geometries are unknown",
                file=dataset,
                field="basis",
                remedy="give the code's radial functions (.ion.xml, .pao) to the ingestion, or recover them "
                "with `n2amd overlap fit` (fit_overlap of the functional in the configuration)",
            )
        return basis, None
    found = OverlapFit.from_document(read_json(overlap_fit))
    shells = [{z: [(s.l, s.label) for s in b[z].shells] for z in b.numbers} for b in (basis, found.basis)]
    if shells[0] != shells[1]:
        raise InputError(
            f"the fit has the shells {shells[1]}, the data set {shells[0]}",
            file=overlap_fit,
            field="basis",
            remedy="run `n2amd overlap fit` on this data set",
        )
    return found.basis, found.limits


def build_model(frames: Sequence[Frame], basis: Basis, preset: Preset, seed: int) -> HamiltonianNetwork:
    """Make an untrained network whose ranges and normalisation come from the (aligned) training frames."""
    architecture = Architecture(
        channels=preset.channels,
        layers=preset.layers,
        message_cutoff=preset.message_cutoff_A,
        ranges=hamiltonian_ranges(frames),
        neighbours=check_message_cutoff(frames, preset.message_cutoff_A),
        n_radial=preset.n_radial,
        radial_hidden=preset.radial_hidden,
    )
    torch.manual_seed(seed)
    return HamiltonianNetwork(basis, architecture)


def train(
    dataset: Path,
    settings: HamiltonianSettings,
    out: Path,
    workdir: Path,
    report: Callable[[History, int], None],
    overlap_fit: Path | None = None,
) -> HamiltonianNetwork:
    """Train the network of one data set and write the model file.

    Parameters
    ----------
    dataset
        `dataset.h5`.
    settings
        The section of the configuration.
    out
        Model file to write.
    workdir
        Checkpoints; a run that was killed goes on from there to the same result.
    report
        Called with the history and the total number of steps after every validation.
    overlap_fit
        `overlap.json`, where the data set has no radial functions.

    Raises
    ------
    InputError
        If the data do not fit the network, or the settings the data.
    """
    require_full_precision()
    basis, limits = basis_to_train(dataset, overlap_fit)
    preset = resolve(settings)
    device = choose_device(settings.device)
    split = split_indices(
        n_frames(dataset), settings.validation_fraction, settings.test_fraction, settings.seed
    )
    frames = list(read_frames(dataset, [*split.train, *split.validation]))
    aligned = align_gauge(frames)
    n_train = len(split.train)
    basis = with_valence_charges(basis, Census.of_dataset(dataset))
    model = build_model(aligned[:n_train], basis, preset, settings.seed)
    samples = [
        make_sample(f, model.numbers, preset.message_cutoff_A, model.architecture.ranges) for f in aligned
    ]
    fit_reference(model, samples[:n_train])
    residual = join_targets([residual_targets(model, s) for s in samples[:n_train]])
    model.fit_scales(residual.site, residual.pair)
    model.to(device)
    inputs = [dataset] if overlap_fit is None else [dataset, overlap_fit]
    fingerprint = provenance.sha256_of_config(
        [settings.model_dump(mode="json"), vars(preset), provenance.sha256_of_files(inputs)]
    )
    workdir.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        model,
        samples[:n_train],
        samples[n_train:],
        preset,
        band_weight=settings.band_weight,
        seed=settings.seed,
        workdir=workdir,
        fingerprint=fingerprint,
        table=OverlapTable.from_basis(basis),
    )
    trainer.resume()
    trainer.run(lambda history: report(history, trainer.total_steps))
    model.to("cpu")
    training = {
        "split": {name: [int(k) for k in getattr(split, name)] for name in ("train", "validation", "test")},
        "mean_gauge_shift_eV": float(np.mean([gauge_shift(f.hamiltonian, f.overlap) for f in frames])),
        "history": trainer.history.to_dict(),
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
        "n_parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": provenance.cpu_seconds(),
        "overlap_limits": limits and limits.to_document(),
    }
    kept = read_ingredients(dataset)
    save_model(out, model, training=training, config=settings, inputs=inputs, ingredients=kept)
    return model
