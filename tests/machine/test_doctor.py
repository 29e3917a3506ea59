"""The doctor: each line from a made-up machine, broken ones, and the real one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from n2amd.config.job import load
from n2amd.machine import programs, python_packages
from n2amd.machine.examination import LOADING, checks, examine, machine_of
from n2amd.machine.finding import Answer, Finding, Tools, guarded, run
from n2amd.machine.stages import Machine, describe_stages

ROOT = Path(__file__).resolve().parents[2]


def tools(
    *present: str, answers: dict[str, Answer] | None = None, environment: dict[str, str] | None = None
) -> Tools:
    """A machine with some programs; answers by a word of the command line."""

    def answer(command: Sequence[str]) -> Answer:
        text = " ".join(command)
        return next((a for word, a in (answers or {}).items() if word in text), Answer(0, ""))

    return Tools(
        which=lambda name: f"/usr/bin/{name}" if name in present else None,
        run=answer,
        environment=environment or {},
    )


def said(**document: object) -> Answer:
    return Answer(0, json.dumps(document))


TORCH = {"torch": "2.13.0", "cuda": None, "visible": False, "devices": []}
MPI4PY = said(mpi4py="4.1", library="MPICH Version: 5.0\nmore")


def test_torch_that_does_not_load_is_broken() -> None:
    error = "Traceback\n  File\nImportError: libtorch.so: cannot open shared object file"
    found = python_packages.check_torch(tools(answers={"import json, torch": Answer(1, "", error)}))
    assert found.state == "broken"
    assert "libtorch.so" in found.text
    assert "Traceback" not in found.text
    assert found.remedy


def test_a_crash_while_loading_is_told() -> None:
    found = python_packages.check_torch(tools(answers={"import json, torch": Answer(-11)}))
    assert (found.state, "signal 11" in found.text) == ("broken", True)


def test_torch_for_cpus_beside_a_gpu() -> None:
    answers = {"import json, torch": said(**TORCH), "nvidia-smi": Answer(0, "NVIDIA H200\n")}
    found = python_packages.check_torch(tools("nvidia-smi", answers=answers))
    assert found.state == "suspect"
    assert "H200" in found.text
    assert "TORCH_INDEX" in found.remedy


def test_driver_too_old_for_torch() -> None:
    told = said(**{**TORCH, "cuda": "13.0"})
    answers = {"import json, torch": told, "nvidia-smi": Answer(0, "Tesla V100\n")}
    found = python_packages.check_torch(tools("nvidia-smi", answers=answers))
    assert (found.state, "driver" in found.remedy) == ("suspect", True)


def test_gpus_count_for_the_stages() -> None:
    devices = [["NVIDIA H200", 139.8], ["NVIDIA H200", 139.8]]
    told = said(torch="2.13.0+cu130", cuda="13.0", visible=True, devices=devices)
    findings = examine(Path.cwd(), tools("g++", answers={"import json, torch": told}))
    assert machine_of(findings).gpus == 2


def test_a_missing_and_an_old_package() -> None:
    found = python_packages.check_packages(
        ["numpy>=1", "h5py>=99", "no-such-package-n2amd", "x; extra=='dev'"]
    )
    assert found.state == "broken"
    assert "h5py" in found.text
    assert "no-such-package-n2amd is missing" in found.text
    assert "numpy" not in found.text
    assert python_packages.check_packages(["numpy>=1"]).state == "ok"


def test_an_old_python() -> None:
    assert python_packages.check_python((3, 10, 9)).state == "broken"
    assert python_packages.check_python((3, 11, 2)).state == "ok"


@pytest.mark.parametrize(
    ("ranks", "state", "word"),
    [
        (Answer(0, "[of 2]\n[of 2]\n"), "ok", "see each other"),
        (Answer(0, "[of 2][of 2]\n"), "ok", "see each other"),
        (Answer(0, "[of 1]\n[of 1]\n"), "suspect", "Open MPI: every rank is alone"),
        (Answer(1, "", "mpiexec: not allowed to run as root"), "suspect", "as root"),
        (Answer(None, err="no answer within 60 s"), "suspect", "no answer"),
    ],
)
def test_mpi_launcher_against_library(ranks: Answer, state: str, word: str) -> None:
    answers = {"-n 2": ranks, "--version": Answer(0, "mpiexec (OpenRTE) 4.1"), "mpi4py": MPI4PY}
    found = programs.check_mpi(tools("mpiexec", answers=answers))
    assert (found.state, word in found.text) == (state, True), found


def test_mpi_without_library_or_launcher() -> None:
    none = Answer(1, "", "ImportError: cannot load MPI library")
    assert programs.check_mpi(tools("mpiexec", answers={"mpi4py": none})).state == "absent"
    assert programs.check_mpi(tools(answers={"mpi4py": MPI4PY})).state == "absent"
    assert programs.check_mpi(tools("srun", answers={"mpi4py": MPI4PY})).state == "ok"


def test_slurm_with_and_without_accounting_and_controller() -> None:
    commands = ("sbatch", "squeue", "scancel", "sinfo")
    alive = {"sinfo": Answer(0, "cpu*\ngpu\n")}
    assert "no sacct" in programs.check_slurm(tools(*commands, answers=alive)).text
    assert "sacct too" in programs.check_slurm(tools(*commands, "sacct", answers=alive)).text
    dead = {"sinfo": Answer(1, "", "slurm_load_partitions: Unable to contact slurm controller")}
    found = programs.check_slurm(tools(*commands, answers=dead))
    assert (found.state, "Unable to contact" in found.text) == ("suspect", True)
    assert programs.check_slurm(tools()).state == "absent"
    assert "squeue" in programs.check_slurm(tools("sbatch", "scancel", "sinfo")).text


def test_nothing_optional_is_broken_on_a_bare_machine() -> None:
    bare = [programs.check_compiler(tools()), programs.check_cp2k(tools()), programs.check_browser(tools())]
    assert {found.state for found in bare} == {"absent"}


def test_workflow_programs_are_needed() -> None:
    found = programs.check_snakemake(tools("snakemake", "n2amd", "bash"))
    assert (found.state, "flock" in found.text) == ("broken", True)


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert programs.check_folder(tmp_path).state in ("ok", "suspect")
    monkeypatch.setattr(programs.tempfile, "TemporaryFile", refuse)
    found = programs.check_folder(tmp_path)
    assert (found.state, "Permission denied" in found.text) == ("broken", True)


def test_a_check_that_fails_is_a_line() -> None:
    def fail() -> Finding:
        raise KeyError("oops")

    assert guarded("this", fail) == Finding(
        "this", "suspect", "could not be looked at ('oops')", "report it with this line"
    )


def test_a_program_that_hangs_or_is_missing() -> None:
    assert (
        run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2).last_words == "no answer within 0.2 s"
    )
    assert run(["/no/such/program"]).code is None


def test_stages_of_a_job() -> None:
    job = load(ROOT / "config/config.yaml")
    job = job.model_copy(
        update={
            "materials": {
                "TiO2": job.materials["TiO2"].model_copy(
                    update={"structure": ROOT / "resources/tio2-honpas/rutile.vasp"}
                )
            }
        }
    )
    alone = dict(describe_stages(Machine(2, 0, False, False), job))
    assert "TiO2 2x2x2 (48 atoms" in alone["states"]
    assert "LAPACK" in alone["states"]
    assert "shards of 125 frames, 2 at a time" in alone["states"]
    assert "no compiler" in alone["force field"]
    assert "no MPI" in alone["dynamics"]
    large = job.model_copy(update={"supercells": ["6x6x6"]})
    on_gpu = dict(describe_stages(Machine(16, 1, True, True), large))
    assert "block Lanczos on the GPU" in on_gpu["states"]
    assert "one GPU" in on_gpu["hamiltonian"]
    assert "16 MPI ranks" in on_gpu["dynamics"]


def test_a_gpu_asked_for_in_vain_is_told() -> None:
    job = load(ROOT / "config/config.yaml")
    asked = job.model_copy(update={"hamiltonian": job.hamiltonian.model_copy(update={"device": "cuda"})})
    told = dict(describe_stages(Machine(2, 0, True, False), asked))
    assert "refused" in told["hamiltonian"]


def test_every_item_is_told_under_its_name() -> None:
    wanted = checks(Path.cwd(), tools())
    assert [finding.item for finding in examine(Path.cwd(), tools())] == list(wanted)
    assert set(wanted) >= LOADING


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "n2amd.cli", "doctor", *arguments],
        env={**os.environ, **environment},
        text=True,
        capture_output=True,
        check=False,
    )


def test_quick_look_at_this_machine() -> None:
    done = doctor("--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Python" in done.stdout
    assert "What each stage will use" in done.stdout
    assert "Traceback" not in done.stderr


def test_whole_look_at_this_machine_ends_with_1_where_torch_is_broken(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart is missing')\n")
    path = f"{tmp_path}:{ROOT / 'src'}"
    done = doctor("--json", PYTHONPATH=path)
    assert done.returncode == 1
    found = {line["item"]: line for line in json.loads(done.stdout)["machine"]}
    assert found["torch"]["state"] == "broken"
    assert "libcudart" in found["torch"]["text"]
    assert found["HDF5"]["state"] == "ok"
    assert "torch" in done.stderr
    assert "Traceback" not in done.stderr
