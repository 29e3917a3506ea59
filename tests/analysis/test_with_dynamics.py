"""The exact lifetime against surface hopping itself, and the import rule."""

import subprocess
import sys
from pathlib import Path

import pytest
from synthetic import write_couplings
from typer.testing import CliRunner

from n2amd.analysis.lifetime import Resampling
from n2amd.analysis.populations import read_run
from n2amd.analysis.report import lifetime_report
from n2amd.commands import dynamics


@pytest.mark.slow
def test_sampled_and_exact_lifetime_agree(tmp_path: Path) -> None:
    couplings = write_couplings(
        tmp_path / "couplings.h5", frames=1000, nac=0.01, gap=1.0, valence=1, conduction=1
    )
    made = CliRunner().invoke(
        dynamics.app,
        [
            *(
                "run",
                "--couplings",
                str(couplings),
                "--out",
                str(tmp_path / "dish.h5"),
                "--temperature",
                "300",
            ),
            *("--settings", '{"duration_fs": 50000, "dephasing_time_fs": 24.4, "trajectories": 100}'),
        ],
    )
    assert made.exit_code == 0, made.output
    report = lifetime_report(
        couplings, 15.0, [read_run(tmp_path / "dish.h5")], Resampling(50.0, 100, 0.95, 1)
    )
    (fit,) = report["fits"].values()
    assert report["exact"]["tau_fs"] == pytest.approx(24.4)
    exact = report["exact"]["lifetime_ns"]["value"]
    # about 600 hops: 4 %; start frames differ
    assert fit["arrivals"]["lifetime_ns"]["value"] == pytest.approx(exact, rel=0.15)
    assert fit["lifetime_ns"]["value"] == pytest.approx(exact, rel=0.15)


def test_analysis_imports_no_torch() -> None:
    modules = "report, dephasing, case, summary, scaling, figures.draw"
    imports = "; ".join(f"import n2amd.analysis.{name.strip()}" for name in modules.split(","))
    code = f"import sys; {imports}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_help_is_light() -> None:
    code = (
        "import sys, n2amd.commands.analysis; sys.exit('numpy' in sys.modules or 'matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
