"""Files of a run, plain or compressed, and the folders of frames."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest
import zstandard

from n2amd.dft.files import find_frame_folders, locate, read_bytes, read_text, require
from n2amd.errors import InputError

COMPRESS = {
    ".xz": lzma.compress,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}
CONTENT = bytes(range(256)) * 40


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_files_are_found_and_read(tmp_path, ending):
    file = tmp_path / f"a.HSX{ending}"
    file.write_bytes(COMPRESS[ending](CONTENT))
    assert locate(tmp_path, "*.HSX") == file
    assert read_bytes(file) == CONTENT


def test_text_that_was_edited_on_windows_is_the_same(tmp_path):
    file = tmp_path / "frame.fdf"
    file.write_bytes(b"\xef\xbb\xbfSystemLabel Si\r\nMeshCutoff 200 Ry\r\n")
    assert read_text(file) == "SystemLabel Si\nMeshCutoff 200 Ry\n"


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("keep", [0.5, 0.98])
def test_a_cut_file_is_refused(tmp_path, ending, keep):
    file = tmp_path / f"a.HSX{ending}"
    whole = COMPRESS[ending](CONTENT)
    file.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(InputError, match="cut or damaged") as caught:
        read_bytes(file)
    assert caught.value.file == file


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(
        InputError, match=r"no file \*\.HSX \(plain or compressed\) \(nor in the folder above\)"
    ):
        require(tmp_path / "frame", "*.HSX", remedy="run again", beside=True)


def test_plain_and_compressed_together_are_ambiguous(tmp_path):
    for name in ("a.HSX", "a.HSX.xz"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"2 files match \*\.HSX"):
        locate(tmp_path, "*.HSX")


def test_frames_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        folder = tmp_path / "set" / f"frame_{number}"
        folder.mkdir(parents=True)
        (folder / "x.HSX.zst").touch()
    found = find_frame_folders([tmp_path], ("*.HSX",), "an HSX file")
    assert [folder.name for folder in found] == ["frame_1", "frame_2", "frame_10"]
