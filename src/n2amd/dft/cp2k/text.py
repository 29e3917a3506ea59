"""The text of CP2K's main output, searched line by line, with one kind of failure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from n2amd.dft.files import read_text
from n2amd.errors import InputError

#: A number after blanks.
NUMBER = r"\s+([-+]?\d\S*)"


class LogText:
    """A log and how its lines are found."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, read_text(path)

    def fail(self, problem: str, field: str, remedy: str) -> InputError:
        """Return the failure of this log in one sentence."""
        return InputError(problem, file=self.path, field=field, remedy=remedy)

    def all(self, pattern: str) -> list[Any]:
        """Return all matches line by line: strings, or tuples where the pattern has several groups."""
        return re.findall(pattern, self.text, re.MULTILINE)

    def last(self, pattern: str, field: str) -> str:
        """Return the last match, without which the log is of no use."""
        found = self.all(pattern)
        if not found:
            raise self.fail(
                f"{field} is not printed: the log is cut or its PRINT_LEVEL is below MEDIUM",
                field,
                "copy the whole log, or run the frame again with PRINT_LEVEL MEDIUM",
            )
        return str(found[-1])

    def constant(self, pattern: str, default: float) -> float:
        """Return a constant from the list at the head of the log, a default where the list is not printed."""
        found = self.all(pattern + NUMBER)
        return float(found[0]) if found else default

    def unit(self, name: str, units: dict[str, float], field: str) -> float:
        """Return what a printed unit is worth, whatever its capitals.

        Raises
        ------
        InputError
            If it is not among the units that are known.
        """
        if name.lower() not in units:
            raise self.fail(
                f"unit [{name}] is not known", field, f"print in one of {', '.join(units)}, CP2K's default is"
            )
        return units[name.lower()]
