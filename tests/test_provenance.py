from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from n2amd import __version__, provenance
from n2amd.config.states import StatesSettings
from n2amd.errors import InputError
from n2amd.versions import versions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.git
def test_the_commit_is_that_of_the_package_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "n2amd"
    package.mkdir(parents=True)
    (package / "provenance.py").write_text("")
    (tmp_path / "README").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))

    def says() -> str:
        provenance.created_by.cache_clear()
        return provenance.created_by()

    try:
        assert says() == f"n2amd {__version__}"
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "first")
        commit = git(tmp_path, "rev-parse", "--short", "HEAD")
        assert says() == f"n2amd {__version__} ({commit})"
        (tmp_path / "README").write_text("a user's own note")
        assert says() == f"n2amd {__version__} ({commit})"
        (package / "provenance.py").write_text("edited")
        assert says() == f"n2amd {__version__} ({commit}+dirty)"
        # installed inside somebody else's repository
        installed = tmp_path / "env" / "lib" / "n2amd"
        installed.mkdir(parents=True)
        monkeypatch.setattr(provenance, "__file__", str(installed / "provenance.py"))
        assert says() == f"n2amd {__version__}"
    finally:
        provenance.created_by.cache_clear()


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "n2amd"
    package.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(package / "provenance.py"))
    monkeypatch.setenv("PATH", str(package))
    # the undecorated function: what other tests of this process have cached stays
    assert provenance.created_by.__wrapped__() == f"n2amd {__version__}"


def test_hash_of_files(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"x" * 3_000_000)
    second.write_bytes(b"y")
    assert provenance.sha256_of_files([first]) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert provenance.sha256_of_files([first, second]) != provenance.sha256_of_files([second, first])
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        provenance.sha256_of_files([tmp_path / "c"])


def test_hash_of_a_section_depends_on_its_values_alone() -> None:
    same = [provenance.sha256_of_config(s) for s in ({"a": 1, "b": [2.0]}, {"b": [2.0], "a": 1})]
    assert same[0] == same[1] != provenance.sha256_of_config({"a": 1, "b": [2.1]})
    model = StatesSettings()
    assert provenance.sha256_of_config(model) == provenance.sha256_of_config(model.model_dump(mode="json"))


def test_cpu_time_counts_finished_children() -> None:
    before = provenance.cpu_seconds()
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
    assert provenance.cpu_seconds() > before


def test_the_reproducible_build_time_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert provenance.timestamp() == "1970-01-02T00:00:00Z"


def test_versions_name_what_is_installed() -> None:
    found = versions()
    assert {"python", "n2amd", "numpy", "h5py"} <= found.keys()
    assert found["n2amd"] == __version__


def test_errors_say_where_and_survive_worker_processes() -> None:
    error = InputError("energy is NaN", file="a.out", frame=3, field="energy", remedy="rerun it")
    assert str(error) == "a.out, frame 3, field 'energy': energy is NaN; rerun it"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.frame, copy.problem) == (str(error), 3, "energy is NaN")
    assert str(InputError("x")) == "x"
    assert str(InputError("x", remedy="y")) == "x; y"
    assert str(InputError("x", frame=0)) == "frame 0: x"


def test_a_folder_counts_with_names_and_contents_of_its_files(tmp_path):
    folder = tmp_path / "run"
    (folder / "inner").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "inner" / "b").write_text("2")
    before = provenance.sha256_of_files([folder])
    assert before == provenance.sha256_of_files([folder])
    (folder / "inner" / "b").write_text("3")
    changed = provenance.sha256_of_files([folder])
    (folder / "inner" / "b").rename(folder / "c")
    assert len({before, changed, provenance.sha256_of_files([folder])}) == 3
