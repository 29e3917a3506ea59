"""Two-stage training of the pair network: the error of H, then also the error seen by states at the gap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from n2amd.blocks.matrix import SpeciesPair
from n2amd.network.data import Sample, Targets, collate_samples, join_targets
from n2amd.network.empty_space import Floor, displaced, floor_violation, measure_floors
from n2amd.network.loop import TrainingLoop
from n2amd.network.model import HamiltonianNetwork
from n2amd.network.presets import Preset
from n2amd.network.ranks import ALONE, Ranks
from n2amd.network.reference_fit import residual_targets
from n2amd.network.state_loss import States, solve_states, state_error
from n2amd.orbitals.two_centre import OverlapTable

#: Loss of a nearly empty state that lies at zero instead of on its floor, eV.
FLOOR_WEIGHT_EV = 0.1
#: Steps between made-up geometries: a safeguard, not a target.
FLOOR_EVERY = 4
#: Random k points a frame in stage 2, beside Gamma.
RANDOM_KPOINTS = 3


def element_error(site: dict[int, Tensor], pair: dict[tuple[int, int], Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean absolute error of the on-site and of the off-site elements (true elements only), eV."""
    on = torch.cat([e.abs().flatten() for e in site.values()]).mean()
    off = torch.cat([e.abs().flatten() for e in pair.values()]).mean() if pair else on.new_zeros(())
    return on, off


@torch.no_grad()
def mean_absolute_error(model: HamiltonianNetwork, samples: Sequence[Sample]) -> float:
    """MAE over all true elements of the samples, eV."""
    total, count = 0.0, 0
    for sample in samples:
        site, pair = model(sample.graph.to(next(model.parameters()).device))
        for predicted, wanted in ((site, sample.targets.site), (pair, sample.targets.pair)):
            for key, blocks in wanted.items():
                error = (predicted[key].double().cpu() - blocks).abs()
                total, count = total + float(error.sum()), count + error.numel()
    return total / count


