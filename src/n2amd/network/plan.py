"""What a model is made of: H0 of a learned density, H0 of average atoms, a pair network, or two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients

ModelKind = Literal["density", "density+pair", "atoms+pair", "pair"]


@dataclass(frozen=True)
class Plan:
    """What to train.

    Attributes
    ----------
    kind
        As the configuration names it.
    reason
        Why, one sentence.
    """

    kind: ModelKind
    reason: str

    @property
    def zeroth(self) -> bool:
        """Whether H begins with H0."""
        return self.kind != "pair"

    @property
    def density(self) -> bool:
        """Whether a network predicts the density of H0."""
        return self.kind.startswith("density")

    @property
    def pair(self) -> bool:
        """Whether there is a pair network."""
        return self.kind.endswith("pair")


def choose_plan(wanted: str, ingredients: Ingredients | None, functional: str, lacking: str | None) -> Plan:
    """Choose what a model is made of.

    Parameters
    ----------
    wanted
        Option `hamiltonian.model`; "auto": the best that the data allow.
    ingredients
        What H0 needs, None where the data set lacks it.
    functional
        Label of the data set's functional.
    lacking
        Why there are no ingredients, or what they leave out of the functional (attribute `h0`).

    Raises
    ------
    InputError
        If H0 is asked for and its ingredients are not in the data set.
    """
    if wanted == "auto":
        if ingredients is None:
            return Plan("pair", lacking or "the data set has no ingredients of H0")
        if lacking:
            return Plan("atoms+pair", lacking)
        return Plan("density", f"{functional} is what H0 computes")
    if wanted != "pair" and ingredients is None:
        raise InputError(
            f"H0 has no ingredients here: {lacking or 'the data set was made without them'}",
            field="hamiltonian.model",
            remedy="ingest the frames again with the code's pseudopotential files, or set it to pair",
        )
    if wanted == "density" and lacking:
        raise InputError(
            f"a density alone does not give this Hamiltonian: {lacking}",
            field="hamiltonian.model",
            remedy="set it to auto, density+pair or atoms+pair",
        )
    return Plan(wanted, "asked for in the configuration")  # type: ignore[arg-type]
