"""A newcomer's way through the pages: configurations and commands, on small sets, to a table of lifetimes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from workflow_project import ROOT, Project

DATA = ROOT / "tests/data"
SETS = DATA / "newcomer"
#: Laid over the page's job: its sizes, for a test.
TINY = {
    "supercells": ["1x1x1"],
    "forcefield": {"preset": "test", "compile": "never"},
    "hamiltonian": {"preset": "test"},
    "trajectory": {
        "equilibration_steps": 5,
        "frames": 100,
        "checkpoint_every": 50,
        "max_drift_meV_per_atom_per_ps": 1e6,
        "max_temperature_ratio": 50.0,
    },
    "states": {"frames_per_shard": 50, "margin": 2},
    "dynamics": {"samples": 2, "trajectories": 20, "duration_fs": 50.0, "output_stride": 1},
    "analysis": {"bootstrap": 20, "block_fs": 10.0},
}


@dataclass(frozen=True)
class Section:
    """What a page's section "From a folder of output to a lifetime" says to do."""

    files: dict[str, str]
    commands: list[str]


def section_of(page: str) -> Section:
    text = (ROOT / "docs" / page).read_text()
    part = re.search(r"^## From a folder of output.*?(?=^## )", text, re.MULTILINE | re.DOTALL)
    assert part is not None, f"{page} has no way from a folder to a lifetime"
    files = dict(re.findall(r'```yaml title="([^"]+)"\n(.*?)```', part[0], re.DOTALL))
    blocks = re.findall(r"```bash\n(.*?)```", part[0], re.DOTALL)
    return Section(files, [line for block in blocks for line in block.splitlines() if line.strip()])


def lay_out_gaas(folder: Path) -> None:
    for name in ("gaas-pbe", "gaas-hse06"):
        shutil.copytree(SETS / name, folder / "dft" / name)


def lay_out_mos2(folder: Path) -> None:
    shutil.copytree(SETS / "mos2", folder / "dft/mos2/train")
    shutil.copytree(SETS / "mos2/frame_0002", folder / "dft/mos2/ideal/frame_0000")
    shutil.copytree(DATA / "openmx/pao", folder / "dft/mos2/pao")


PAGES = [
    pytest.param("siesta.md", lay_out_gaas, {("GaAs", "pbe"), ("GaAs", "hse06")}, id="GaAs, HONPAS"),
    pytest.param("openmx.md", lay_out_mos2, {("MoS2", "pbe")}, id="MoS2, OpenMX"),
]


@pytest.mark.parametrize(("page", "lay_out", "cases"), PAGES)
def test_page_is_complete(page: str, lay_out: Callable[[Path], None], cases: set) -> None:
    """The configuration stands on the page, the run names it, and the table is read from its results."""
    said = section_of(page)
    (file,) = said.files
    document = yaml.safe_load(said.files[file])
    assert f"n2amd config check {file}" in said.commands
    assert f"make run CONFIG={file}" in said.commands
    assert said.commands[-1].startswith(f"cat {document['results']}/")


@pytest.mark.parametrize(("page", "lay_out", "cases"), PAGES)
def test_every_step_before_the_run(
    page: str, lay_out: Callable[[Path], None], cases: set, real_project: Project
) -> None:
    said = section_of(page)
    lay_out(real_project.folder)
    for name, text in said.files.items():
        (real_project.folder / name).write_text(text)
    for command in said.commands[: [*map(is_run, said.commands)].index(True)]:
        real_project.run("bash", "-ec", command)


def is_run(command: str) -> bool:
    return command.startswith("make run")


@pytest.mark.slow
@pytest.mark.parametrize(("page", "lay_out", "cases"), PAGES)
def test_page_leads_to_a_table_of_lifetimes(
    page: str, lay_out: Callable[[Path], None], cases: set, real_project: Project
) -> None:
    said = section_of(page)
    lay_out(real_project.folder)
    for name, text in said.files.items():
        (real_project.folder / name).write_text(text)
    (real_project.folder / "config/tiny.yaml").write_text(yaml.safe_dump(TINY))
    shown = ""
    for command in said.commands:
        if is_run(command):  # what make does once the environment is there
            config = command.removeprefix("make run CONFIG=")
            real_project.run(
                "workflow/run.sh", f"{config} config/tiny.yaml", "--cores", "2", "--quiet", "all"
            )
        else:
            shown = real_project.run("bash", "-ec", command).stdout
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in shown.splitlines()}
    assert cases <= rows, shown
