"""What is said of cases that a run could not finish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from n2amd.analysis.tables import write_tables
from n2amd.analysis.withheld import Withheld, ends_with_sentence, last_words, read_withheld
from n2amd.errors import InputError

CASE = Withheld("Si", "2x2x2", "pbe", "run_trajectory", "it blew up <at> frame 7", "results/logs/a.log")


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("step 1\nerror: too hot; cool it\n", "too hot; cool it"),
        ("error: too hot\nslurmstepd: job cancelled\n\n", "too hot"),
        ("step 1\nKilled\n", "Killed"),
        ("", "it ended without a word (out of memory or time?)"),
        (None, "it ended without a word (out of memory or time?)"),
        (b"\xff\xfe step\nerror: binary \xff noise\n", "binary \ufffd noise"),
    ],
)
def test_last_words(tmp_path: Path, log: str | bytes | None, said: str) -> None:
    file = tmp_path / "job.log"
    if log is not None:
        file.write_bytes(log if isinstance(log, bytes) else log.encode())
    assert last_words(file) == said
    assert ends_with_sentence(file) == (log is not None and "error: " in str(log))


def test_the_page_of_tables_names_them(tmp_path: Path) -> None:
    file = tmp_path / "withheld.json"
    file.write_text(json.dumps([CASE.document()]))
    assert read_withheld(file) == [CASE.document()]
    write_tables(tmp_path, {"cases": [], "scaling": [], "withheld": read_withheld(file)})
    page = (tmp_path / "tables.html").read_text()
    assert "Cases that are not finished" in page
    assert "it blew up &lt;at&gt; frame 7" in page
    assert CASE.sentence() == "Si pbe 2x2x2 is not finished at run_trajectory: it blew up <at> frame 7"


@pytest.mark.parametrize("text", ["", "{}x", "[1]", '[{"material": "Si"}]', "7"])
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "withheld.json"
    file.write_text(text)
    with pytest.raises(InputError, match="holds no list of cases"):
        read_withheld(file)