class PairTrainer(TrainingLoop):
    """Training run of the pair network.

    Parameters
    ----------
    model
        Network with fitted reference and scales.
    train, validation
        Samples.
    preset
        Schedule.
    band_weight
        Weight of the window error in stage 2.
    seed, checkpoint, fingerprint, ranks
        See `TrainingLoop`.
    table
        Overlap tables, for the floor under nearly empty states on made-up geometries; None: do without.
    """

    model: HamiltonianNetwork

    def __init__(
        self,
        model: HamiltonianNetwork,
        train: Sequence[Sample],
        validation: Sequence[Sample],
        preset: Preset,
        *,
        band_weight: float,
        seed: int,
        checkpoint: Path,
        fingerprint: str,
        table: OverlapTable | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(model, preset.schedule, seed, checkpoint, fingerprint, ranks)
        self.train, self.validation = list(train), list(validation)
        self.preset, self.band_weight = preset, band_weight
        self.residuals = [residual_targets(model, s) for s in [*self.train, *self.validation]]
        self.table = table
        self.floors: list[Floor] = []
        if table is not None and self.sees_states:
            kpoints = [np.zeros(3), np.array([0.13, 0.3, -0.2])]
            self.floors = [f for f in measure_floors(self.train, kpoints) if f.energy > 0]
        self._solved: dict[tuple[int, int], States] = {}

    @property
    def sees_states(self) -> bool:
        """Whether there is a stage 2."""
        return self.preset.band_steps > 0 and self.band_weight > 0

    @property
    def settled(self) -> bool:
        """Stage 1 knows nothing of states, however small its errors are: its weights are not kept."""
        return not self.sees_states or self.step > self.preset.steps

    def validate(self) -> dict[str, float]:
        """Scores of the validation frames; the weights to keep are those of the smallest loss of stage 2.

        Elements alone are no measure: nearly the smallest error of theirs is reached before stage 2 begins,
        which pays for right states with elements, above all of nearly empty states.
        """
        mae = {"validation_mae_meV": 1e3 * mean_absolute_error(self.model, self.validation)}
        if not self.sees_states:
            return mae
        return {**self._loss_of_validation(), **mae}

    @torch.no_grad()
    def _loss_of_validation(self) -> dict[str, float]:
        """Loss of stage 2 on the validation frames, eV, and its part of the states, meV."""
        loss, seen = 0.0, 0.0
        for number, sample in enumerate(self.validation, start=len(self.train)):
            site_error, pair_error = self._errors([number])
            on, off = element_error(site_error, pair_error)
            loss += float(off + 0.5 * on) / len(self.validation)
            for k in range(2):
                state = self._states(number, k)
                error = float(state_error([sample], [state], site_error, pair_error))
                seen += error / 2 / len(self.validation)
        return {"loss": loss + self.band_weight * seen, "states_meV": 1e3 * seen}

    def _errors(self, numbers: Sequence[int]) -> tuple[dict[int, Tensor], dict[SpeciesPair, Tensor]]:
        """Errors of the blocks of some samples, counted through training and validation, eV."""
        graph, _ = collate_samples([self._sample(k) for k in numbers])
        wanted = _to(join_targets([self.residuals[k] for k in numbers]), self.device)
        site, pair = self.model.correction(graph.to(self.device))
        return (
            {z: site[z] - wanted.site[z] for z in wanted.site},
            {k: pair[k] - wanted.pair[k] for k in wanted.pair},
        )

    def _sample(self, number: int) -> Sample:
        n_train = len(self.train)
        return self.train[number] if number < n_train else self.validation[number - n_train]

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Error of H and, in stage 2, what the states see of it, eV: this process' share."""
        size = min(self.preset.batch_size, len(self.train))
        batch = [int(k) for k in rng.choice(len(self.train), size=size, replace=False)]
        stage_2 = self.sees_states and self.step >= self.preset.steps
        # all processes draw everything that is random
        draws = [int(rng.integers(RANDOM_KPOINTS + 1)) for _ in batch] if stage_2 else []
        chosen = self.ranks.share(batch)
        loss = torch.zeros((), dtype=torch.float64)
        if chosen:
            loss = self._share_of_loss(batch, chosen, self.ranks.share(draws))
        lifts = stage_2 and self.table is not None and self.floors and self.step % FLOOR_EVERY == 0
        if lifts and self.ranks.first:
            loss = loss + self.band_weight * FLOOR_WEIGHT_EV * self._floor(self.train[batch[0]], rng)
        return loss

    def _share_of_loss(self, batch: Sequence[int], chosen: Sequence[int], draws: Sequence[int]) -> Tensor:
        """Part of the batch's loss that chosen samples make; `draws`: their k points in stage 2."""
        samples = [self.train[k] for k in chosen]
        site_error, pair_error = self._errors(chosen)
        on, off = element_error(site_error, pair_error)
        whole, own = (
            np.sum([_elements(self.residuals[k]) for k in part], axis=0) for part in (batch, chosen)
        )
        loss = off * float(own[1] / max(whole[1], 1)) + 0.5 * on * float(own[0] / whole[0])
        if draws:
            states = [self._states(k, draw) for k, draw in zip(chosen, draws)]
            error = state_error(samples, states, site_error, pair_error)
            loss = loss + self.band_weight * error * (len(chosen) / len(batch))
        return loss

    def _floor(self, sample: Sample, rng: np.random.Generator) -> Tensor:
        """How far nearly empty states of a made-up geometry lie below their floors."""
        assert self.table is not None
        made_up = displaced(sample.frame.structure, rng)
        kpoint = rng.uniform(-0.5, 0.5, 3) * int(rng.integers(2))
        return floor_violation(self.model, self.table, made_up, kpoint, self.floors).float()

    def _states(self, sample: int, k: int) -> States:
        # a few k points a frame are drawn once and kept: Gamma, where supercell states fold to, and others
        key = (sample, k)
        if key not in self._solved:
            kpoint = np.random.default_rng([self.seed, sample, k]).uniform(-0.5, 0.5, 3) if k else np.zeros(3)
            self._solved[key] = solve_states(self._sample(sample), kpoint)
        return self._solved[key]


def _elements(targets: Targets) -> NDArray[np.int64]:
    """Numbers of on-site and off-site elements."""
    return np.array([sum(t.numel() for t in part.values()) for part in (targets.site, targets.pair)])


def _to(targets: Targets, device: torch.device) -> Targets:
    return Targets(
        {z: t.to(device) for z, t in targets.site.items()}, {k: t.to(device) for k, t in targets.pair.items()}
    )
