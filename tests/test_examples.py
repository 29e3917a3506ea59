"""Examples in docstrings give what they say."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "n2amd"
EXAMPLE = re.compile(r"^ +>>> (?!.*SKIP)", re.MULTILINE)
WITH_EXAMPLES = [file for file in sorted(PACKAGE.rglob("*.py")) if EXAMPLE.search(file.read_text())]


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_examples(file: Path) -> None:
    name = ".".join(("n2amd", *file.relative_to(PACKAGE).with_suffix("").parts))
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_sections_of_examples_have_the_name_that_the_pages_know() -> None:
    assert [str(f) for f in PACKAGE.rglob("*.py") if "Example\n" in f.read_text()] == []
