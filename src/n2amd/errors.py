"""The two ways a command fails: the input is bad (exit code 2) or the computation failed (exit code 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


class N2amdError(Exception):
    """Base of every error that the command line prints as one sentence, without a traceback."""

    exit_code = 1

    @property
    def sentences(self) -> list[str]:
        """What to tell the user, a sentence each."""
        return [str(self)]


class ComputationError(N2amdError):
    """The input was accepted but the computation could not be finished (exit code 1)."""


class StoppedElsewhereError(N2amdError):
    """Another process of this run failed, and says why: this one ends with its exit code, silently."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__("another process of this run failed")


class InputError(N2amdError):
    """Bad input (exit code 2), told in one sentence: where, what was found, what to do.

    Parameters
    ----------
    problem
        What is wrong, with the value that was found.
    file
        The file it was found in.
    frame
        The frame (index or folder name) inside the file or set.
    field
        The field, record or option.
    remedy
        What the user should do.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        frame: int | str | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.file, self.frame, self.field, self.remedy = problem, file, frame, field, remedy
        place = [str(file)] if file is not None else []
        if frame is not None:
            place.append(f"frame {frame}")
        if field is not None:
            place.append(f"field {field!r}")
        sentence = f"{', '.join(place)}: {problem}" if place else problem
        super().__init__(f"{sentence}; {remedy}" if remedy else sentence)


class SeveralFaultsError(InputError):
    """All that is wrong with an input, where more than one thing is: a sentence each.

    Parameters
    ----------
    errors
        Two or more; the place of the first is that of the whole.
    """

    def __init__(self, errors: Sequence[InputError]) -> None:
        first = errors[0]
        super().__init__(
            first.problem, file=first.file, frame=first.frame, field=first.field, remedy=first.remedy
        )
        self.errors = tuple(errors)
        self.args = ("\n".join(self.sentences),)

    @property
    def sentences(self) -> list[str]:
        """A sentence for each error."""
        return [str(error) for error in self.errors]


def raise_all(errors: Sequence[InputError]) -> None:
    """Raise one error as it is, several as one, and nothing where there is none."""
    if len(errors) > 1:
        raise SeveralFaultsError(errors)
    if errors:
        raise errors[0]


@contextmanager
def within(file: str | Path, frame: int | str | None = None) -> Iterator[None]:
    """Tell where bad input was found, for what is raised by code that does not know its file or frame."""
    try:
        yield
    except InputError as error:
        if error.file is not None:
            raise
        known = error.frame if error.frame is not None else frame
        raise InputError(
            error.problem, file=file, frame=known, field=error.field, remedy=error.remedy
        ) from error
