"""Rutile TiO2 from the command line: the valence band edge is oxygen 2p, the conduction edge titanium 3d."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from n2amd.commands import dataset as dataset_command
from n2amd.commands import states as states_command

FOLDER = Path(__file__).parents[2] / "resources" / "tio2-honpas" / "TiO2_6_md"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("tio2") / "dataset.h5"
    frames = [str(FOLDER / f"frame_{number:04d}") for number in (0, 8)]
    made = CliRunner().invoke(dataset_command.app, ["ingest", *frames, "--code", "honpas", "--out", str(out)])
    assert made.exit_code == 0, made.output
    return out


@pytest.mark.parametrize(("partition", "titanium"), [("mulliken", 0.875), ("loewdin", 0.866)])
def test_band_edges_of_rutile(dataset, tmp_path, partition, titanium):
    out = tmp_path / "character.json"
    arguments = ["character", str(dataset), "--out", str(out), "--settings", f"{{partition: {partition}}}"]
    made = CliRunner().invoke(states_command.app, arguments)
    assert made.exit_code == 0, made.output
    report = json.loads(out.read_text())
    states = {state["state"]: state for state in report["states"]}
    assert states["VBM"]["band"] == 23
    assert states["VBM"]["orbital_share"]["O p"] == pytest.approx(0.967, abs=0.01)
    assert states["CBM"]["orbital_share"]["Ti d"] == pytest.approx(titanium, abs=0.02)
    for state in states.values():
        assert sum(state["orbital_share"].values()) == pytest.approx(1, abs=1e-6)
        assert 1 < state["participation"]["mean"] < 6
    assert "VBM (band 23): O p 97 %" in made.output
    assert "warning" not in made.output
