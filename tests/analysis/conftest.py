"""A whole synthetic case, made once."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import write_couplings, write_populations, write_reports, write_trajectory
from typer.testing import CliRunner

from n2amd.commands.analysis import app


@pytest.fixture(scope="session")
def case_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every file that a case is gathered from, lifetime and dephasing made by the commands themselves."""
    folder = tmp_path_factory.mktemp("case")
    files = write_reports(folder)
    files["couplings"] = write_couplings(folder / "couplings.h5")
    files["trajectory"] = write_trajectory(folder / "trajectory.h5")
    files["dish"] = write_populations(folder / "dish_seed1.h5", lifetime_fs=2e4)
    files["fssh"] = write_populations(folder / "fssh_seed2.h5", lifetime_fs=1.5e4, method="fssh", seed=2)
    files["dephasing"], files["lifetime"] = folder / "dephasing.json", folder / "lifetime.json"
    run = CliRunner()
    made = run.invoke(
        app, ["dephasing", "--couplings", str(files["couplings"]), "--out", str(files["dephasing"])]
    )
    assert made.exit_code == 0, made.output
    made = run.invoke(
        app,
        [
            *("lifetime", "--couplings", str(files["couplings"]), "--dephasing", str(files["dephasing"])),
            *("--out", str(files["lifetime"]), "--dynamics", str(files["dish"]), str(files["fssh"])),
        ],
    )
    assert made.exit_code == 0, made.output
    files["spectrum"] = folder / "spectrum.json"
    made = run.invoke(
        app, ["spectrum", "--couplings", str(files["couplings"]), "--out", str(files["spectrum"])]
    )
    assert made.exit_code == 0, made.output
    return files
