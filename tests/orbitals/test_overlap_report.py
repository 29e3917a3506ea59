"""`n2amd overlap check` and the figures behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analytic_orbitals import gaussian_shell
from click.testing import Result
from typer.testing import CliRunner

from n2amd.commands.overlap import app
from n2amd.dataset.store import create_dataset
from n2amd.errors import ComputationError, InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.overlap_report import report_overlap
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

RUTILE = Path(__file__).parents[2] / "resources" / "tio2-honpas" / "rutile.vasp"


@pytest.fixture(scope="module")
def dimer_table() -> OverlapTable:
    return OverlapTable.from_basis(Basis({1: AtomBasis(1, (gaussian_shell(0, 1.0, cutoff=4.5),))}))


def test_dimer(dimer_table: OverlapTable) -> None:
    """Two equal functions: eigenvalues 1 +- S."""
    dimer = Structure(np.eye(3) * 30, np.array([[0, 0, 0], [0, 0, 1.2]]), np.array([1, 1]), (False,) * 3)
    report = report_overlap(dimer_table, dimer)
    s = np.exp(-0.5 * 1.2**2)
    assert (report.lowest, report.highest) == pytest.approx((1 - s, 1 + s), abs=1e-8)
    assert report.condition == pytest.approx((1 + s) / (1 - s))
    assert (report.n_orbitals, report.n_pairs, report.shortest) == (2, {(1, 1): 3}, {(1, 1): 1.2})


def test_chain_has_its_lowest_eigenvalue_at_the_zone_boundary(dimer_table: OverlapTable) -> None:
    """S(k) = sum_n S(n a) cos(2 pi k n)."""
    chain = Structure(np.diag([30.0, 30.0, 1.5]), np.zeros((1, 3)), np.array([1]), (False, False, True))
    n = np.arange(-6, 7)
    s = np.exp(-0.5 * (1.5 * n) ** 2)
    report = report_overlap(dimer_table, chain, (2, 2, 2))
    assert report.lowest == pytest.approx(np.sum(s * (-1.0) ** n), abs=1e-8)
    assert report.highest == pytest.approx(s.sum(), abs=1e-8)


def test_refuses_more_orbitals_than_it_can_treat(dimer_table: OverlapTable) -> None:
    atoms = Structure(np.eye(3) * 99, np.zeros((6001, 3)), np.ones(6001, dtype=int))
    with pytest.raises(InputError, match="6001 orbitals are too many"):
        report_overlap(dimer_table, atoms)


@pytest.fixture(scope="module")
def dataset(tio2_frames: list[Frame], tio2_basis: Basis, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("overlap") / "dataset.h5"
    with create_dataset(path, code="honpas") as writer:
        writer.append(tio2_frames[0], tio2_basis, {})
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_command(dataset: Path) -> None:
    done = run(RUTILE, "--basis", dataset)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].endswith("6 atoms, 90 orbitals")
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["O-O", "5.44", "2.532"],
        ["O-Ti", "5.50", "1.946"],
        ["Ti-Ti", "5.56", "2.956"],
    ]
    assert "condition number" in lines[5]


def test_command_names_what_is_wrong(dataset: Path, tmp_path: Path) -> None:
    silicon = tmp_path / "POSCAR"
    silicon.write_text("Si\n1\n5 0 0\n0 5 0\n0 0 5\nSi\n1\nDirect\n0 0 0\n")
    error = run(silicon, "--basis", dataset).exception
    assert isinstance(error, InputError)
    assert "no element with atomic number 14" in str(error)
    doubled = tmp_path / "doubled.vasp"
    doubled.write_text("Ti\n1\n5 0 0\n0 5 0\n0 0 5\nTi\n2\nDirect\n0 0 0\n0 0 0\n")
    error = run(doubled, "--basis", dataset).exception
    assert isinstance(error, ComputationError)
    assert "S is not positive definite" in str(error)
