"""What runs again after which change, row by row; and that what runs again then has everything."""

from __future__ import annotations

import pytest
from rerun_table import ROWS, Row, edited, option, page, render
from workflow_project import Project

FIRST = "results-test/TiO2/1x1x1/pbe/states/frames_000000-000049.h5"
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.change)
def test_a_change_runs_again(finished: Project, row: Row) -> None:
    jobs = finished.planned(row.apply(finished))
    jobs.pop("all", None)
    assert jobs == row.jobs


def test_the_page_has_the_table() -> None:
    assert page() == render(), "run `python tests/workflow/rerun_table.py` and put its output into the page"


def test_docstrings_rerun_nothing(finished: Project) -> None:
    for file in (finished.folder / "src/n2amd").rglob("*.py"):
        text = file.read_text()
        if text.startswith('"""'):
            file.write_text('"""Once more. ' + text[3:])
    assert finished.planned("config/test.yaml") == {}


def test_more_frames_solve_only_what_is_new(finished: Project) -> None:
    config = option(trajectory={"frames": 120})(finished)
    before = (finished.folder / FIRST).stat().st_mtime_ns
    finished.snakemake("--configfile", config, "--quiet", "all")
    solved = [call.split("--frames ")[1].split()[0] for call in finished.calls if "states solve" in call]
    assert solved == ["000100-000119"]
    assert (finished.folder / FIRST).stat().st_mtime_ns == before
    assert finished.planned(config) == {}
    # and back: the shards of 100 frames are all there, the trajectory is cut
    finished.snakemake("--configfile", "config/test.yaml", "--quiet", "all")
    assert len([call for call in finished.calls if "states solve" in call]) == 1
    assert finished.planned("config/test.yaml") == {}


def test_a_trajectory_beyond_a_tighter_limit_is_refused_and_not_lost(finished: Project) -> None:
    config = option(trajectory={"max_drift_meV_per_atom_per_ps": 0.9})(finished)
    trajectory = finished.folder / "results-test/TiO2/1x1x1/trajectory.h5"
    before = trajectory.read_bytes()
    done = finished.snakemake("--configfile", config, "--quiet", "rules", check=False)
    assert done.returncode != 0
    assert "run_trajectory: the conserved energy drifts" in done.stdout + done.stderr
    assert trajectory.read_bytes() == before
    # the old limit takes it again: the file was written anew, no state is
    jobs = finished.planned("config/test.yaml")
    assert not jobs.keys() & {"solve_states", "train_forcefield"}


def test_new_code_computes_anew_what_a_work_folder_keeps(finished: Project) -> None:
    """Snakemake runs the stage again; its restart data must not be taken for that of the new code."""
    asked = ("python", "-c", "from n2amd.sources import digest_of_program as d; print(d('trajectory/md.py'))")
    before = finished.run(*asked).stdout
    edited("trajectory/md.py")(finished)
    assert finished.run(*asked).stdout != before


def test_a_deleted_file_is_made_again(finished: Project) -> None:
    (finished.folder / FIRST).unlink()
    finished.snakemake("--configfile", "config/test.yaml", "--quiet", "all")
    assert (finished.folder / FIRST).exists()
    assert finished.planned("config/test.yaml") == {}
