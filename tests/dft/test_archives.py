from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard

from n2amd.dft.archives import archive_suffix, unpack
from n2amd.errors import InputError

COMPRESSED = {
    ".tar": lambda data: data,
    ".tar.xz": lzma.compress,
    ".txz": lzma.compress,
    ".tar.gz": gzip.compress,
    ".tar.bz2": bz2.compress,
    ".tar.zst": zstandard.compress,
}


def tar_of(members: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), 1_700_000_000
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


MEMBERS = {f"set/frame_{n}/a.EIG": bytes([n]) * 3000 for n in range(4)}


def write_archive(path: Path, members: dict) -> None:
    suffix = archive_suffix(path)
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        path.write_bytes(COMPRESSED[suffix](tar_of(members)))


@pytest.mark.parametrize("suffix", [*COMPRESSED, ".zip"])
def test_every_kind_of_archive_is_unpacked(suffix: str, tmp_path: Path) -> None:
    write_archive(tmp_path / f"frames{suffix}", MEMBERS)
    unpack(tmp_path / f"frames{suffix}", tmp_path / "out")
    found = {
        str(file.relative_to(tmp_path / "out")): file.read_bytes()
        for file in (tmp_path / "out").rglob("*.EIG")
    }
    assert found == MEMBERS


def test_other_names_are_no_archives() -> None:
    assert archive_suffix(Path("TiO2.HSX.xz")) is None
    assert archive_suffix(Path("frame_0001")) is None
    assert archive_suffix(Path("FRAMES.TAR.XZ")) == ".tar.xz"


@pytest.mark.parametrize("suffix", [*COMPRESSED, ".zip"])
def test_half_an_archive_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"frames{suffix}"
    write_archive(path, MEMBERS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="cut or damaged") as caught:
        unpack(path, tmp_path / "out")
    assert caught.value.file == path
    assert not (tmp_path / "out").exists()


def test_a_cut_between_two_members_is_seen(tmp_path: Path) -> None:
    """tarfile alone takes it for the end, and would lose frames in silence."""
    path = tmp_path / "frames.tar"
    path.write_bytes(tar_of(MEMBERS)[: 2 * (512 + 3072)])
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) == 2
    with pytest.raises(InputError, match="the mark at its end is missing"):
        unpack(path, tmp_path / "out")


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def device(name: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.CHRTYPE
    return entry


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("../escaped", b"x"),
        ("set/../../escaped", b"x"),
        ("/tmp/n2amd-escaped", b"x"),
        ("link", link("link", "../..")),
        ("link", link("link", "/etc/passwd")),
        ("hard", link("hard", "../escaped", tarfile.LNKTYPE)),
        ("null", device("null")),
    ],
)
def test_a_member_that_escapes_is_refused(name: str, member: bytes | tarfile.TarInfo, tmp_path: Path) -> None:
    path = tmp_path / "frames.tar"
    write_archive(path, {**MEMBERS, name: member})
    with pytest.raises(InputError, match="the archive's member") as caught:
        unpack(path, tmp_path / "in" / "out")
    assert name in str(caught.value)
    assert not (tmp_path / "in" / "out").exists()
    assert not (tmp_path / "escaped").exists()
    shutil.rmtree(tmp_path / "in")


@pytest.mark.parametrize("name", ["../escaped", "/tmp/n2amd-escaped", "C:/escaped", "a\\..\\..\\escaped"])
def test_a_zip_member_that_escapes_is_refused(name: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "frames.zip", {name: b"x"})
    with pytest.raises(InputError, match="would leave the folder"):
        unpack(tmp_path / "frames.zip", tmp_path / "in" / "out")
    assert not (tmp_path / "escaped").exists()
