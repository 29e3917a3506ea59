"""The fdf input of a run with the files it includes, by the rules of SIESTA's parse.F90 and fdf.F90."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from n2amd.dft.files import DECOMPRESSORS, locate, read_text
from n2amd.errors import InputError

#: SIESTA's name of a run whose input gives none.
DEFAULT_LABEL = "siesta"
#: A comment, a list, a string (which may lack its end), the sign of redirection, a word; the rest separates.
_TOKEN = re.compile(
    r"""(?P<comment>[!#;])
      | (?P<list>\[[^\]]*\]?)
      | (?P<quote>["'`])(?P<string>.*?)(?:(?P=quote)|$)
      | <
      | [\w$%&*+\-./@^|~][\w$%&*+\-./@^|~"'`]*""",
    re.VERBOSE | re.ASCII,
)
_RANGE = re.compile(r"(-?\d+)\s*(?:to|-{2,3}|:)\s*(-?\d+)(?:\s*step\s*(-?\d+))?", re.IGNORECASE)


class Block(str):
    """The lines of a block, as against the value of a label."""


def read_fdf(path: Path, within: tuple[Path, ...] = ()) -> dict[str, str]:
    """Read the labels of an fdf input, and its blocks (`Block`) with lines joined by newlines.

    Labels ignore case and the characters - _ . , and so does the key of the result; the first of several
    entries counts. Words are separated by anything that cannot be part of one, such as = : and commas; a
    list [1, 2 -- 5] is one word; a string loses its quotation marks. `%include FILE`, `%block LABEL < FILE`
    (the block of that name in the file, else the whole file) and `LABELS < FILE` are followed; a file that is
    not there is passed over, since a copied run often lacks it, and so is one of the files `within` which
    this one is read.

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
                entries.setdefault(block, Block("\n".join(content)))
                block = None
            else:
                content.append(" ".join(words))
        elif first == "%include" and len(words) > 1:
            if (target := _target(path, words[1], within)) is not None:
                entries = read_fdf(target, (path, *within)) | entries
        elif "<" in words[1:-1]:
            where = words.index("<", 1)
            entries = _redirected(path, words[:where], words[where + 1], within) | entries
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


def split_words(line: str) -> list[str]:
    """Split a line as SIESTA does: words, strings, lists and `<`; comments removed."""
    words = []
    for token in _TOKEN.finditer(line):
        if token["comment"]:
            break
        words.append(token["string"] if token["quote"] else token[0])
    return words


def read_list(text: str) -> list[float]:
    """Read a list such as [5 5 5], [1, 3 -- 7 step 2] or [0.5, 0.5].

    Raises
    ------
    ValueError
        If it is none, or holds something else than numbers and ranges.
    """
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"{text!r} is no list")
    numbers = list[float]()
    rest = text[1:-1]
    while rest := rest.strip(" \t,"):
        if found := _RANGE.match(rest):
            first, last, step = int(found[1]), int(found[2]), abs(int(found[3] or 1))
            if step == 0:
                raise ValueError(f"{found[0]!r} has no step")
            up = 1 if first <= last else -1
            numbers += range(first, last + up, up * step)
            rest = rest[found.end() :]
        else:
            word, _, rest = re.sub(r"[\s,]+", " ", rest).partition(" ")
            numbers.append(read_number(word))
    return numbers


def read_number(word: str) -> float:
    """Read a number as Fortran writes it, 1.0d0 included; raise `ValueError` where it is none."""
    return float(re.sub("[dD]", "e", word))


def read_logical(text: str | None) -> bool:
    """Read a logical value; a label by itself is true, one that is not there (None) false."""
    return text is not None and text.lower() in ("", "yes", "y", "true", ".true.", "t")


def _lines(path: Path) -> list[list[str]]:
    """Words of each line that has any."""
    return [words for line in read_text(path).splitlines() if (words := split_words(line))]


def _redirected(path: Path, words: list[str], name: str, within: tuple[Path, ...]) -> dict[str, str]:
    """Entries of `LABELS < FILE` or `%block LABEL < FILE`."""
    target = _target(path, name, within)
    if target is None:
        return {}
    labels = [_key(word) for word in words if word.lower() != "%block"]
    if words[0].lower() == "%block" and not any(
        line[0].lower() == "%block" and len(line) > 1 and _key(line[1]) == labels[0]
        for line in _lines(target)
    ):
        return {labels[0]: Block("\n".join(map(" ".join, _lines(target))))}
    outside = read_fdf(target, (path, *within))
    return {label: outside[label] for label in labels if label in outside}


def _target(path: Path, name: str, within: tuple[Path, ...]) -> Path | None:
    """File that an input names, in the folder of the run or in the input's own; None where there is none."""
    for folder in dict.fromkeys(((path, *within)[-1].parent, path.parent)):
        target = folder / name
        found = locate(target.parent, glob.escape(target.name))
        if found is not None:
            return None if found in (path, *within) else found
    return None


def _key(word: str) -> str:
    return re.sub(r"[-_.]", "", word.lower())


def system_label(folder: Path, path: Path) -> str:
    """SystemLabel of an input."""
    return read_fdf(path).get("systemlabel") or DEFAULT_LABEL


def find_input(folder: Path, label: str | None = None) -> list[Path]:
    """List the fdf inputs of a folder (of the run `label` only), without those that others include."""
    paths = sorted({path for end in ("", *DECOMPRESSORS) for path in folder.glob(f"*.fdf{end}")})
    included = {name for path in paths for name in _mentioned(path, ())}
    inputs = [p for p in paths if included.isdisjoint({p.name, p.name.removesuffix(p.suffix)})]
    return [p for p in inputs if label is None or system_label(folder, p) == label]


def _mentioned(path: Path, within: tuple[Path, ...]) -> set[str]:
    """Names of the files that an input includes or redirects to, and of those that these include."""
    names = set[str]()
    for words in _lines(path):
        if "<" in words or words[0].lower() == "%include":
            names |= {Path(word).name for word in words[1:]}
        if words[0].lower() == "%include" and len(words) > 1:
            target = _target(path, words[1], within)
            names |= set() if target is None else _mentioned(target, (path, *within))
    return names
