"""Faults collected instead of raised one by one, and named by their place in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from n2amd.errors import InputError

T = TypeVar("T")


class Faults:
    """What is wrong so far.

    Attributes
    ----------
    errors
        In the order in which they were found; none is there twice.
    warnings
        Sentences on what is unusual, but may be meant.
    """

    def __init__(self) -> None:
        self.errors: list[InputError] = []
        self.warnings: list[str] = []

    @contextmanager
    def at(self, place: str) -> Iterator[None]:
        """Keep what is raised inside, with the place of the option it is about before it."""
        try:
            yield
        except InputError as error:
            self.add(place, error)

    def add(self, place: str, error: InputError) -> None:
        """Keep an error unless it is known."""
        error.args = (f"{place}: {error}",)
        if str(error) not in map(str, self.errors):
            self.errors.append(error)

    def warn(self, place: str, sentence: str) -> None:
        """Keep a warning."""
        self.warnings.append(f"{place}: {sentence}")

    def attempt(self, place: str, read: Callable[[], T]) -> T | None:
        """Return what a function returns, or None where it refuses."""
        with self.at(place):
            return read()
        return None
