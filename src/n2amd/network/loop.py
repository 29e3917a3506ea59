"""The training loop that every network shares: optimiser, averaged weights, validation, exact resume."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from n2amd.errors import ComputationError
from n2amd.network.checkpoint import load_state, save_state
from n2amd.network.ranks import ALONE, Ranks
from n2amd.restart import read_or_set_aside, same_job
from n2amd.soap import Soap


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a network is trained.

    Attributes
    ----------
    steps
        Optimiser steps.
    learning_rate, final_learning_rate
        First and last rate of the optimiser.
    weight_decay
        AdamW's; SOAP has none.
    ema_decay
        Decay of the averaged weights, the ones that are kept.
    validate_every
        Steps between validations; also between restart points.
    optimizer
        `adamw`, or `soap` (see `n2amd.soap`).
    """

    steps: int
    learning_rate: float
    final_learning_rate: float
    weight_decay: float
    ema_decay: float
    validate_every: int
    optimizer: Literal["adamw", "soap"] = "adamw"

    def optimiser_of(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make the optimiser of some weights."""
        if self.optimizer == "soap":
            return Soap(weights, lr=self.learning_rate)
        return torch.optim.AdamW(weights, lr=self.learning_rate, weight_decay=self.weight_decay)


@dataclass
class History:
    """Record of a training, one entry a validation; what `scores` holds is the network's own business."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        return {"step": self.step, "loss": self.loss, **self.scores}


def learning_rate(step: int, total: int, first: float, last: float, warmup: int = 50) -> float:
    """Linear warm-up, then a cosine from `first` to `last`."""
    warm = min(1.0, (step + 1) / min(warmup, max(total // 10, 1)))
    return warm * (last + 0.5 * (first - last) * (1 + math.cos(math.pi * min(step / total, 1.0))))


class TrainingLoop(ABC):
    """State of a training run: resumes exactly from its checkpoint.

    Parameters
    ----------
    model
        The network.
    schedule
        Length and rates.
    seed
        Seed of the batches.
    checkpoint
        Restart file.
    fingerprint
        Hash of settings and data; a checkpoint with another one is ignored.
    ranks
        Processes that share the batches; the first one writes the checkpoint.
    """

    def __init__(
        self,
        model: nn.Module,
        schedule: Schedule,
        seed: int,
        checkpoint: Path,
        fingerprint: str,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        ranks.align(model)
        self.model, self.schedule, self.seed = model, schedule, seed
        self.checkpoint, self.fingerprint = checkpoint, fingerprint
        self.device = next(model.parameters()).device
        self.optimiser = schedule.optimiser_of(model.parameters())
        self.average = {k: v.detach().clone() for k, v in model.named_parameters()}
        self.best: dict[str, Tensor] = {}
        self.best_score = math.inf
        self.history = History()
        self.step = 0
        self._running: list[float] = []

    @abstractmethod
    def loss(self, rng: np.random.Generator) -> Tensor:
        """Loss of this process' share of the batch of one step; `rng` is the step's own stream.

        The sum over all processes is the loss of the batch. A process without a share returns a number that
        no weight enters.
        """

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Scores of the averaged weights; the first is the one to minimise."""

    @property
    def settled(self) -> bool:
        """Whether weights of this step may be the ones that are kept."""
        return True

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one of the same run."""
        state = self.ranks.of_first(self._stored)
        if state is None:
            return False
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average = {k: v.to(self.device) for k, v in state["average"].items()}
        self.best = {k: v.to(self.device) for k, v in state["best"].items()}
        self.best_score = state["best_score"]
        self.history = History(**state["history"])
        self.step, self._running = state["step"], state["running"]
        return True

    def _stored(self) -> dict[str, Any] | None:
        if not self.checkpoint.exists():
            return None
        state = read_or_set_aside(self.checkpoint, load_state)
        if state is None or not same_job(self.checkpoint, state.get("fingerprint"), self.fingerprint):
            return None
        return state

    def save(self) -> None:
        """Write the checkpoint (the first process)."""
        if not self.ranks.first:
            return
        state: dict[str, Any] = {
            "fingerprint": self.fingerprint,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "best": self.best,
            "best_score": self.best_score,
            "history": vars(self.history),
            "step": self.step,
            "running": self._running,
        }
        save_state(self.checkpoint, state)

    def run(self, report: Callable[[History], None]) -> None:
        """Train to the end; validate, checkpoint and report every `validate_every` steps.

        The model ends with the averaged weights of the best validation.

        Raises
        ------
        ComputationError
            If the loss stops being a number.
        """
        self.model.train()
        while self.step < self.schedule.steps:
            loss = self._one_step()
            if not math.isfinite(loss):
                raise ComputationError(
                    f"the loss became {loss} at step {self.step}; "
                    "lower hamiltonian.learning_rate and train again"
                )
            self._running.append(loss)
            self.step += 1
            if self.step % self.schedule.validate_every == 0 or self.step == self.schedule.steps:
                self._validate()
                self.save()
                report(self.history)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.best[name])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averaged weights into the model while the block runs."""
        live = {k: v.detach().clone() for k, v in self.model.named_parameters()}
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.average[name])
            yield
            for name, parameter in self.model.named_parameters():
                parameter.copy_(live[name])

    def _validate(self) -> None:
        with self.averaged():
            scores = self.validate()
        self.history.step.append(self.step)
        self.history.loss.append(float(np.mean(self._running)))
        for name, value in scores.items():
            self.history.scores.setdefault(name, []).append(value)
        self._running = []
        first = next(iter(scores.values()))
        if self.settled and (first <= self.best_score or not self.best):
            self.best_score = first
            self.best = {k: v.clone() for k, v in self.average.items()}

    def _one_step(self) -> float:
        # every step has its own stream, so that a resumed run draws what an unbroken one would have drawn
        rng = np.random.default_rng([self.seed, self.step])
        schedule = self.schedule
        rate = learning_rate(self.step, schedule.steps, schedule.learning_rate, schedule.final_learning_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self.loss(rng)
        self.optimiser.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()
        self.ranks.add_gradients(self.model)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        decay = min(schedule.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.average[name].lerp_(parameter, 1 - decay)
        return self.ranks.total(float(loss.detach()))
