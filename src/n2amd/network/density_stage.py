"""The density stage of training: fits of the frames' densities, then the network of their coefficients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from n2amd.baseline.model_density import coefficients_by_element, require_resolved
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.dataset.split import split_frames
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.network.density_data import (
    FittedFrame,
    choose_model,
    fit_frames,
    frame_of_density,
    with_means,
    without_means,
)
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.density_training import DensityTrainer
from n2amd.network.doubt import DensityDoubt
from n2amd.network.doubt_fit import density_doubt
from n2amd.network.loop import History
from n2amd.network.pair_training import check_message_cutoff
from n2amd.network.presets import Preset
from n2amd.network.ranks import ALONE, Ranks
from n2amd.network.stored_densities import DensityFile
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure

#: Name of the fit of densities among the stages that report progress.
FITTING = "density fit"


@dataclass(frozen=True)
class DensityResult:
    """H0 and, where it was asked for, the trained network, its doubt and its history."""

    zeroth: ZerothHamiltonian
    network: DensityNetwork | None = None
    doubt: DensityDoubt | None = None
    history: History | None = None


@dataclass(frozen=True)
class DensityStage:
    """What the density stage works with; of several processes the first alone finds the doubt."""

    basis: Basis
    ingredients: Ingredients
    settings: HamiltonianSettings
    preset: Preset
    workdir: Path
    fingerprint: str
    device: str
    ranks: Ranks = ALONE

    def run(
        self,
        train: Sequence[Frame],
        validation: Sequence[Frame],
        report: Callable[[History, int], None],
        *,
        learn: bool,
        beside_pairs: bool = False,
        further: DensityFile | None = None,
    ) -> DensityResult:
        """Fit the densities of frames and, where asked, train the network.

        Parameters
        ----------
        train, validation
            DFT frames.
        report
            Called with the history and the number of steps after every validation.
        learn
            False: only average atoms are wanted.
        beside_pairs
            A pair network learns what H0 of a frame's own density leaves of its H: see `fit_frame`.
        further
            Frames of which only the densities are kept, and the functions that all are written in.
        """
        shape = self.preset.density
        if further is None:
            model = choose_model(train, self.basis, self.ingredients)
        else:
            require_resolved(train[0].structure, self.ingredients)
            model = without_means(further.auxiliary)
        zeroth = ZerothHamiltonian(self.basis, self.ingredients, model)
        fitted = fit_frames(
            [*train, *validation],
            zeroth,
            shape.message_cutoff_A,
            lambda done, total: None,
            beside_pairs=beside_pairs,
        )
        zeroth = ZerothHamiltonian(self.basis, self.ingredients, with_means(model, fitted[: len(train)]))
        if not learn:
            return DensityResult(zeroth)
        learned, judged = fitted[: len(train)], fitted[len(train) :]
        stored = further.frames if further else ()
        rows = [(f.structure, f.of_density) for f in learned]
        rows += [(f.structure, f.coefficients) for f in stored]
        network = self._network(zeroth, train, rows, learned)
        kept_back = self._kept_back([f.structure for f in stored])
        for k, frame in enumerate(stored):
            shown = (frame.name, frame.structure, frame.coefficients, frame.excess)
            side = judged if k in kept_back else learned
            side.append(frame_of_density(*shown, zeroth, shape.message_cutoff_A))
        trainer = DensityTrainer(
            network,
            [f.sample for f in learned],
            [f.sample for f in judged],
            shape.schedule,
            atoms_per_step=shape.atoms_per_step,
            state_weight=shape.state_weight,
            seed=self.settings.seed,
            checkpoint=self.workdir / "density.pt",
            fingerprint=self.fingerprint,
            ranks=self.ranks,
        )
        trainer.resume()
        trainer.run(lambda history: report(history, shape.schedule.steps))
        network.to("cpu")
        doubt = None
        if self.ranks.first:
            doubt = density_doubt(
                network,
                trainer.train,
                trainer.validation,
                state_weight=shape.state_weight,
                seed=self.settings.seed,
            )
        return DensityResult(zeroth, network, doubt, trainer.history)

    def _kept_back(self, structures: Sequence[Structure]) -> set[int]:
        """Places of the stored frames that validate, the same share as of the data set."""
        fraction = self.settings.validation_fraction
        if fraction * len(structures) < 1:
            return set()
        return set(split_frames(structures, fraction, fraction, self.settings.seed).validation)

    def _network(
        self,
        zeroth: ZerothHamiltonian,
        train: Sequence[Frame],
        rows: Sequence[tuple[Structure, NDArray[np.float64]]],
        fitted: Sequence[FittedFrame],
    ) -> DensityNetwork:
        """Make the untrained network, its outputs scaled to the fitted coefficients."""
        shape = self.preset.density
        architecture = DensityArchitecture(
            channels=shape.channels,
            layers=shape.layers,
            message_cutoff=shape.message_cutoff_A,
            neighbours=check_message_cutoff(train, shape.message_cutoff_A),
            n_radial=shape.n_radial,
            radial_hidden=shape.radial_hidden,
            n_latent=shape.n_latent,
            spin=train[0].hamiltonian.n_spin == 2,
        )
        torch.manual_seed(self.settings.seed)
        network = DensityNetwork(zeroth.model.auxiliary, architecture)
        network.fit_scales(coefficients_by_element(zeroth.model.auxiliary, rows))
        upward = [
            (f.structure, np.sign(f.sample.moment) * f.coefficients[1]) for f in fitted if f.sample.moment
        ]
        network.fit_scales(coefficients_by_element(zeroth.model.auxiliary, upward), "magnetic_")
        return network.to(self.device)
