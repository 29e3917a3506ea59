"""Base of every section of the configuration, and the kinds of values that several sections have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from n2amd.errors import InputError
from n2amd.paths import expand_patterns, written_path

#: A supercell AxBxC: three numbers from 1 to 999.
SUPERCELL = r"[1-9]\d{0,2}x[1-9]\d{0,2}x[1-9]\d{0,2}"
_THREE_NUMBERS = "write three numbers from 1 to 999, e.g. 2x2x2"
#: Largest seed: what every generator of random numbers takes.
LARGEST_SEED = 2**32 - 1


def _no_truth_values(value: Any) -> None:
    """Refuse yes and no where a number or text is meant: pydantic would take them for 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("is a truth value, where something else is meant; give a number or a text in quotes")
    if isinstance(value, list | tuple):
        for entry in value:
            _no_truth_values(entry)


def without_repeats(values: list[Any]) -> list[Any]:
    """Return a list in which nothing is twice; raise `ValueError` otherwise."""
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ValueError(f"{value} is there twice; remove one of the two")
    return values


def supercell_text(value: Any) -> Any:
    """Return the usual spelling, 2x2x2, of a supercell that is written 2X2X2, "2 2 2" or [2, 2, 2]."""
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3:
        value = "x".join(map(str, value))
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no supercell; {_THREE_NUMBERS}")
    words = re.split(r"\s*[xX×*,\s]\s*", value.strip(" ()[]"))
    plain = "x".join(word.lstrip("0") or "0" if word.isdecimal() else word for word in words)
    if not re.fullmatch(SUPERCELL, plain, re.ASCII):
        raise ValueError(f"{value!r} is no supercell; {_THREE_NUMBERS}")
    return plain


def _supercells(values: Any) -> Any:
    if isinstance(values, list | tuple) and any(isinstance(value, int | float) for value in values):
        raise ValueError(f"{list(values)} holds numbers, no supercells; {_THREE_NUMBERS}, in a list: [2x2x2]")
    return values


def _paths(values: Any) -> Any:
    return expand_patterns(values) if isinstance(values, list | tuple) else values


Supercell = Annotated[str, BeforeValidator(supercell_text), Field(pattern=f"^{SUPERCELL}$")]
Supercells = Annotated[list[Supercell], BeforeValidator(_supercells), AfterValidator(without_repeats)]
#: A text that says something, and names with such texts.
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[dict[Text, Text], Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
#: A path with `~` and `$NAME` replaced.
WrittenPath = Annotated[Path, BeforeValidator(written_path)]
#: A list of paths in which patterns are replaced by what they match.
WrittenPaths = Annotated[list[Path], BeforeValidator(_paths)]
#: How large a network and its training are, before options change it.
Preset = Literal["test", "quick", "paper"]
#: Marks a list in which nothing may be twice.
Unique = AfterValidator(without_repeats)


class Section(BaseModel):
    """Base of every section: typos are errors, values are immutable, numbers are finite.

    Attributes
    ----------
    without_effect
        Options that change no number of a result, only how it is come by: a change of them reruns nothing.
    renamed
        Options of earlier versions, with what to write now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    without_effect: ClassVar[frozenset[str]] = frozenset()
    renamed: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_now(cls, document: Any) -> Any:
        if isinstance(document, dict):
            for old in cls.renamed.keys() & document.keys():
                raise ValueError(f"there is no {old} any more: {cls.renamed[old]}")
        return document

    def effective(self, omit: Iterable[str] = ()) -> dict[str, Any]:
        """Options that a result depends on, as JSON can hold them, but for those in `omit`."""
        return self.model_dump(mode="json", exclude={*self.without_effect, *omit})

    @field_validator("*", mode="before")
    @classmethod
    def _truth_values_where_they_belong(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[str(info.field_name)]
        kinds = (field.annotation, *get_args(field.annotation))
        if bool in kinds:
            if not isinstance(value, bool) and not (value is None and type(None) in kinds):
                raise ValueError("is neither true nor false")
        else:
            _no_truth_values(value)
        return value


def parse_supercell(text: str) -> tuple[int, int, int]:
    """Read "2x2x2" as (2, 2, 2)."""
    if re.fullmatch(SUPERCELL, text, re.ASCII) is None:
        raise InputError(
            f"{text!r} is not a supercell", field="supercell", remedy="write three numbers as in 2x2x2"
        )
    return tuple(int(word) for word in text.split("x"))  # type: ignore[return-value]
