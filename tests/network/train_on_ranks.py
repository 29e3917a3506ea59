"""What `test_ranks` starts, alone or by torchrun: KIND FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from conftest_network import basis as make_basis
from conftest_network import rutile as make_rutile
from test_density_model import made_up_samples, network, shaken
from test_training import synthetic_frame, trainer_for

from n2amd.errors import N2amdError
from n2amd.network.checkpoint import save_state
from n2amd.network.density_training import DensityTrainer
from n2amd.network.loop import Schedule
from n2amd.network.ranks import Ranks, started_ranks
from n2amd.network.trainer import PairTrainer

STEPS = 6


def density_trainer(folder: Path, ranks: Ranks) -> DensityTrainer:
    rutile = make_rutile.__wrapped__()
    sizes = [rutile, rutile, rutile, rutile.supercell((1, 1, 2)), rutile]
    samples = made_up_samples(network(), [shaken(s, k) for k, s in enumerate(sizes)])
    return DensityTrainer(
        # weights of the second process are those of the first, whatever it begins with
        network(seed=ranks.rank),
        samples[:4],
        samples[4:],
        Schedule(STEPS, 1e-2, 1e-4, 1e-2, 0.9, 4),
        # two frames of 6 atoms, one for each process, or one of 12, which leaves nothing to the other
        atoms_per_step=12,
        state_weight=1.0,
        seed=3,
        checkpoint=folder / "checkpoint.pt",
        fingerprint="same",
        ranks=ranks,
    )


def pair_trainer(folder: Path, ranks: Ranks) -> PairTrainer:
    basis, rutile = make_basis.__wrapped__(), make_rutile.__wrapped__()
    frames = [synthetic_frame(basis, rutile.supercell((1, 1, 1 + k % 2)), k) for k in range(4)]
    schedule = {"steps": 3, "band_steps": 3, "validate_every": 4, "batch_size": 3}
    return trainer_for(basis, frames, folder, ranks, **schedule)


def main() -> None:
    kind, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    with started_ranks() as ranks:
        if kind == "refuse":
            ranks.require_frames(1)
        make = density_trainer if kind == "density" else pair_trainer
        trainer = make(folder, ranks)
        gradients, losses, step = [], [], trainer._one_step

        def watched() -> float:
            losses.append(step())
            found = {k: p.grad for k, p in trainer.model.named_parameters()}
            gradients.append({k: g.clone() for k, g in found.items() if g is not None})
            return losses[-1]

        trainer._one_step = watched
        trainer.run(lambda history: None)
        again = make(folder, ranks)
        again.resume()
        state = {
            "losses": losses,
            # later ones feel the rounding of the steps before
            "gradients": gradients[:2],
            "weights": trainer.model.state_dict(),
            "resumed_at": again.step,
        }
        save_state(folder / ("result.pt" if ranks.first else f"rank{ranks.rank}.pt"), state)


if __name__ == "__main__":
    try:
        main()
    except N2amdError as error:
        if error.__class__.__name__ != "StoppedElsewhereError":
            print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
