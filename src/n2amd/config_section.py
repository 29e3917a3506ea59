"""Base of every section of the configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator


class Section(BaseModel):
    """Base of every section: typos are errors, values are immutable.

    Attributes
    ----------
    without_effect
        Options that change no number of a result, only how it is come by: a change of them reruns nothing.
    renamed
        Options of earlier versions, with what to write now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

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
