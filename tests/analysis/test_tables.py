import csv
import io
from pathlib import Path
from typing import Any

import pytest

from n2amd.analysis.scaling import scaling_laws
from n2amd.analysis.tables import functionals_table, number, supercells_table, time_text, write_tables

# the paper's Tables 1 (TiO2) and 2: gap, dephasing, NAC, lifetime
TIO2 = {
    "pbe": (1.79, 16.5, 0.77, 45.6),
    "pbe+scissor": (3.22, 16.5, 0.77, 153.7),
    "hse06": (3.22, 15.3, 0.43, 465.6),
}
SUPERCELLS = {
    ("2x2x2", 48): (3.23, 15.3, 0.43, 466.0),
    ("3x3x4", 216): (3.13, 18.9, 0.19, 2520.0),
    ("4x4x6", 576): (3.05, 17.5, 0.099, 1.02e4),
    ("6x6x8", 1728): (3.00, 16.0, 0.043, 8.17e4),
    ("8x8x13", 4992): (2.91, 18.2, 0.022, 3.89e5),
}


def a_case(functional: str, supercell: str, atoms: int, numbers: tuple[float, ...]) -> dict[str, Any]:
    gap, tau, nac, life = numbers
    return {
        "material": "TiO2",
        "functional": functional,
        "supercell": supercell,
        "n_atoms": atoms,
        "gap_mean_eV": gap,
        "dephasing_time_fs": tau,
        "dephasing_interval_fs": {"low": 0.8 * tau, "high": None},
        "length": {"judgement": "wide", "frames": 600, "frames_needed": 1300},
        "nac_rms_meV": nac,
        "nac_rms_interval_meV": {"low": 0.9 * nac, "high": 1.1 * nac},
        "lifetime_ns": {"value": life, "low": life / 1.5, "high": 1.5 * life, "method": "m"},
        "tau_band_ns": {"low": life / 1.2, "high": 1.2 * life},
        "estimate_ns": life,
        "trust": {"level": "with care"},
        "confidence": 0.95,
    }


def paper_cases() -> list[dict[str, Any]]:
    one = [a_case(functional, "2x2x2", 48, numbers) for functional, numbers in TIO2.items()]
    return one + [a_case("hse06", *place, numbers) for place, numbers in list(SUPERCELLS.items())[1:]]


def test_functionals_stand_side_by_side() -> None:
    table = functionals_table(paper_cases())
    assert table.header == ("Material", "Supercell", "Quantity", "pbe", "pbe+scissor", "hse06")
    rows = {row[1:3]: row[3:] for row in table.rows}
    assert rows["2x2x2", "Gap (eV)"] == ("1.79", "3.22", "3.22")
    assert rows["2x2x2", "NAC rms (meV)"] == ("0.77", "0.77", "0.43")
    assert rows["2x2x2", "Lifetime (ns)"][1] == "154 (102 to 231)"
    assert rows["2x2x2", "Trajectory"] == ("wide", "wide", "wide")
    # no other functional was run in the larger cell
    assert rows["3x3x4", "Dephasing (fs)"] == ("-", "-", "18.9 (15.1 to -)")


def test_supercells_stand_below_each_other_by_size() -> None:
    table = supercells_table(paper_cases()[::-1])
    assert [row[1:4] for row in table.rows if row[1] == "hse06"] == [
        ("hse06", supercell, str(atoms)) for supercell, atoms in SUPERCELLS
    ]
    assert all(len(row) == len(table.header) for row in table.rows)


def test_tables_are_written_whole(tmp_path: Path) -> None:
    cases = paper_cases()
    files = write_tables(tmp_path, {"cases": cases, "scaling": scaling_laws(cases)})
    assert {file.name for file in files} == {file.name for file in tmp_path.iterdir()}
    rows = list(csv.reader(io.StringIO((tmp_path / "supercells.csv").read_text())))
    assert len(rows) == 1 + len(cases)
    markdown = (tmp_path / "functionals.md").read_text().splitlines()
    assert len({line.count("|") for line in markdown[2:]}) == 1
    page = (tmp_path / "tables.html").read_text()
    assert page.count("<table>") == page.count("</table>") == 3
    assert "τ" in page
    scaling = list(csv.DictReader(io.StringIO((tmp_path / "scaling.csv").read_text())))
    # Table 2 by itself: couplings fall as N^-0.64, lifetimes rise as N^1.4
    assert float(scaling[0]["Exponent"]) == pytest.approx(-0.64, abs=0.02)
    assert float(scaling[1]["Exponent"]) == pytest.approx(1.45, abs=0.05)
    assert scaling[0]["Weighted"] == "yes"


def test_warnings_of_cases_stand_on_the_page(tmp_path: Path) -> None:
    cases = paper_cases()
    cases[1]["warnings"] = ["waves < 0.3 1/A were in no training frame"]
    for given, expected in ((cases, True), (paper_cases(), False)):
        write_tables(tmp_path, {"cases": given, "scaling": []})
        page = (tmp_path / "tables.html").read_text()
        assert ("pbe+scissor</td><td>2x2x2</td><td>waves &lt; 0.3" in page) is expected
        assert ("not trained for" in page) is expected


def test_one_size_leaves_no_scaling_on_the_page(tmp_path: Path) -> None:
    write_tables(tmp_path, {"cases": paper_cases()[:2], "scaling": []})
    assert (tmp_path / "tables.html").read_text().count("<table>") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0216, "0.0216"),
        (153.7, "154"),
        (2520.4, "2520"),
        (81654.0, "81700"),
        (3.89e6, "3.89e+06"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (1e-5, "10 fs"),
        (0.02, "20 ps"),
        (26.0, "26 ns"),
        (2.5e4, "25 µs"),
        (5.7e7, "57 ms"),
        (1e9, "1 s"),
        (5e12, "5000 s"),
    ],
)
def test_times_are_in_the_unit_that_suits_them(time_ns: float, text: str) -> None:
    assert time_text(time_ns) == text
