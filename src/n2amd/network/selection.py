"""Which frames to label next: those whose density the network knows least, one after the other.

In the space of the K draws a frame's doubt is the Gram matrix G of the changes of its density. Labels of a
frame would add G / (K noise) to the precision, so that what is left of the doubt of all others is known
before
any DFT runs: the next frame is the one with the largest variance left, and look-alikes of those chosen have
little (greedy maximum of the information, A. Krause et al., J. Mach. Learn. Res. 9, 235 (2008)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.density_change import gram_of_changes
from n2amd.dataset.split import NEAR_COPY_A
from n2amd.errors import InputError, within
from n2amd.network.predict import HamiltonianPredictor
from n2amd.structure import Structure


def doubt_of_frames(
    predictor: HamiltonianPredictor,
    structures: Sequence[Structure],
    source: Path,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float64]:
    """Gram matrices of the draws' densities, an atom, in units of the noise of a label, (n, K, K).

    Parameters
    ----------
    predictor
        A model with draws.
    structures
        Frames.
    source
        File they are from, for errors.
    report
        Called with (frames done, frames in all).

    Raises
    ------
    InputError
        If the model has no draws, or does not know an element.
    """
    if predictor.doubt is None or predictor.model.zeroth is None:
        raise InputError(
            "the model does not know what it does not know",
            field="model",
            remedy="train one with a learned density (hamiltonian.model: density) with this version",
        )
    grams = []
    for done, structure in enumerate(structures, 1):
        with within(source, done - 1):
            changes = predictor.draws(structure) - predictor.density(structure)
        # of density and magnetisation, each in units of its own noise
        fields = changes[:, None] if changes.ndim == 2 else changes
        size, gram = structure.n_atoms * len(changes), np.zeros((len(changes), len(changes)))
        for field, noise in zip(fields.swapaxes(0, 1), predictor.doubt.noises):
            gram += gram_of_changes(predictor.model.zeroth, structure, field) / (size * noise)
        grams.append(gram)
        report(done, len(structures))
    return np.array(grams)


def unlike(structures: Sequence[Structure], known: Sequence[Structure]) -> list[int]:
    """Places of the structures that are no near-copy of a known one, in their order.

    A near-copy is moved by less than `n2amd.dataset.split.NEAR_COPY_A`, as a trajectory's next frame is.
    """
    return [
        k
        for k, structure in enumerate(structures)
        if all(structure.moved_from(other) > NEAR_COPY_A for other in known)
    ]


def choose_frames(
    grams: NDArray[np.float64],
    atoms: Sequence[int],
    count: int,
    structures: Sequence[Structure] | None = None,
) -> tuple[list[int], list[float]]:
    """Choose frames by the doubt that is left after those chosen before.

    Parameters
    ----------
    grams
        From `doubt_of_frames`, (n, K, K).
    atoms
        Of each frame, (n,): a larger frame has more labels.
    count
        How many frames, at most n.
    structures
        The frames: near-copies of chosen ones are left out, even where less than `count` are chosen then.

    Returns
    -------
    chosen, doubt
        Places of the frames in the order of choice, and the share of an average frame's doubt (before any was
        chosen) that each had left when it was chosen.
    """
    usual = float(np.trace(grams, axis1=1, axis2=2).mean())
    precision = np.eye(grams.shape[1])
    chosen, doubt = list[int](), list[float]()
    free = list(range(len(grams)))
    while free and len(chosen) < count:
        left = np.einsum("nij,ji->n", grams[free], np.linalg.inv(precision))
        best = free[int(left.argmax())]
        chosen.append(best)
        doubt.append(float(left.max()) / usual)
        precision = precision + atoms[best] * grams[best]
        free.remove(best)
        if structures is not None:
            free = [free[k] for k in unlike([structures[k] for k in free], [structures[best]])]
    return chosen, doubt


def random_frames(n_frames: int, count: int, seed: int) -> list[int]:
    """Frames drawn at random, to compare with."""
    return np.random.default_rng(seed).permutation(n_frames)[:count].tolist()
