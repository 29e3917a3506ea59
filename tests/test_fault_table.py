"""docs/faults.md says what each fault gives now: sentence, exit code, what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from fault_cases import FAULTS, Fault
from fault_table import outcome, rows_of_page

CASES = [
    pytest.param(fault, marks=pytest.mark.tmpfs if fault.needs_disk else (), id=fault.what)
    for fault in FAULTS
]


@pytest.mark.parametrize("fault", CASES)
def test_the_page_says_what_a_fault_gives(fault: Fault, tmp_path: Path) -> None:
    found = outcome(fault, tmp_path)
    row = found.row(fault.what)
    assert row in rows_of_page(), f"python tests/fault_table.py --write; now it is\n{row}"
    assert found.sentence or found.exit_code == 0
    assert "Traceback" not in found.sentence
    assert not list(tmp_path.rglob("*.part"))


def test_the_page_has_no_other_rows() -> None:
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows_of_page()] == [f.what for f in FAULTS]
