"""How far jobs are: their files, the estimate, the terminal's last line, a plain line elsewhere."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from n2amd import progress_terminal
from n2amd.progress import FOLDER, Work, describe, in_words, read_works, seconds_left, told_to_workflow
from n2amd.progress_terminal import StatusLine, start, watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "progress"))
    return tmp_path / "progress"


def a_work(**changes: object) -> Work:
    import socket

    work = Work("states", "frames", "results/Si/states/shard_0000.h5", 30, 100, 10, 0.0, 40.0)
    return replace(work, **{"pid": os.getpid(), "host": socket.gethostname(), **changes})


def test_without_a_workflow_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    with told_to_workflow("states", "frames", Path("shard_0000.h5")) as report:
        report(1, 2)
    assert not any(tmp_path.iterdir())


def test_a_resumed_job_is_timed_from_where_it_began(folder: Path) -> None:
    clock = Clock()
    with told_to_workflow("dynamics", "steps", Path("results/Si/trajectory.h5"), clock=clock) as report:
        report(400, 1000)
        clock.now += 60
        report(500, 1000)
        (work,) = read_works(folder, clock.now)
        assert (work.done, work.total, work.first_done) == (500, 1000, 400)
        assert seconds_left(work, clock.now) == pytest.approx(300)
        assert describe([work], Path("results"), clock.now) == ["Si dynamics 500/1000 steps, 5 min left"]
    assert not list(folder.iterdir())


def test_files_are_written_once_a_second(folder: Path) -> None:
    clock = Clock()
    with told_to_workflow("dynamics", "steps", Path("x.h5"), clock=clock) as report:
        for step in range(10):
            clock.now += 0.15
            report(step, 10)
        (work,) = read_works(folder, clock.now)
    assert work.done == 7


def test_the_next_stage_of_a_training_is_counted_anew(folder: Path) -> None:
    clock = Clock()
    with told_to_workflow("training", "steps", Path("x.pt"), clock=clock) as report:
        for done, total in [(50, 550), (550, 550), (600, 1200)]:
            clock.now += 10
            report(done, total)
        (work,) = read_works(folder, clock.now)
        assert (work.first_done, seconds_left(work, clock.now)) == (600, None)


def test_a_job_that_fails_leaves_no_file(folder: Path) -> None:
    def fail() -> None:
        with told_to_workflow("t", "frames", Path("x")) as report:
            report(1, 2)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_stops_no_job(folder: Path) -> None:
    folder.write_text("a file")
    with told_to_workflow("t", "frames", Path("x")) as report:
        report(1, 2)


def test_files_of_dead_jobs_go_and_junk_is_passed_over(tmp_path: Path) -> None:
    dead = a_work(pid=2**22 - 1)
    far, forgotten = a_work(host="node1"), a_work(host="node2", time=-4000.0)
    for number, work in enumerate([a_work(), dead, far, forgotten]):
        (tmp_path / f"{number}.json").write_text(json.dumps(asdict(work)))
    (tmp_path / "half.json").write_text('{"title": ')
    (tmp_path / "other.json").write_text('{"version": 2}')
    assert read_works(tmp_path, now=100.0) == [a_work(), far]
    assert not (tmp_path / "1.json").exists()


def test_shards_are_one_phrase(tmp_path: Path) -> None:
    states = tmp_path / "Si/2x2x2/pbe/states"
    states.mkdir(parents=True)
    for shard in range(3):
        (states / f"shard_{shard:04d}.h5").touch()
    works = [
        a_work(target=str(states / f"shard_{shard:04d}.h5"), part_of=10, first_done=0, time=30.0)
        for shard in (3, 4)
    ]
    # 360 of 1000 frames, two jobs that do one frame per second each
    assert describe(works, tmp_path, now=30.0) == ["Si/2x2x2/pbe/states states 360/1000 frames, 5 min left"]


def test_no_estimate_before_there_is_a_rate_and_none_below_zero() -> None:
    assert seconds_left(a_work(done=10), now=41.0) is None
    assert seconds_left(a_work(), now=1e6) == 0.0
    assert describe([a_work(done=10)], Path("results"), 41.0) == ["Si/states states 10/100 frames"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (90, "2 min"), (3570, "1 h 0 min"), (86400 * 3, "3 d 0 h")],
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_other_lines_appear_above_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    status = StatusLine(terminal)
    status.show("a status that is longer than the terminal")
    status.write("line\n")
    status.write("another\n")
    status.show("short")
    status.show("")
    assert terminal.getvalue() == ("\r\x1b[Ka status that is...\r\x1b[Kline\nanother\n\r\x1b[Kshort\r\x1b[K")


def watched(tmp_path: Path, stream: io.StringIO | StatusLine, works: list[Work]) -> None:
    for number, work in enumerate(works):
        (tmp_path / f"{number}.json").write_text(json.dumps(asdict(work)))
    stop = threading.Event()
    thread = threading.Thread(target=watch, args=(tmp_path, Path("results"), stream, stop, 0.01))
    thread.start()
    time.sleep(0.2)
    stop.set()
    thread.join()


def test_a_log_gets_a_line_only_where_something_is_new(tmp_path: Path) -> None:
    out = io.StringIO()
    watched(tmp_path, out, [a_work(done=10)])
    assert out.getvalue() == "progress: Si/states states 10/100 frames\n"


def test_a_quiet_folder_says_nothing(tmp_path: Path) -> None:
    for stream in (io.StringIO(), Terminal()):
        watched(tmp_path, stream, [])
        assert stream.getvalue() == ""


def test_a_log_gets_a_line_a_minute_at_most() -> None:
    assert progress_terminal.LINE_EVERY >= 60


def test_a_closed_terminal_ends_the_watching(tmp_path: Path) -> None:
    out = io.StringIO()
    out.close()
    watched(tmp_path, out, [a_work(done=10)])


def test_the_workflow_shows_a_status_on_a_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.setenv("TERM", "xterm")
    for stream, kind in ((Terminal(), StatusLine), (io.StringIO(), io.StringIO)):
        logger = logging.Logger("workflow")
        handler = logging.StreamHandler(stream)
        logger.addHandler(handler)
        stop = start(logger, Path("results"), tmp_path / "p")
        stop.set()
        assert type(handler.stream) is kind
        assert os.environ[FOLDER] == str(tmp_path / "p")
        logger.warning("said")
        assert stream.getvalue().endswith("said\n")


def test_a_logger_without_a_stream_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER, "")
    start(logging.Logger("workflow"), Path("results"), tmp_path / "p").set()
