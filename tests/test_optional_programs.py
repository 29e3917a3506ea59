"""A machine without the optional programs: what `.ci/bare` hides, and the tests that need them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import optional_programs
from optional_programs import HIDDEN, OptionalProgram

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("cp2k.psmp", "sinfo", "mpiexec", "munged", "git")


def bare(by: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    known = {**os.environ, "BARE_BY": by, **environment}
    return subprocess.run(
        [ROOT / ".ci/bare", *command], text=True, capture_output=True, env=known, check=False, cwd=ROOT
    )


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """A PATH on which all of the programs are found, and one of no interest."""
    for name in (*COMMANDS, "of-no-interest"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


LOOK = f"""
echo "$CP2K_DATA_DIR"
for name in of-no-interest {" ".join(COMMANDS)}; do command -v $name || true; done
"""


@pytest.mark.parametrize("by", ["mount", "path"])
def test_nothing_optional_is_found_on_a_bare_machine(by: str, installed: str, tmp_path: Path) -> None:
    known = {"PATH": installed, "CP2K_DATA_DIR": str(tmp_path)}
    looked = subprocess.run(
        ["sh", "-c", LOOK], text=True, capture_output=True, env={**os.environ, **known}, check=True
    )
    assert len(looked.stdout.split()) == 1 + 1 + len(COMMANDS)
    # in a virtual environment without a mount namespace mpiexec stays
    elsewhere = [p for p in installed.split(":") if not Path(p, "../pyvenv.cfg").exists()]
    done = bare(by, "sh", "-c", LOOK, **{**known, "PATH": ":".join(elsewhere)})
    assert done.returncode == 0, done.stderr
    assert [Path(line).name for line in done.stdout.split()] == ["of-no-interest"]
    assert all((tmp_path / name).exists() for name in COMMANDS), "hidden, not removed"


@pytest.mark.parametrize("by", ["mount", "path"])
def test_arguments_and_exit_code_pass_through(by: str) -> None:
    done = bare(by, sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a b", "")
    assert (done.returncode, done.stdout) == (7, "['a b', '']\n")


@pytest.mark.parametrize("by", ["mount", "path"])
def test_tests_that_need_a_program_are_skipped_with_the_reason(by: str) -> None:
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "mpi or git")
    done = bare(by, *command, "tests/test_provenance.py", "tests/hopping/test_ensemble.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^=+ \d+ skipped, \d+ deselected", done.stdout.splitlines()[-1])
    reason = r"(not found: git \(apt-get install git\)|git is hidden)"
    assert re.search(rf"^SKIPPED \[1\] tests/test_provenance\.py:\d+: {reason}$", done.stdout, re.MULTILINE)


def test_what_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(HIDDEN, raising=False)
    (tmp_path / "b").write_text("")
    (tmp_path / "b").chmod(0o755)
    needs = {"marker": "x", "remedy": "get it", "commands": ("a", "b")}
    assert OptionalProgram(**needs).missing() == "not found: a (get it)"
    assert OptionalProgram(**needs, one_is_enough=True).missing() == ""
    assert OptionalProgram(**needs, one_is_enough=True, packages=("no_such",)).missing() == (
        "not found: no_such (get it)"
    )
    assert OptionalProgram("x", "get it", obstacle=lambda: "no device").missing() == "no device"
    assert list(OptionalProgram(**needs, files=("[c]", str(tmp_path))).paths()) == [tmp_path / "b", tmp_path]


def test_conditions_stand_in_one_place() -> None:
    """A test with a condition of its own would not be found by `-m optional`."""
    own = re.compile(r"importorskip|shutil\.which|find_spec|\.skip\(|skipif\((?!os\.geteuid|sys\.platform)")
    allowed = {"optional_programs.py", "conftest.py", Path(__file__).name}
    files = [file for file in (ROOT / "tests").rglob("*.py") if file.name not in allowed]
    assert {str(file) for file in files if own.search(file.read_text())} == set()


def test_links_of_a_killed_test_run_are_no_slurm_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "etc.conf"
    monkeypatch.setattr(optional_programs, "CONF_OF_SLURM", conf)
    (tmp_path / "run").mkdir()
    real = tmp_path / "run/slurm.conf"
    real.touch()
    conf.touch()
    assert not optional_programs.left_by_killed_tests()  # a file: the machine's own
    conf.unlink()
    conf.symlink_to(real)
    assert not optional_programs.left_by_killed_tests()  # its controller has not started yet
    (tmp_path / "run/slurmctld.pid").write_text(f"{os.getpid()}\n")
    assert optional_programs.left_by_killed_tests()  # another process has its number now
    real.unlink()
    (tmp_path / "run/slurmctld.pid").unlink()
    assert optional_programs.left_by_killed_tests()  # its folder is gone
