"""Hashes inside JSON documents and zip archives, and what a file says it was made from.

A hash of the content alone (not who made it and when) lets a file be moved, or made again with the same
numbers, and still be known as what a later file was made from.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from n2amd.errors import InputError

#: Part of an archive that holds its hashes, below the archive's own top folder.
SEAL = "n2amd.seal"
_CHANGED = "damaged or edited (it is not what was written)"
_MOST_JSON_BYTES = 1 << 28


def sealed_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Add hashes to the provenance of a JSON document: of its content, and of everything.

    Parameters
    ----------
    document
        As JSON gives it back: plain types, keys of text.
    """
    record = {**document["provenance"], "content_sha256": _digest(document, "provenance")}
    sealed = {**document, "provenance": record}
    record["sha256"] = _digest(sealed)
    return sealed


def require_sound_document(document: Mapping[str, Any], path: str | Path) -> None:
    """Check the hash in a JSON document; documents of before have none.

    Raises
    ------
    InputError
        If it is not what was written.
    """
    record = document.get("provenance")
    if not isinstance(record, dict) or "sha256" not in record:
        return
    bare = {key: value for key, value in record.items() if key != "sha256"}
    if _digest({**document, "provenance": bare}) != record["sha256"]:
        raise InputError(
            _CHANGED,
            file=path,
            remedy="delete it and run the stage that makes it again (or take `sha256` out of its "
            "`provenance`, if the change is yours)",
        )


def _digest(document: Mapping[str, Any], without: str = "") -> str:
    content = {key: value for key, value in document.items() if key != without}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def seal_archive(path: str | Path, content_sha256: str | None = None) -> None:
    """Write hashes into a zip archive, e.g. a network that torch wrote, as one more part.

    Parameters
    ----------
    path
        The archive.
    content_sha256
        Hash of what it holds but who made it and when; default: of all parts.
    """
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        whole = _digest_of_parts(archive)
        # torch wants all parts below one folder; a fixed date: the same content gives the same file
        top = archive.namelist()[0].split("/")[0]
        seal = zipfile.ZipInfo(f"{top}/{SEAL}", (1980, 1, 1, 0, 0, 0))
        archive.writestr(seal, json.dumps({"sha256": whole, "content_sha256": content_sha256 or whole}))


def require_sound_archive(path: str | Path, remedy: str) -> bool:
    """Check every part of a zip archive, and the hash in it.

    Parameters
    ----------
    path
        The archive.
    remedy
        What to do about a damaged one.

    Returns
    -------
    bool
        Whether there was a hash in it; without one only the checksums of zip were looked at.

    Raises
    ------
    InputError
        If it is not what was written.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if (part := archive.testzip()) is not None:
                raise InputError("damaged (a checksum fails)", file=path, field=part, remedy=remedy)
            seal = _seal(archive)
            if seal is not None and seal["sha256"] != _digest_of_parts(archive):
                raise InputError("damaged (it is not what was written)", file=path, remedy=remedy)
            return seal is not None
    except InputError:
        raise
    except OSError as error:
        if error.errno is None or error.strerror is None:
            raise InputError(f"damaged ({error})", file=path, remedy=remedy) from error
        raise InputError(
            f"cannot be read ({error.strerror})", file=path, remedy="pass a file that exists and may be read"
        ) from error
    except Exception as error:  # zipfile raises whatever its parsing meets
        raise InputError(f"damaged ({error})", file=path, remedy=remedy) from error


def _seal(archive: zipfile.ZipFile) -> dict[str, str] | None:
    names = [name for name in archive.namelist() if name.split("/")[-1] == SEAL]
    return {str(k): str(v) for k, v in json.loads(archive.read(names[0])).items()} if names else None


def _digest_of_parts(archive: zipfile.ZipFile) -> str:
    digest = hashlib.sha256()
    for name in sorted(archive.namelist()):
        if name.split("/")[-1] != SEAL:
            content = archive.read(name)
            digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def content_sha256(path: str | Path) -> str | None:
    """Return the hash of its content that a file of this program tells; None where it tells none.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as stream:
        start = stream.read(4)
    if start == b"\x89HDF":
        from n2amd import checksums

        return checksums.content_sha256(path)
    # what cannot be read so is damaged or another program's: its bytes count, and its readers will say it
    with suppress(ValueError, KeyError, TypeError, AttributeError, RuntimeError, zipfile.BadZipFile):
        if start == b"PK\x03\x04":
            with zipfile.ZipFile(path) as archive:
                seal = _seal(archive)
            return seal["content_sha256"] if seal else None
        if start[:1] == b"{" and Path(path).stat().st_size < _MOST_JSON_BYTES:
            found = json.loads(Path(path).read_bytes())["provenance"]["content_sha256"]
            return found if isinstance(found, str) else None
    return None


def require_made_from(file: str | Path, *sources: str | Path) -> None:
    """Refuse a file that was made from other files than those it is used with.

    What counts is their content: they may have been moved, or made again with the same numbers. Files of
    before do not tell what they were made from and pass.

    Parameters
    ----------
    file
        HDF5 file or JSON document of this program.
    sources
        Files that must be among those it was made from.

    Raises
    ------
    InputError
        Naming both.
    """
    from n2amd.provenance import sha256_of_file

    if not (known := made_from(file)):
        return
    for source in sources:
        if sha256_of_file(source) not in known:
            raise InputError(
                f"was not made from {source}, or from what was in it before",
                file=file,
                remedy="make it again from this file, or pass the one it was made from",
            )


def made_from(file: str | Path) -> list[str]:
    """Return the hashes of the files that a file was made from, in the order given; none if it is silent."""
    import h5py

    from n2amd.storage import open_any_hdf5, read_json

    if h5py.is_hdf5(file):
        with open_any_hdf5(file) as source:
            text = source.attrs.get("inputs")
        listed = json.loads(text) if isinstance(text, str) else None
    else:
        record = read_json(file).get("provenance")
        listed = record.get("inputs") if isinstance(record, dict) else None
    return [str(entry["sha256"]) for entry in listed or []]
