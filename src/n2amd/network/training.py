"""From a data set to a model file: what to learn, the split, the stages of training, the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from n2amd import provenance
from n2amd.baseline.rebuilt import rebuilt_hamiltonian
from n2amd.blocks.matrix import BlockMatrix, gauge_shift
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.dataset.electrons import Census, with_valence_charges
from n2amd.dataset.split import split_frames
from n2amd.dataset.store import read_attributes, read_basis, read_frames, read_ingredients, read_structures
from n2amd.device import choose_device
from n2amd.errors import InputError, within
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.network.cells import TrainingCells, geometry_hash
from n2amd.network.charge_states import ChargeState, ChargeStates, state_of_frame
from n2amd.network.checkpoint import HamiltonianModel, save_model
from n2amd.network.density_stage import DensityStage
from n2amd.network.fitted_ingredients import FoundIngredients, ingredients_to_train
from n2amd.network.loop import History
from n2amd.network.pair_training import train_pair
from n2amd.network.plan import Plan, choose_plan
from n2amd.network.precision import require_full_precision
from n2amd.network.presets import Preset, resolve
from n2amd.network.ranks import ALONE, Ranks
from n2amd.network.stored_densities import DensityFile, read_densities
from n2amd.network.training_gap import middle_of_gap, norm_near_gap
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.overlap_fit import OverlapFit, OverlapLimits
from n2amd.sources import digest_of_program
from n2amd.storage import make_folder, read_json
from n2amd.structure import Structure

#: Told of progress: the stage, its history so far, its steps.
Report = Callable[[str, History, int], None]


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


def train(
    dataset: Path,
    settings: HamiltonianSettings,
    out: Path,
    workdir: Path,
    report: Report,
    overlap_fit: Path | None = None,
    densities: Path | None = None,
    ranks: Ranks = ALONE,
) -> HamiltonianModel:
    """Train the model of one data set and write the model file.

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
        Called with the stage, its history and its number of steps after every validation.
    overlap_fit
        `overlap.json`, where the data set has no radial functions.
    densities
        File of further frames of which only the densities are kept; they train the density network.
    ranks
        Processes that train it together; the first one writes the file.

    Raises
    ------
    InputError
        If the data do not fit the network, or the settings the data.
    """
    require_full_precision()
    basis, limits = basis_to_train(dataset, overlap_fit)
    attributes = read_attributes(dataset)
    preset = resolve(settings)
    structures = read_structures(dataset)
    split = split_frames(structures, settings.validation_fraction, settings.test_fraction, settings.seed)
    basis = with_valence_charges(basis, Census.of_dataset(dataset))
    frames = [list(read_frames(dataset, indices)) for indices in (split.train, split.validation)]
    stored = None if overlap_fit else read_ingredients(dataset)
    found = FoundIngredients(stored, attributes.get("h0"))
    if not overlap_fit and settings.model != "pair":
        found = ingredients_to_train(stored, attributes.get("h0"), frames[0], basis)
    with within(dataset):
        plan = choose_plan(settings.model, found.ingredients, str(attributes["functional"]), found.lacking)
        states = charge_states(frames[0] + frames[1], plan)
    inputs = [path for path in (dataset, overlap_fit, densities) if path is not None]
    further = None
    if densities is not None and plan.density:
        further = read_densities(densities, basis, found.ingredients)
        _refuse_spins(further, densities)
        _refuse_judged(further, [structures[k] for k in (*split.validation, *split.test)], densities)
    ranks.require_frames(len(split.train) + len(further.frames if further else ()))
    fingerprint = provenance.sha256_of_config(
        [
            digest_of_program("commands/hamiltonian.py:train"),
            settings.effective(),
            repr(preset),
            plan.kind,
            provenance.sha256_of_files(inputs),
        ]
    )
    make_folder(workdir)
    stages = _Stages(basis, settings, preset, workdir, fingerprint, report, ranks)
    with within(dataset):
        model = stages.run(plan, found.ingredients, frames[0], frames[1], further)
    if not ranks.first:
        return model
    training = {
        "kind": plan.kind,
        "reason": plan.reason,
        "split": {name: [int(k) for k in getattr(split, name)] for name in ("train", "validation", "test")},
        "cells": TrainingCells.of_structures(
            [structures[k] for k in split.train] + [f.structure for f in (further.frames if further else ())],
            [structures[k] for k in split.validation],
        ).to_document(),
        "mean_gauge_shift_eV": float(np.mean([gauge_shift(f.hamiltonian, f.overlap) for f in frames[0]])),
        "middle_of_gap_eV": middle_of_gap(frames[0], basis),
        "norm_near_gap": norm_near_gap(frames[0], basis),
        "history": {stage: history.to_dict() for stage, history in stages.histories.items()},
        "settings": settings.model_dump(mode="json"),
        "seed": settings.seed,
        "n_parameters": model.n_parameters,
        "cpu_seconds": provenance.cpu_seconds(),
        "ingredients_fit": found.to_document(),
        "overlap_limits": limits and limits.to_document(),
    }
    if further is not None:
        states = states.joined((f.name, f.structure.numbers, ChargeState(f.excess)) for f in further.frames)
    if not states.plain:
        training["charge_states"] = states.to_document()
    save_model(out, model, training=training, config=settings, inputs=inputs)
    return model


def charge_states(frames: Sequence[Frame], plan: Plan) -> ChargeStates:
    """Collect charge and total spin of frames.

    Raises
    ------
    InputError
        If electrons and spins do not fit each other, or the model.
    """
    spin = frames[0].hamiltonian.n_spin == 2
    if spin and plan.kind != "density":
        raise InputError(
            f"collinear spins need a learned density, and the model is {plan.kind}: {plan.reason}",
            frame=frames[0].name,
            field="hamiltonian.model",
            remedy="train on frames whose H0 is known for this functional, or without spin",
        )
    listed = [(f.name, f.structure.numbers, state_of_frame(f)) for f in frames]
    return ChargeStates.of(listed, spin=spin)


def _refuse_spins(further: DensityFile, path: Path) -> None:
    """Refuse densities with a magnetisation, which train as frames of a data set only."""
    for frame in further.frames:
        if frame.moment is not None:
            raise InputError(
                "it has spins, and further densities are of closed shells",
                file=path,
                frame=frame.name,
                field="density_paths",
                remedy="make a data set of such frames (`n2amd dataset rebuild`; `rebuilt` in a job)",
            )


def _refuse_judged(further: DensityFile, judged: Sequence[Structure], path: Path) -> None:
    """Refuse frames that the data set holds out."""
    held = {geometry_hash(structure) for structure in judged}
    for frame in further.frames:
        if geometry_hash(frame.structure) in held:
            raise InputError(
                "the data set holds this frame out for validation or test",
                file=path,
                frame=frame.name,
                field="positions",
                remedy="leave out of the file the frames of the data set (`n2amd hamiltonian densities`)",
            )


class _Stages:
    """The stages of one training run, and what they leave behind."""

    def __init__(
        self,
        basis: Basis,
        settings: HamiltonianSettings,
        preset: Preset,
        workdir: Path,
        fingerprint: str,
        report: Report,
        ranks: Ranks,
    ) -> None:
        self.basis, self.settings, self.preset = basis, settings, preset
        self.workdir, self.fingerprint, self.report, self.ranks = workdir, fingerprint, report, ranks
        self.device = choose_device(settings.device)
        self.histories: dict[str, History] = {}

    def run(
        self,
        plan: Plan,
        ingredients: Ingredients | None,
        train: Sequence[Frame],
        validation: Sequence[Frame],
        further: DensityFile | None,
    ) -> HamiltonianModel:
        """Train what the plan asks for."""
        zeroth, density, pair, doubt = None, None, None, None
        if plan.zeroth:
            assert ingredients is not None
            stage = DensityStage(
                self.basis,
                ingredients,
                self.settings,
                self.preset,
                self.workdir,
                self.fingerprint,
                self.device,
                self.ranks,
            )
            progress = self._progress("density")
            result = stage.run(
                train, validation, progress, learn=plan.density, beside_pairs=plan.pair, further=further
            )
            zeroth, density, doubt = result.zeroth, result.network, result.doubt
            if result.history is not None:
                self.histories["density"] = result.history
        if plan.pair:
            done = HamiltonianModel(self.basis, zeroth, density, None)
            remain, judged = ([what_is_left(done, f) for f in frames] for frames in (train, validation))
            pair, self.histories["pair"] = train_pair(
                remain,
                judged,
                self.basis,
                self.settings,
                self.preset,
                self.workdir / "pair.pt",
                self.fingerprint,
                self.device,
                self._progress("pair"),
                wholes=[*train, *validation],
                floors=zeroth is None,
                ranks=self.ranks,
            )
        return HamiltonianModel(self.basis, zeroth, density, pair, doubt)

    def _progress(self, stage: str) -> Callable[[History, int], None]:
        return lambda history, total: self.report(stage, history, total)


def what_is_left(model: HamiltonianModel, frame: Frame) -> Frame:
    """Return the frame with H0 taken from its H; the frame itself where there is no H0.

    H0 is that of average atoms or, where the model's density is learned, that of the frame's own density: the
    pair network shall know the part that no density makes, not this density network's errors.
    """
    zeroth = model.zeroth
    if zeroth is None:
        return frame
    if model.density is None:
        coefficients = zeroth.model.spherical(frame.structure.numbers)
        h0 = zeroth.matrix(frame.structure, coefficients, frame.hamiltonian.pairs)
    else:
        h0 = rebuilt_hamiltonian(frame, model.basis, zeroth.ingredients)
    values = {key: blocks - h0.values[key] for key, blocks in frame.hamiltonian.values.items()}
    return replace(frame, hamiltonian=BlockMatrix(frame.hamiltonian.pairs, values))
