"""Cases that a run could not finish: which, at which stage, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from n2amd.errors import InputError

_FIELDS = ("material", "supercell", "functional", "stage", "reason", "log")
#: How a command begins the sentence that says why it failed.
_MARK = "error: "


@dataclass(frozen=True)
class Withheld:
    """A case that is not among the results.

    Attributes
    ----------
    material, supercell, functional
        The case; `functional` with its scissor variant.
    stage
        Rule that failed; empty where none did and the run was stopped.
    reason
        What it said, in one sentence.
    log
        File with all it said; empty where there is none.
    """

    material: str
    supercell: str
    functional: str
    stage: str
    reason: str
    log: str

    def document(self) -> dict[str, str]:
        """Return it as JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """Say it."""
        at = f" at {self.stage}" if self.stage else ""
        return f"{self.material} {self.functional} {self.supercell} is not finished{at}: {self.reason}"


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Say each case that a `summary.json` names as not finished."""
    return [
        Withheld(**{name: entry[name] for name in _FIELDS}).sentence()
        for entry in summary.get("withheld") or []
    ]


def last_words(log: str | Path) -> str:
    """What a failed command said last: its sentence, or the last line of whatever it left.

    Examples
    --------
    A log that ends with "error: the trajectory blew up at frame 7" gives "the trajectory blew up at frame 7".
    """
    lines = _lines(log)
    if not lines:
        return "it ended without a word (out of memory or time?)"
    told = [line for line in lines if line.startswith(_MARK)]
    return (told or lines)[-1].removeprefix(_MARK)


def ends_with_sentence(log: str | Path) -> bool:
    """Whether a command said why it failed."""
    return any(line.startswith(_MARK) for line in _lines(log))


def _lines(log: str | Path) -> list[str]:
    try:
        text = Path(log).read_text(errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_withheld(path: str | Path) -> list[dict[str, Any]]:
    """Read a list of cases as `Withheld.document` gives them.

    Raises
    ------
    InputError
        If the file holds no such list.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
        return [Withheld(**{name: str(entry[name]) for name in _FIELDS}).document() for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"holds no list of cases ({error})",
            file=path,
            field="--withheld",
            remedy="leave the option out; the workflow writes this file where a run fails",
        ) from error
