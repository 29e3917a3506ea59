"""Two-stage training: the mean absolute error of H, then also the error seen by the states around the gap."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from n2amd.errors import ComputationError
from n2amd.network.checkpoint import load_state, save_state
from n2amd.network.data import Sample, Targets, collate_samples, join_targets
from n2amd.network.empty_space import Floor, displaced, floor_violation, measure_floors
from n2amd.network.model import HamiltonianNetwork
from n2amd.network.presets import Preset
from n2amd.network.reference_fit import residual_targets
from n2amd.network.state_loss import States, solve_states, state_error
from n2amd.orbitals.two_centre import OverlapTable

#: Loss of a nearly empty state that lies at zero instead of on its floor, eV.
FLOOR_WEIGHT_EV = 0.1
#: Steps between made-up geometries: a safeguard, not a target.
FLOOR_EVERY = 4
#: Random k points a frame in stage 2, beside Gamma.
RANDOM_KPOINTS = 3


@dataclass
class History:
    """Record of the training, one entry a validation."""

    step: list[int] = field(default_factory=list)
    stage: list[int] = field(default_factory=list)
    loss_meV: list[float] = field(default_factory=list)
    validation_mae_meV: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, list]:
        """Plain types."""
        return dict(vars(self))


def learning_rate(step: int, total: int, first: float, last: float, warmup: int = 50) -> float:
    """Linear warm-up, then a cosine from `first` to `last`."""
    warm = min(1.0, (step + 1) / min(warmup, max(total // 10, 1)))
    return warm * (last + 0.5 * (first - last) * (1 + math.cos(math.pi * min(step / total, 1.0))))


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


class Trainer:
    """State of a training run: resumes exactly from its checkpoint.

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
    seed
        Seed of the batches and k points.
    workdir
        Where checkpoints go.
    fingerprint
        Hash of settings and data; a checkpoint with another one is ignored.
    table
        Overlap tables, for the floor under nearly empty states on made-up geometries; None: do without.
    """

    def __init__(
        self,
        model: HamiltonianNetwork,
        train: Sequence[Sample],
        validation: Sequence[Sample],
        preset: Preset,
        *,
        band_weight: float,
        seed: int,
        workdir: Path,
        fingerprint: str,
        table: OverlapTable | None = None,
    ) -> None:
        self.model, self.train, self.validation = model, list(train), list(validation)
        self.preset, self.band_weight, self.seed = preset, band_weight, seed
        self.checkpoint = workdir / "last.pt"
        self.fingerprint = fingerprint
        self.device = next(model.parameters()).device
        self.residuals = [residual_targets(model, s) for s in self.train]
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=preset.learning_rate, weight_decay=1e-4)
        self.average = {k: v.detach().clone() for k, v in model.named_parameters()}
        self.history = History()
        self.step = 0
        self._running: list[float] = []
        self.table = table
        self.floors: list[Floor] = []
        if table is not None and preset.band_steps and band_weight > 0:
            kpoints = [np.zeros(3), np.array([0.13, 0.3, -0.2])]
            self.floors = [f for f in measure_floors(self.train, kpoints) if f.energy > 0]
        self._solved: dict[tuple[int, int], States] = {}

    @property
    def total_steps(self) -> int:
        """Steps of both stages."""
        return self.preset.steps + self.preset.band_steps

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one of the same run."""
        if not self.checkpoint.exists():
            return False
        state = load_state(self.checkpoint)
        if state["fingerprint"] != self.fingerprint:
            return False
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.history = History(**state["history"])
        self.step, self._running = state["step"], state["running"]
        return True

    def save(self) -> None:
        """Write the checkpoint."""
        state: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "history": self.history.to_dict(),
            "step": self.step,
            "running": self._running,
        }
        save_state(self.checkpoint, state)

    def run(self, report: Callable[[History], None]) -> None:
        """Train to the end; validate, checkpoint and report every `validate_every` steps.

        Raises
        ------
        ComputationError
            If the loss stops being a number.
        """
        self.model.train()
        while self.step < self.total_steps:
            loss = self._one_step()
            if not math.isfinite(loss):
                raise ComputationError(
                    f"the loss became {loss} at step {self.step}; "
                    "lower hamiltonian.learning_rate and train again"
                )
            self._running.append(loss)
            self.step += 1
            if self.step % self.preset.validate_every == 0 or self.step == self.total_steps:
                self._validate()
                self.save()
                report(self.history)
        self.use_average()

    def use_average(self) -> None:
        """Put the averaged weights into the model."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.average[name])

    def _validate(self) -> None:
        live = {k: v.detach().clone() for k, v in self.model.named_parameters()}
        self.use_average()
        mae = mean_absolute_error(self.model, self.validation)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(live[name])
        self.history.step.append(self.step)
        self.history.stage.append(1 if self.step <= self.preset.steps else 2)
        self.history.loss_meV.append(1e3 * float(np.mean(self._running)))
        self.history.validation_mae_meV.append(1e3 * mae)
        self._running = []

    def _one_step(self) -> float:
        # every step has its own stream, so that a resumed run draws what an unbroken one would have drawn
        rng = np.random.default_rng([self.seed, self.step])
        chosen = rng.choice(len(self.train), size=min(self.preset.batch_size, len(self.train)), replace=False)
        samples = [self.train[k] for k in chosen]
        graph, _ = collate_samples(samples)
        wanted = _to(join_targets([self.residuals[k] for k in chosen]), self.device)
        rate = learning_rate(
            self.step, self.total_steps, self.preset.learning_rate, self.preset.final_learning_rate
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        site, pair = self.model.correction(graph.to(self.device))
        site_error = {z: site[z] - wanted.site[z] for z in wanted.site}
        pair_error = {k: pair[k] - wanted.pair[k] for k in wanted.pair}
        on, off = element_error(site_error, pair_error)
        loss = off + 0.5 * on
        if self.step >= self.preset.steps and self.band_weight > 0:
            states = [self._states(int(k), int(rng.integers(RANDOM_KPOINTS + 1))) for k in chosen]
            loss = loss + self.band_weight * state_error(samples, states, site_error, pair_error)
            if self.table is not None and self.floors and self.step % FLOOR_EVERY == 0:
                made_up = displaced(samples[0].frame.structure, rng)
                kpoint = rng.uniform(-0.5, 0.5, 3) * int(rng.integers(2))
                violation = floor_violation(self.model, self.table, made_up, kpoint, self.floors)
                loss = loss + self.band_weight * FLOOR_WEIGHT_EV * violation.float()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        decay = min(self.preset.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)
        return float(loss.detach())

    def _states(self, sample: int, k: int) -> States:
        # a few k points a frame are drawn once and kept: Gamma, where supercell states fold to, and others
        key = (sample, k)
        if key not in self._solved:
            kpoint = np.random.default_rng([self.seed, sample, k]).uniform(-0.5, 0.5, 3) if k else np.zeros(3)
            self._solved[key] = solve_states(self.train[sample], kpoint)
        return self._solved[key]


def _to(targets: Targets, device: torch.device) -> Targets:
    return Targets(
        {z: t.to(device) for z, t in targets.site.items()}, {k: t.to(device) for k, t in targets.pair.items()}
    )
