"""Training of the pair network: on the whole H, or on what H0 leaves of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from n2amd.blocks.pairs import find_pairs
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.network.data import align_gauge, hamiltonian_ranges, join_targets, make_sample
from n2amd.network.loop import History
from n2amd.network.model import Architecture, HamiltonianNetwork
from n2amd.network.presets import Preset
from n2amd.network.ranks import ALONE, Ranks
from n2amd.network.reference_fit import fit_reference, residual_targets
from n2amd.network.trainer import PairTrainer
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.two_centre import OverlapTable


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


def train_pair(
    train: Sequence[Frame],
    validation: Sequence[Frame],
    basis: Basis,
    settings: HamiltonianSettings,
    preset: Preset,
    checkpoint: Path,
    fingerprint: str,
    device: str,
    report: Callable[[History, int], None],
    *,
    wholes: Sequence[Frame],
    floors: bool,
    ranks: Ranks = ALONE,
) -> tuple[HamiltonianNetwork, History]:
    """Train the pair network on the Hamiltonians of frames.

    Parameters
    ----------
    train, validation
        Frames whose H is what the network shall learn.
    basis
        Orbital basis.
    settings, preset
        Section of the configuration, and its preset with the settings' own values.
    checkpoint, fingerprint
        Restart file and the hash that it must carry.
    device
        Where to train.
    report
        Called with the history and the number of steps after every validation.
    wholes
        `train` and `validation` with their whole H, whose states weigh the errors of what is learned.
    floors
        Hold nearly empty states up on made-up geometries: for the whole H only, H0 has them right.
    ranks
        Processes that share the batches.
    """
    aligned = align_gauge([*train, *validation])
    n_train = len(train)
    model = build_model(aligned[:n_train], basis, preset, settings.seed)
    samples = [
        make_sample(f, model.numbers, preset.message_cutoff_A, model.architecture.ranges, whole)
        for f, whole in zip(aligned, wholes, strict=True)
    ]
    fit_reference(model, samples[:n_train])
    residual = join_targets([residual_targets(model, s) for s in samples[:n_train]])
    model.fit_scales(residual.site, residual.pair)
    model.to(device)
    trainer = PairTrainer(
        model,
        samples[:n_train],
        samples[n_train:],
        preset,
        band_weight=settings.band_weight,
        seed=settings.seed,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
        table=OverlapTable.from_basis(basis) if floors else None,
        ranks=ranks,
    )
    trainer.resume()
    trainer.run(lambda history: report(history, preset.schedule.steps))
    return model.to("cpu"), trainer.history
