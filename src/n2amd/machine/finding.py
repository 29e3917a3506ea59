"""What one check found, and the means by which checks look at the machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

#: `ok`; `absent`: optional and not there; `suspect`: there, but something optional will not work;
#: `broken`: a job cannot run.
State = Literal["ok", "absent", "suspect", "broken"]

#: Seconds that a program may take to answer.
PATIENCE = 60.0


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes
    ----------
    item
        What was looked at.
    state
        How it is.
    text
        What was found, in a few words.
    remedy
        What to do, where something is not `ok`.
    """

    item: str
    state: State
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Answer:
    """What a program said: exit code (None: it could not run or took too long), output and error output."""

    code: int | None
    out: str = ""
    err: str = ""

    @property
    def first_line(self) -> str:
        """First line of the output that says something."""
        return next((line.strip() for line in self.out.splitlines() if line.strip()), "")

    @property
    def last_words(self) -> str:
        """Last line of the error output, or of the output, or why there is none."""
        if self.code is None:
            return self.err or "no answer"
        lines = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def run(command: Sequence[str], patience: float = PATIENCE) -> Answer:
    """Run a program and return what it said; nothing is raised, whatever happens to it."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=patience,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(None, err=f"no answer within {patience:g} s")
    except OSError as error:
        return Answer(None, err=os.strerror(error.errno) if error.errno else str(error))
    return Answer(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Tools:
    """The means of a check; tests put others in their place.

    Attributes
    ----------
    which
        Finds an executable on the PATH.
    run
        Runs a program and returns what it said.
    environment
        Environment variables.
    """

    which: Callable[[str], str | None] = shutil.which
    run: Callable[[Sequence[str]], Answer] = run
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def load(self, program: str) -> tuple[dict[str, Any] | None, str]:
        """Run Python code that prints a JSON object, in a process of its own: a crash there costs nothing.

        Returns
        -------
        told
            The object, None where the code failed.
        trouble
            Why it failed.
        """
        answer = self.run([sys.executable, "-c", program])
        if answer.code == 0:
            for line in reversed(answer.out.splitlines()):
                if line.startswith("{"):
                    return json.loads(line), ""
        if answer.code is not None and answer.code < 0:
            return None, f"killed by signal {-answer.code}"
        return None, answer.last_words


def guarded(item: str, check: Callable[[], Finding]) -> Finding:
    """Return what a check finds; one that fails itself is a finding, not a traceback."""
    try:
        return check()
    except Exception as error:  # whatever a foreign program or package does must not hide the other lines
        reason = " ".join(str(error).split()) or type(error).__name__
        return Finding(item, "suspect", f"could not be looked at ({reason})", "report it with this line")
