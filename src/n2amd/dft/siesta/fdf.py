"""The fdf input of a run, with the files it includes."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from n2amd.dft.files import DECOMPRESSORS, locate, read_text
from n2amd.errors import InputError

#: SIESTA's name of a run whose input gives none.
DEFAULT_LABEL = "siesta"


def read_fdf(path: Path, within: tuple[Path, ...] = ()) -> dict[str, str]:
    """Read the keys of an fdf input, and its blocks with lines joined by newlines.

    fdf ignores case and the characters - _ . in keys, and so does the key of the result; the first of several
    entries counts. `%include FILE`, `%block LABEL < FILE` and `KEYS < FILE` are followed; a file that is not
    there is passed over, since a copied run often lacks it, and so is one of the files `within` which this
    one is read.

    Raises
    ------
    InputError
        If the file ends inside a block.
    """
    entries: dict[str, str] = {}
    block, content = None, list[str]()
    for words in _lines(path):
        first = words[0].lower()
        if block is not None:
            if first == "%endblock":
                entries.setdefault(block, "\n".join(content))
                block = None
            else:
                content.append(" ".join(words))
        elif first == "%include" and len(words) > 1:
            entries = _included(path, words[1], within) | entries
        elif "<" in words:
            where = words.index("<")
            outside = _included(path, words[where + 1], within) if where + 1 < len(words) else {}
            keys = [_key(word) for word in words[:where] if word.lower() != "%block"]
            entries = {key: outside[key] for key in keys if key in outside} | entries
        elif first == "%block" and len(words) > 1:
            block, content = _key(words[1]), []
        else:
            entries.setdefault(_key(words[0]), " ".join(words[1:]))
    if block is not None:
        raise InputError(
            f"the input ends inside %block {block}",
            file=path,
            field=block,
            remedy="the file is cut: copy it again from the run",
        )
    return entries


def _lines(path: Path) -> Iterator[list[str]]:
    """Yield the words of each line, comments removed."""
    for line in read_text(path).splitlines():
        if words := re.split(r"[#!;]", line)[0].replace("<", " < ").split():
            yield words


def _included(path: Path, name: str, within: tuple[Path, ...]) -> dict[str, str]:
    """Entries of a file that an input names, relative to the input's own folder."""
    target = path.parent / name.strip("\"'")
    found = locate(target.parent, glob.escape(target.name))
    return {} if found is None or found in (path, *within) else read_fdf(found, (path, *within))


def _key(word: str) -> str:
    return re.sub(r"[-_.]", "", word.lower())


def system_label(folder: Path, path: Path) -> str:
    """SystemLabel of an input."""
    return read_fdf(path).get("systemlabel") or DEFAULT_LABEL


def find_input(folder: Path, label: str | None = None) -> list[Path]:
    """List the fdf inputs of a folder (of the run `label` only), without those that others include."""
    paths = sorted({path for end in ("", *DECOMPRESSORS) for path in folder.glob(f"*.fdf{end}")})
    included = {
        word.strip("\"'")
        for path in paths
        for words in _lines(path)
        if "<" in words or words[0].lower() == "%include"
        for word in words[1:]
    }
    inputs = [p for p in paths if included.isdisjoint({p.name, p.name.removesuffix(p.suffix)})]
    return [p for p in inputs if label is None or system_label(folder, p) == label]
