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
        gram = gram_of_changes(predictor.model.zeroth, structure, changes)
        grams.append(gram / (structure.n_atoms * len(changes) * predictor.doubt.noise))
        report(done, len(structures))
    return np.array(grams)


def choose_frames(
    grams: NDArray[np.float64], atoms: Sequence[int], count: int
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

    Returns
    -------
    chosen, doubt
        Places of the frames in the order of choice, and the share of an average frame's doubt (before any was
        chosen) that each had left when it was chosen.
    """
    usual = float(np.trace(grams, axis1=1, axis2=2).mean())
    precision = np.eye(grams.shape[1])
    chosen, doubt = list[int](), list[float]()
    for _ in range(min(count, len(grams))):
        left = np.einsum("nij,ji->n", grams, np.linalg.inv(precision))
        left[chosen] = -np.inf
        best = int(left.argmax())
        chosen.append(best)
        doubt.append(float(left[best]) / usual)
        precision = precision + atoms[best] * grams[best]
    return chosen, doubt


def random_frames(n_frames: int, count: int, seed: int) -> list[int]:
    """Frames drawn at random, to compare with."""
    return np.random.default_rng(seed).permutation(n_frames)[:count].tolist()
