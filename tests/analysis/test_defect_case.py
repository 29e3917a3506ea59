"""What a case, the table of cases and the page say of the rates through a level of a defect."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from page_project import default_cases, write_results

from n2amd.analysis.defect_case import defect_columns, defect_of_case
from n2amd.analysis.page.defect import defect_section
from n2amd.analysis.page.document import write_page

LIFE = {"value": 18.0, "low": 12.0, "high": 27.0}
NEVER = {"value": None, "low": None, "high": None}


def row(process: str, first: str, second: str) -> dict:
    return {"from": first, "to": second, "process": process, "per_ns": LIFE, "time_ns": LIFE}


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    source = {
        "lifetime_ns": LIFE,
        "direct_ns": NEVER,
        "share_through_level": {"value": 0.92, "low": 0.8, "high": 0.97},
        "looped": False,
        "rates": [row("electron capture", "CBM", "defect"), row("relaxation", "CBM+1", "CBM")],
    }
    report = {
        "spin": "up",
        "carrier": "electron",
        "sources": [source],
        "pristine": {"lifetime_ns": {"value": 466.0, "low": None, "high": None}},
        "verdict": "through the level.",
    }
    (tmp_path / "rates.json").write_text(json.dumps(report))
    return tmp_path / "rates.json"


def test_a_case_keeps_lifetimes_and_captures(rates: Path) -> None:
    defect = defect_of_case(rates)
    assert [found["process"] for found in defect["processes"]] == ["electron capture"]
    assert (defect["lifetime_ns"], defect["pristine_ns"]["value"]) == (LIFE, 466.0)
    columns = defect_columns({"defect": defect})
    assert list(columns.values()) == [18.0, 12.0, 27.0, 0.92]
    assert set(defect_columns({}).values()) == {None}


def test_the_page_sets_them_beside_the_pristine_cell(rates: Path, tmp_path: Path) -> None:
    cases = default_cases()
    write_page(write_results(tmp_path / "plain", cases), tmp_path / "plain.html")
    assert "Through the defect" not in (tmp_path / "plain.html").read_text()
    assert defect_section(cases) == ""
    with_level = [*cases[:-1], {**cases[-1], "defect": defect_of_case(rates)}]
    section = defect_section(with_level)
    for said in ("12 ns to 27 ns", "466 ns", "no interval", "never", "92.0 %", "spin up"):
        assert said in section, said
    write_page(write_results(tmp_path / "level", with_level), tmp_path / "level.html")
    assert '<a href="#defect">' in (tmp_path / "level.html").read_text()
