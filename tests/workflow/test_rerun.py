"""What runs again after which change, row by row; and that what runs again then has everything."""

from __future__ import annotations

import pytest
from rerun_table import ROWS, Row, edited, option, page, render
from workflow_project import Project

CASE = "results-test/TiO2/1x1x1/pbe"
FIRST = f"{CASE}/states/frames_000000-000049.h5"
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


@pytest.mark.parametrize(
    "target", ["all", f"{CASE}+experiment/analysis/lifetime.json", f"{CASE}/couplings.h5"]
)
def test_a_deleted_file_is_made_again_for_any_target(finished: Project, target: str) -> None:
    (finished.folder / FIRST).unlink()
    finished.snakemake("--configfile", "config/test.yaml", "--quiet", "all", "--", target)
    assert (finished.folder / FIRST).exists()
    solved = [call for call in finished.calls if "states solve" in call]
    assert len(solved) == 1
    assert finished.planned("config/test.yaml", arguments=("--", target)) == {}


def test_every_deleted_file_behind_a_lifetime_is_noticed(finished: Project) -> None:
    """The lifetime alone is asked for; nothing that it is not made of is made."""
    target = f"{CASE}/analysis/lifetime.json"
    models = "results-test/TiO2/pbe"
    for deleted, rules in {
        "results-test/TiO2/1x1x1/trajectory.h5": {"run_trajectory", "solve_states"},
        f"{models}/hamiltonian.pt": {"train_hamiltonian"},
        f"{models}/dataset.h5": {"ingest_dataset", "train_hamiltonian", "train_forcefield"},
        f"{models}/forcefield.model": {"train_forcefield", "run_trajectory"},
        f"{CASE}/dynamics/dish_seed1.h5": {"run_dynamics", "lifetime"},
        f"{models}/hamiltonian.json": set(),
    }.items():
        file = finished.folder / deleted
        kept = file.read_bytes()
        file.unlink()
        jobs = finished.planned("config/test.yaml", arguments=("--", target)).keys()
        assert rules <= jobs if rules else not jobs
        assert not jobs & {"evaluate_hamiltonian", "draw_populations", "all"}
        file.write_bytes(kept)
