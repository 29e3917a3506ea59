"""Ingredients of H0 for training: the data set's own, else fitted to its frames where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from n2amd.baseline.ingredients_fit import FitReport, fit_ingredients
from n2amd.baseline.schemes import frames_for_fit, scheme_of_origin
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import Basis


@dataclass(frozen=True)
class FoundIngredients:
    """Ingredients and where they are from.

    Attributes
    ----------
    ingredients
        None where there are none.
    lacking
        Why, or what they leave out of the functional.
    report
        How well fitted ones reproduce the frames of the fit; None where they are the data set's own.
    """

    ingredients: Ingredients | None
    lacking: str | None
    report: FitReport | None = None

    def to_document(self) -> dict[str, Any] | None:
        """Record for the model file, errors in eV; None where nothing was fitted."""
        if self.report is None:
            return None
        return {"source": "fitted to training frames", **asdict(self.report)}


def ingredients_to_train(
    stored: Ingredients | None, lacking: str | None, frames: Sequence[Frame], basis: Basis
) -> FoundIngredients:
    """Take the data set's ingredients or fit them to a few small training frames.

    Parameters
    ----------
    stored, lacking
        Those of the data set, or why it has none.
    frames
        Training frames.
    basis
        With valence charges.
    """
    if stored is not None or not basis.has_radial_functions:
        return FoundIngredients(stored, lacking)
    scheme = scheme_of_origin(frames[0].origin)
    chosen = frames_for_fit([frame.structure for frame in frames])
    if scheme is None or not chosen or any(frames[k].hamiltonian.n_spin != 1 for k in chosen):
        return FoundIngredients(None, lacking)
    ingredients, report = fit_ingredients([frames[k] for k in chosen], basis, scheme)
    return FoundIngredients(ingredients, None, report)
