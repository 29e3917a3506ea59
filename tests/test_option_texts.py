"""Texts of options are plain English: "per sample", not "a sample"."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "n2amd"
COUNTED = (
    "axis atom case chunk condition element frame initial job orbital round sample shard shell step time"
)
#: A plural or a number, followed by what it is counted by: "frames a step", "16 orbitals an atom".
BARE_RATE = re.compile(rf"\b(?:\w+s|[Oo]ne|row) an? (?:{COUNTED.replace(' ', '|')})\b")
#: Verbs that look like plurals.
VERBS = re.compile(r"\b(?:is|was|as|has|of|holds|needs|takes|makes|starts|repeats|reads|writes|solves)\b an?")


def texts() -> dict[str, str]:
    """Help and description of every option, by its place."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg in ("help", "description"):
                value = node.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found[f"{file.relative_to(PACKAGE)}:{value.lineno}"] = value.value
    return found


def test_rates_are_written_with_per() -> None:
    assert len(texts()) > 200
    bare = {place: text for place, text in texts().items() if BARE_RATE.search(VERBS.sub("", text))}
    assert bare == {}
