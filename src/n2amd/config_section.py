"""Base of every section of the configuration."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of every section: typos are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)
