"""Training by several processes (torchrun): each takes a share of every batch, gradients are added up.

All draw the same batches, so that the model is the one that a single process would train, to the rounding of
sums. The first process alone writes files.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from n2amd.errors import InputError, StoppedElsewhereError

T = TypeVar("T")

#: Seconds that a process which fails for its input leaves to the one that says why.
_LAST_WORDS_S = 2.0


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, of which this is one.

    Attributes
    ----------
    rank, size
        Number of this process, and of all.
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """Return this process' part of a batch; it may be empty."""
        return items[self.rank :: self.size]

    def total(self, value: float) -> float:
        """Add up a number over all processes."""
        if self.size == 1:
            return value
        summed = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(summed)
        return float(summed)

    def add_gradients(self, model: nn.Module) -> None:
        """Replace each gradient by the sum over all processes.

        One that some lack counts as zero there; one that all lack stays missing, and its weights as they are.
        """
        if self.size == 1:
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        having = parts[0].new_tensor([p.grad is not None for p in parameters])
        flat = torch.cat([having, *(part.reshape(-1) for part in parts)])
        dist.all_reduce(flat)
        counts, *sums = flat.split([len(parameters), *(p.numel() for p in parameters)])
        for parameter, count, part in zip(parameters, counts.tolist(), sums):
            parameter.grad = part.view_as(parameter).clone() if count else None

    def of_first(self, make: Callable[[], T]) -> T:
        """Return to all what the first process makes."""
        if self.size == 1:
            return make()
        box: list[Any] = [make() if self.first else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def align(self, model: nn.Module) -> None:
        """Give all processes the first one's weights and buffers."""
        if self.size > 1:
            model.load_state_dict(self.of_first(lambda: _on_cpu(model.state_dict())))

    def require_frames(self, n_train: int) -> None:
        """Refuse more processes than frames to train on.

        Raises
        ------
        InputError
            Naming both numbers.
        """
        if n_train < self.size:
            raise InputError(
                f"{self.size} processes for {n_train} training frames: each takes whole frames of a step",
                field="nproc-per-node",
                remedy=f"start {n_train} processes at most, or add frames",
            )


def _on_cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: values.cpu() for name, values in state.items()}


#: One process, which torchrun did not start.
ALONE = Ranks()


@contextmanager
def started_ranks() -> Iterator[Ranks]:
    """Join the processes that torchrun started, each with a GPU of its own where there are any.

    Bad input is found by all alike, and told by the first process of each machine.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpus:
        torch.cuda.set_device(local % gpus)
    # several processes cannot share a device in NCCL
    own = gpus >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    dist.init_process_group("cpu:gloo,cuda:nccl" if own else "gloo")
    try:
        yield Ranks(rank, size)
    except InputError as error:
        if local == 0:
            raise
        time.sleep(_LAST_WORDS_S)
        raise StoppedElsewhereError(error.exit_code) from error
    finally:
        dist.destroy_process_group()
