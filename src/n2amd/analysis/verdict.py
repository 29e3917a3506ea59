"""Can this lifetime be believed? One verdict on a case, from the checks of `verdict_checks`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from n2amd.analysis.verdict_checks import CHECKS, Case, Check

Level = Literal["believe", "with care", "do not believe"]

_BELOW: Final = {
    "care": "take this lifetime with care, because",
    "unknown": "not known, and not taken as good:",
}
#: How reasons of each outcome begin, the worst first, by level of the verdict.
OPENINGS: Final[dict[Level, dict[str, str]]] = {
    "do not believe": {"bad": "do not believe this lifetime, because", **_BELOW, "care": "besides,"},
    "with care": _BELOW,
    "believe": {},
}


@dataclass(frozen=True)
class Verdict:
    """The verdict on one case.

    Attributes
    ----------
    level
        `do not believe` with one bad check, `believe` if all are good, else `with care`: what is unknown is
        not taken as good.
    checks
        All of them, in the order of the stages.
    """

    level: Level
    checks: tuple[Check, ...]

    def reasons(self) -> tuple[str, ...]:
        """Whole sentences, the worst first; what is unknown in one."""
        said = []
        for outcome, opening in OPENINGS[self.level].items():
            found = [check.found for check in self.checks if check.outcome == outcome]
            if outcome == "unknown" and found:
                found = ["; ".join(found)]
            said += [f"{opening} {one}" for one in found]
        return tuple(said) or (
            f"believe this lifetime: all {len(self.checks)} checks are within their limits",
        )

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "level": self.level,
            "reasons": list(self.reasons()),
            "checks": [vars(check) for check in self.checks],
        }


def verdict(case: Case) -> Verdict:
    """Judge a case by the errors of its networks, its trajectory and its interval.

    Parameters
    ----------
    case
        Content of `case.json`. What an older version did not write is unknown.
    """
    checks = tuple(check(case) for check in CHECKS)
    outcomes = {check.outcome for check in checks}
    level: Level = "with care"
    if "bad" in outcomes:
        level = "do not believe"
    elif outcomes == {"good"}:
        level = "believe"
    return Verdict(level, checks)
