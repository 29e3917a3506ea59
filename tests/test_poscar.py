"""POSCAR files of every generation of VASP, against the geometry written out by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest
from ase.io.vasp import read_vasp

from n2amd.errors import InputError
from n2amd.poscar import parse_poscar

VECTORS = np.array([[3.2, 0.0, 0.0], [-1.6, 2.8, 0.0], [0.1, 0.2, 6.0]])
FRACTIONAL = np.array([[0.0, 0.0, 0.5], [1 / 3, 2 / 3, 0.25], [-0.2, 1.4, 0.75]])
NUMBERS = [42, 16, 16]


def text(
    *,
    comment: str = "slab",
    scale: str = "1.0",
    elements: str | None = "Mo S",
    counts: str = "1 2",
    selective: str | None = None,
    mode: str = "Direct",
    rows: list[str] | None = None,
    after: str = "",
) -> str:
    cell = [" ".join(f"{x:.10f}" for x in vector) for vector in VECTORS]
    rows = rows or [" ".join(f"{x:.12f}" for x in row) for row in FRACTIONAL]
    head = [comment, scale, *cell, *([elements] if elements is not None else []), counts]
    return "\n".join([*head, *([selective] if selective else []), mode, *rows]) + "\n" + after


def cartesian() -> list[str]:
    return [" ".join(f"{x:.12f}" for x in row) for row in FRACTIONAL @ VECTORS]


@pytest.mark.parametrize(
    "written",
    [
        text(),
        text(mode="direct coordinates", scale=" 1.000000  ! lattice constant"),
        text(mode=""),
        text(mode="Cartesian", rows=cartesian()),
        text(mode="kartesisch", rows=cartesian()),
        text(elements="Mo_sv S_h", counts=" 1   2 # two species"),
        text(elements="Mo/0f3a99 S/77aa01"),
        text(elements="Mo S S", counts="1 1 1"),
        text(elements="Mo O S", counts="1 0 2"),
        text(selective="Selective dynamics", rows=[r + " T F T" for r in text().splitlines()[8:]]),
        text(rows=[f"{r} {s}" for r, s in zip(text().splitlines()[8:], ("Mo", "S", "S"))]),
        text(after="\n 0.01 0.02 0.03\n" * 3),
        text(after="Lattice velocities and vectors\n 1\n" + " 0.0 0.0 0.0\n" * 6),
        text(scale="1.d0"),
        text(elements=None, comment="Mo S"),
        text(elements=None, comment=" Mo1S2 "),
        text(elements=None, comment="Mo S2"),
        text(elements=None, rows=[f"{r} {s}" for r, s in zip(text().splitlines()[8:], ("Mo", "S", "S"))]),
    ],
)  # fmt: skip
def test_every_way_to_write_one_structure(written):
    found = parse_poscar(written, "POSCAR")
    assert found.numbers.tolist() == NUMBERS
    assert found.pbc == (True, True, True)
    assert found.cell == pytest.approx(VECTORS, abs=1e-9)
    assert found.positions == pytest.approx(FRACTIONAL @ VECTORS, abs=1e-9)


@pytest.mark.parametrize(
    ("scale", "factors"),
    [
        ("2.5", [2.5, 2.5, 2.5]),
        ("-430.08", [2.0, 2.0, 2.0]),  # minus a volume: 3.2 * 2.8 * 6 times 8
        ("2.0 3.0 0.5", [2.0, 3.0, 0.5]),
    ],
)
def test_scales(scale, factors):
    for mode, rows in (("Direct", None), ("Cartesian", cartesian())):
        found = parse_poscar(text(scale=scale, mode=mode, rows=rows), "POSCAR")
        assert found.cell == pytest.approx(VECTORS * factors, abs=1e-9)
        assert found.positions == pytest.approx(FRACTIONAL @ VECTORS * factors, abs=1e-9)


def test_the_same_as_ase_where_that_reads_it():
    for written in (text(), text(scale="-430.08"), text(mode="Cartesian", rows=cartesian(), scale="2.5")):
        expected, found = read_vasp(io.StringIO(written)), parse_poscar(written, "POSCAR")
        assert found.numbers.tolist() == expected.numbers.tolist()
        assert found.cell == pytest.approx(expected.cell.array)
        assert found.positions == pytest.approx(expected.positions)


@pytest.mark.parametrize(
    "comment", ["made up", "C H", "Mo", "Mo S O", "Mo2S", "Xy S", "", "MoS2 monolayer", "1 2"]
)
def test_elements_that_nothing_names_are_asked_for(comment):
    """A comment counts only where it names as many elements as there are numbers, or a formula of these."""
    if comment == "C H":  # as many elements, and no way to know better
        assert parse_poscar(text(elements=None, comment=comment), "POSCAR").numbers.tolist() == [6, 1, 1]
        return
    with pytest.raises(InputError, match=r"line 6 has the numbers of atoms \(1 2\) at once") as caught:
        parse_poscar(text(elements=None, comment=comment), "POSCAR")
    assert "add a line with the element of each number above the line '1 2'" in caught.value.remedy
    assert (caught.value.file, caught.value.field) == ("POSCAR", "POSCAR")


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "0 lines only"),
        ("x\n" * 5, "5 lines only"),
        (text(scale="0.0"), r"line 2 \('0.0'\) is neither a scale"),
        (text(scale="a"), "is neither a scale, nor minus a volume, nor three scales"),
        (text(scale="1.0 -1.0 1.0"), "is neither a scale"),
        (text().replace("-1.6000000000 2.8000000000", "3.2 0.0"), "span no volume"),
        (text().replace("3.2000000000", "wide"), "line 3 .* does not begin with 3 numbers"),
        (text(elements="Mo Xy"), "'Xy' in line 6 is no element"),
        (text(elements="Mo X"), "'X' in line 6 is no element"),
        (text(elements=None, comment="Mo X"), "no elements: line 6 has the numbers of atoms"),
        (text(counts="1 2 3"), r"line 7 .* no list of numbers of atoms for the 2 elements above"),
        (text(counts="one two"), "no list of numbers of atoms"),
        (text(counts="1 3"), "3 of 4 positions: the file is cut"),
        (text(rows=["0 0 0", "0.3 0.6 0.2", "0.5 0.5"]), r"line 11 \('0.5 0.5'\) does not begin with 3"),
        (text(rows=["0 0 0", "0.3 0.6 nan", "0.5 0.5 0.5"]), "line 10 .* does not begin with 3 numbers"),
    ],
)
def test_what_is_no_poscar(written, problem):
    with pytest.raises(InputError, match=problem) as caught:
        parse_poscar(written, "POSCAR")
    assert caught.value.remedy
