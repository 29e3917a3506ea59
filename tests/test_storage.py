from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from edited import edited
from n2amd.errors import ComputationError, InputError
from n2amd.storage import atomic_path, create_hdf5, open_hdf5, read_json, single_writer, write_json
from n2amd.units import UNITS

PRELUDE = """
import sys, time, resource
import numpy as np
from n2amd.errors import N2amdError
from n2amd.storage import *
path = sys.argv[1]
def ready():
    print("ready", flush=True)
"""


def start(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Run a program beside the test; it says "ready" where it waits to be killed or told to go on."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1]


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


# --- whole or absent


def test_an_hdf5_file_carries_what_made_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("abc")
    file = tmp_path / "new" / "folder" / "a.h5"
    with create_hdf5(file, "thing", version="1.3", config={"a": 1}, inputs=[source]) as out:
        out["x"] = np.arange(3)
        assert not file.exists()
    with open_hdf5(file, "n2amd/thing") as found:
        attributes = dict(found.attrs)
        assert found["x"][:].tolist() == [0, 1, 2]
    assert attributes["format"] == "n2amd/thing"
    assert attributes["format_version"] == "1.3"
    assert attributes["created_by"].startswith("n2amd ")
    assert attributes["inputs_sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(attributes["config_sha256"]) == 64
    assert attributes["units"] == UNITS
    assert attributes["cpu_seconds"] > 0
    assert attributes["complete"] == 1
    assert names(file.parent) == {"a.h5"}


def test_a_gathering_writer_sets_the_cpu_time_itself(tmp_path: Path) -> None:
    with create_hdf5(tmp_path / "a.h5", "thing") as out:
        out.attrs["cpu_seconds"] = 1234.5
    with open_hdf5(tmp_path / "a.h5", "thing") as found:
        assert found.attrs["cpu_seconds"] == 1234.5
    write_json(tmp_path / "a.json", {"provenance": {"cpu_seconds": 7.0}})
    assert read_json(tmp_path / "a.json")["provenance"]["cpu_seconds"] == 7.0


@pytest.mark.parametrize("before", [False, True])
def test_an_error_leaves_the_file_as_it_was(tmp_path: Path, before: bool) -> None:
    file = tmp_path / "a.h5"
    if before:
        with create_hdf5(file, "thing") as out:
            out["x"] = 1
    with pytest.raises(ZeroDivisionError), create_hdf5(file, "thing") as out:
        out["x"] = 1 // len(out.keys())
    assert names(tmp_path) == ({"a.h5"} if before else set())
    if before:
        with open_hdf5(file, "thing") as found:
            assert found["x"][()] == 1


@pytest.mark.parametrize("name", ["a.h5", "a.json"])
def test_a_killed_writer_leaves_nothing_under_the_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    program = {
        "a.h5": "with create_hdf5(path, 'thing') as out:\n"
        " out['x'] = np.ones(10**6); out.flush(); ready(); input()",
        "a.json": "with atomic_path(path) as part:\n part.write_text('{'); ready(); input()",
    }[name]
    writer = start(program, file)
    wait_ready(writer)
    kill(writer)
    assert not file.exists()
    assert f"{name}.part" in names(tmp_path)
    if name == "a.h5":
        with create_hdf5(file, "thing") as out:
            out["x"] = 3
    else:
        write_json(file, {"x": 3})
    assert names(tmp_path) == {name}


def test_the_file_is_as_open_to_others_as_any(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with create_hdf5(tmp_path / "a.h5", "thing"):
        pass
    assert stat.S_IMODE((tmp_path / "a.h5").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


def test_reading_back_while_writing(tmp_path: Path) -> None:
    """Growing, rewritten and compressed sets, read in between, are those of a plain HDF5 file."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 300))
    with create_hdf5(tmp_path / "a.h5", "thing") as out:
        grown = out.create_dataset(
            "grown", (0, 300), "f8", maxshape=(None, 300), chunks=(3, 100), compression="gzip"
        )
        for k, row in enumerate(rows):
            grown.resize(k + 1, axis=0)
            grown[k] = row
            assert np.array_equal(grown[k // 2], rows[k // 2])
        grown[5] = 0
        for k in range(200):
            out[f"small/{k}"] = rows[k % 40]
        del out["small/7"]
    with h5py.File(tmp_path / "a.h5") as found:
        assert np.array_equal(found["grown"][6:], rows[6:])
        assert not found["grown"][5].any()
        assert len(found["small"]) == 199
        assert np.array_equal(found["small/199"], rows[39])


# --- disks and folders


@pytest.mark.parametrize(
    "body",
    [
        "with create_hdf5(path, 'thing') as out:\n out['x'] = np.ones(100_000)",
        "with create_hdf5(path, 'thing') as out:\n for k in range(100): out[f'x{k}'] = np.ones(1000)",
        "with create_hdf5(path, 'thing') as out:\n"
        " grown = out.create_dataset('x', (100_000,), 'f8', chunks=(1000,), compression='gzip')\n"
        " grown[:] = np.random.default_rng(0).random(100_000)\n"
        " assert len(grown[:]) == 100_000",
        "write_json(path, {'x': 'y' * 300_000})",
    ],
    ids=["one set", "many sets", "chunks", "json"],
)
def test_a_full_disk_is_one_sentence_and_no_crash(tmp_path: Path, body: str) -> None:
    program = (
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        f"body = {body!r}\n"
        "try:\n exec(body)\n"
        "except N2amdError as error:\n print(error); sys.exit(error.exit_code)"
    )
    process = start(program, tmp_path / "a.out")
    out, err = process.communicate()
    assert process.returncode == 1, err
    assert err == ""
    assert f"{tmp_path / 'a.out'}: could not be written to its end (File too large); make room" in out
    assert names(tmp_path) == set()


def test_a_name_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (lambda p: write_json(p, {}), lambda p: single_writer(p).__enter__()):
        with pytest.raises(InputError, match=r"file/a\.json: cannot be written \(Not a directory\)"):
            write(tmp_path / "file" / "a.json")
    with pytest.raises(InputError, match="is a folder; name a file"), create_hdf5(tmp_path, "thing"):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"cannot be written \(Permission denied\); choose a place"):
            write_json(tmp_path / "a.json", {})
        with pytest.raises(InputError, match="Permission denied"), single_writer(tmp_path / "a.json"):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_permission_errors_are_told_whoever_runs_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, *_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", str(name))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"a\.json: cannot be written \(Permission denied\); choose a place"):
        write_json(tmp_path / "a.json", {})


def test_errors_about_other_files_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), atomic_path(tmp_path / "a.txt") as part:
        part.write_text(open(tmp_path / "elsewhere").read())  # noqa: SIM115 - never opened
    assert names(tmp_path) == set()


def test_a_lost_disk_is_a_failed_computation(tmp_path: Path) -> None:
    with pytest.raises(ComputationError, match="No space left on device"), atomic_path(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")


# --- one writer


def test_single_writer_waits_and_goes_on_when_the_holder_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "a.h5"
    holder = start("with single_writer(path):\n ready(); input()", file)
    wait_ready(holder)
    waiter = start("with single_writer(path):\n print('mine', flush=True)", file)
    assert waiter.stderr is not None
    assert waiter.stderr.readline() == f"waiting: another process is writing {file}\n"
    assert waiter.poll() is None
    kill(holder)
    out, err = waiter.communicate(timeout=60)
    assert (out, err, waiter.returncode) == ("mine\n", "", 0)
    assert names(tmp_path) == set()


def test_single_writer_is_free_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), single_writer(tmp_path / "a.h5"):
            raise ZeroDivisionError
    assert names(tmp_path) == set()


def test_files_are_written_while_their_name_is_held(tmp_path: Path) -> None:
    with single_writer(tmp_path / "a.json"), single_writer(tmp_path / "b.json"):
        write_json(tmp_path / "a.json", {})
        write_json(tmp_path / "b.json", {})
    assert names(tmp_path) == {"a.json", "b.json"}


def test_only_one_holds_the_name_at_a_time(tmp_path: Path) -> None:
    """Threads that come and go: the lock file is removed under those that wait for it."""
    inside, worst, rounds = 0, 0, 0
    guard = threading.Lock()

    def work() -> None:
        nonlocal inside, worst, rounds
        for _ in range(40):
            with single_writer(tmp_path / "a"):
                with guard:
                    inside += 1
                    worst = max(worst, inside)
                time.sleep(0.0002)
                with guard:
                    inside -= 1
                    rounds += 1

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (worst, rounds) == (1, 160)
    assert names(tmp_path) == set()


def test_two_writers_of_one_name_do_not_mix(tmp_path: Path) -> None:
    """Without single_writer: the second waits, the file is whole at any time, and the last one stays."""
    file = tmp_path / "a.h5"
    program = (
        "with create_hdf5(path, 'thing') as out:\n"
        " out['x'] = np.full(1000, int(sys.argv[2])); out.flush(); ready(); input()"
    )
    first = start(program, file, "1")
    wait_ready(first)
    second = start(program, file, "2")
    assert second.stderr is not None
    assert "waiting" in second.stderr.readline()
    assert first.communicate("go\n", timeout=60)[1] == ""
    wait_ready(second)
    with open_hdf5(file, "thing") as found:
        assert np.all(found["x"][:] == 1)
    second.communicate("go\n", timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    with open_hdf5(file, "thing") as found:
        assert np.all(found["x"][:] == 2)
    assert names(tmp_path) == {"a.h5"}


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    write_json(tmp_path / "a.json", {})
    assert "no file locks here" in capsys.readouterr().err
    assert names(tmp_path) == {"a.json"}


# --- refused on reading


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    file = tmp_path / "a.h5"
    with create_hdf5(file, "thing", version="1.2") as out:
        out["x"] = np.zeros(100)
    return file


@pytest.mark.parametrize(
    ("attribute", "value", "sentence"),
    [
        ("format", "n2amd/other", "format is 'n2amd/other', expected 'n2amd/thing'; pass the right file"),
        ("format", np.zeros(2), "format is .* expected 'n2amd/thing'; pass the right file, or delete it and"),
        ("format", None, "format is 'no format attribute', .* run the stage again if it is damaged"),
        ("format_version", "2.0", r"format version 2\.0 cannot be read .*\(major 1\); make the file again"),
        ("format_version", "10.0", r"format version 10\.0 cannot be read"),
        ("format_version", None, "format version 0 cannot be read"),
        ("complete", None, "not written to its end"),
        ("complete", 0, "not written to its end"),
        ("units", "Hartree, Bohr", "field 'units': units are 'Hartree, Bohr', expected 'eV"),
        ("units", None, "units are None"),
    ],
)
def test_other_files_are_refused(whole: Path, attribute: str, value: object, sentence: str) -> None:
    with edited(whole) as file:
        del file.attrs[attribute]
        if value is not None:
            file.attrs[attribute] = value
    with pytest.raises(InputError, match=sentence) as caught, open_hdf5(whole, "thing"):
        pass
    assert str(caught.value).startswith(str(whole))
    assert caught.value.exit_code == 2


def test_a_newer_minor_version_is_read(whole: Path) -> None:
    with edited(whole) as file:
        file.attrs["format_version"] = "1.99"
    with open_hdf5(whole, "thing") as found:
        assert len(found["x"]) == 100


def test_half_a_file_is_refused(whole: Path) -> None:
    os.truncate(whole, whole.stat().st_size // 2)
    with (
        pytest.raises(InputError, match=r"not a readable HDF5 file \(.*truncated"),
        open_hdf5(whole, "thing"),
    ):
        pass


def test_files_that_are_no_hdf5(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for name, sentence in [
        ("absent", r"does not exist; make it first \(n2amd/thing\)"),
        ("text", "not a readable HDF5 file"),
        (".", "cannot be read"),
    ]:
        with pytest.raises(InputError, match=sentence), open_hdf5(tmp_path / name, "thing"):
            pass


# --- JSON


def test_json_round_trip_with_arrays_and_paths(tmp_path: Path) -> None:
    document = {
        "array": np.array([[1.5, -0.1], [1e-300, 2 / 3]]),
        "scalar": np.float32(0.5),
        "flag": np.bool_(True),
        "count": np.int64(7),
        "path": Path("a") / "b",
        "text": "Å",
    }
    write_json(tmp_path / "a.json", document, config={"x": 1})
    found = read_json(tmp_path / "a.json")
    assert found["array"] == document["array"].tolist()
    assert (found["scalar"], found["flag"], found["count"]) == (0.5, True, 7)
    assert (found["path"], found["text"]) == ("a/b", "Å")
    assert found["provenance"].keys() == {
        "created_by",
        "created_at",
        "config_sha256",
        "inputs_sha256",
        "inputs",
        "cpu_seconds",
        "content_sha256",
        "sha256",
    }
    assert found["provenance"]["cpu_seconds"] > 0


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError, match="complex cannot be written as JSON"):
        write_json(tmp_path / "a.json", {"x": 2, "y": 1j})
    assert read_json(tmp_path / "a.json")["x"] == 1
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"x": 1', "not valid JSON .*delete it and run again"),
        (b"", "not valid JSON"),
        (b"\x89HDF\r\n\x1a\n\xff\xfe", "not valid JSON"),
        (b"[1, 2]", "holds a JSON list, expected an object"),
        (None, "does not exist; run the stage that makes it"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_json(file)
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path)


def test_json_is_the_same_text_for_the_same_document(tmp_path: Path) -> None:
    texts = []
    for name in "ab":
        write_json(tmp_path / name, {"x": [1, 2], "y": 0.1})
        document = json.loads((tmp_path / name).read_text())
        for when in ("created_at", "cpu_seconds", "sha256"):
            del document["provenance"][when]
        texts.append(json.dumps(document))
    assert texts[0] == texts[1]
