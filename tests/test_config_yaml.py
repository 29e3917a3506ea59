"""Files that are no configuration, or hardly one: a sentence each, or read as meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from n2amd.config.yaml import parse_yaml, read_yaml
from n2amd.errors import InputError

JOB = "materials:\n  Si:\n    structure: Größe.vasp\nsupercells: [1x1x1]\n"
READ = {"materials": {"Si": {"structure": "Größe.vasp"}}, "supercells": ["1x1x1"]}


@pytest.mark.parametrize(
    "content",
    [
        JOB.encode(),
        b"\xef\xbb\xbf" + JOB.encode(),
        JOB.replace("\n", "\r\n").encode(),
        JOB.replace("\n", "\r").encode(),
        JOB.encode("utf-16"),
        b"%YAML 1.1\n---\n" + JOB.encode() + b"...\n",
    ],
    ids=["plain", "BOM", "CRLF", "CR", "UTF-16", "directive"],
)
def test_what_editors_make_of_a_file_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "job.yaml").write_bytes(content)
    assert read_yaml(tmp_path / "job.yaml") == READ


def test_anchors_and_merged_keys_are_read() -> None:
    text = "a: &base {frames: 3, seed: 1}\nb:\n  <<: *base\n  seed: 2\n"
    assert parse_yaml(text, "job.yaml")["b"] == {"frames": 3, "seed": 2}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n",
            r"field 'c': the option is there twice, in lines 3 and 5; keep one",
        ),
        (b"1: a\n1: b\n", "field '1': the option is there twice"),
        (b"a:\n\tb: 1\n", r"not valid YAML near line 2 .*; indent with spaces instead of tabs"),
        (b"a: 1\nb:2\n", r"not valid YAML near line \d.*; put a space behind the colon"),
        (b"a:\n  - b\n  -c\nd: 1\n", r"not valid YAML near line \d.*; put a space behind the dash"),
        (b"a: 1\n---\nb: 2\n", "keep one document"),
        (b"a: [1\n", "not valid YAML near line"),
        (b"a: *nowhere\n", "not valid YAML near line 1 .found undefined alias"),
        (b"a: &a [*a]\n", "its aliases .* contain each other"),
        (b"a: !!python/object/apply:os.system ['true']\n", "not valid YAML near line 1"),
        (b"? [a, {b: 1}]\n: 2\n", "not valid YAML near line 1 .found unhashable key"),
        (
            b"a:\n  b: [1, 0500]\n",
            r"field 'a\.b\.1': 0500 .line 2. is 320 to YAML; write the plain number",
        ),
        (b"a: 50:00\n", r"field 'a': 50:00 .line 1. is 3000 to YAML"),
        (b"0042: 3\n", "job.yaml: 0042 .line 1. is 34 to YAML; .* a name in quotes"),
        (b"a: 2024-13-45\n", "not valid YAML .*; put quotes around the value"),
        (b"a: \xff\xfe\n", "is not written in UTF-8 .line 1 has the byte 0xff.; save it as UTF-8"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "is not written in UTF-8|binary"),
        (b"a\0b: 1\n", "is a binary file"),
        (b"a: \x07\n", "not valid YAML .*special characters are not allowed"),
        (b"[" * 5000, "is nested too deeply"),
    ],
)
def test_anything_else_is_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=sentence) as caught:
        read_yaml(file)
    assert caught.value.file == file
    assert "\n" not in str(caught.value)


def test_aliases_cannot_fill_the_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InputError, match="its aliases"):
        parse_yaml("\n".join(lines), "job.yaml")


def test_folders_and_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; pass a YAML file"):
        read_yaml(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        read_yaml(tmp_path / "absent.yaml")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be read \(Not a directory\)"):
        read_yaml(tmp_path / "file" / "job.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_yaml("x\0y")
    large = tmp_path / "large.yaml"
    large.write_bytes(b"")
    os.truncate(large, 2 * 10**7)
    with pytest.raises(InputError, match="is a file of 20 MB, no configuration"):
        read_yaml(large)
