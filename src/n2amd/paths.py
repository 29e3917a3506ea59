"""Paths as a user writes them: home folders, variables, patterns; names in their natural order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

#: What file systems of Linux take: bytes of a name, and of a path with room for what is written below it.
LONGEST_NAME, LONGEST_PATH = 255, 3800
#: Names that a message lists at most.
NEAR_NAMES = 3


def natural(name: str) -> tuple[list[str], list[int], str]:
    """Key that sorts frame_2 before frame_10.

    Examples
    --------
    >>> sorted(["frame_10", "frame_2"], key=natural)
    ['frame_2', 'frame_10']
    """
    letters = re.sub(r"[0-9]", " ", name)
    return letters.split(), [int(digits) for digits in re.findall(r"[0-9]+", name)], name


def near_names(wanted: str, names: Iterable[str]) -> list[str]:
    """Return the names that a misspelt or forgotten one may stand for, the nearest first."""
    listed = list(dict.fromkeys(names))
    lower = {name.lower(): name for name in reversed(listed)}
    return [lower[found] for found in get_close_matches(wanted.lower(), lower, n=NEAR_NAMES)]


def is_named(path: Path, name: str) -> bool:
    """Tell whether a frame's folder goes by a name or pattern; with a `/` the folders above count too.

    Examples
    --------
    >>> is_named(Path("data/set_1/frame_0012"), "frame_00*")
    True
    >>> is_named(Path("data/set_1/frame_0012"), "set_2/frame_*")
    False
    """
    wanted = name.strip("/").split("/")
    found = path.absolute().parts[-len(wanted) :]
    return len(found) == len(wanted) and all(
        part == pattern or fnmatchcase(part, pattern) for part, pattern in zip(found, wanted)
    )


def folder_named(name: str, under: Sequence[Path]) -> Path:
    """Return the one folder of a name below others.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    folders = [Path(place) for top in under for place, _, _ in os.walk(top)]
    found = [folder for folder in folders if is_named(folder, name)]
    if not found:
        near = ", ".join(near_names(name, (folder.name for folder in folders)))
        where = ", ".join(map(str, under)) or "no path"
        raise ValueError(
            f"no frame {name!r} is in {where}"
            + (f"; did you mean {near}?" if near else "; name the folder of a frame (archives: unpack them)")
        )
    if len(found) > 1:
        both = " and ".join(map(str, found[:2]))
        raise ValueError(f"{len(found)} frames are called {name!r} ({both}); write the folder above it, too")
    return found[0]


def written_path(value: object) -> Path:
    """Return the path that a user wrote: `~` is the home folder, `$NAME` a variable of the environment.

    Raises
    ------
    ValueError
        If it is no text, empty, or names a variable that is not set.
    """
    if not isinstance(value, str | Path):
        raise ValueError("is no path; write a text in quotes")
    text = os.path.expandvars(os.path.expanduser(str(value)))
    if not text.strip():
        raise ValueError("is empty; name a path")
    if "\0" in text:
        raise ValueError("holds a character that no path may have")
    if text.startswith("~"):
        raise ValueError(f"is in the home folder of a user that is not known ({text.split('/')[0]})")
    if unset := re.search(r"\$(\w+|\{\w+\})", text):
        raise ValueError(f"names the variable {unset[0]}, which is not set; set it or write the path out")
    longest = max(len(os.fsencode(name)) for name in text.split("/"))
    if longest > LONGEST_NAME:
        raise ValueError(f"has a name of {longest} bytes; {LONGEST_NAME} are what a file may have")
    if len(os.fsencode(os.path.abspath(text))) > LONGEST_PATH:
        raise ValueError(f"is longer than {LONGEST_PATH} bytes; take a shorter path")
    return Path(text)


def place_of_results(path: Path) -> Path:
    """Return a path that the workflow can write below; some characters mean something else to it.

    Raises
    ------
    ValueError
        If it has one of them, or begins as an option does.
    """
    if found := re.search(r"[{}<>\x00-\x1f\x7f]", str(path)):
        raise ValueError(f"holds {found[0]!r}, which the workflow takes for something else; leave it out")
    if str(path).startswith("-"):
        raise ValueError("begins with a dash, as an option of a command does; take another name")
    return path


def expand_patterns(values: Sequence[object]) -> list[Path]:
    """Return the paths that a user listed, patterns (`*`, `?`, `[...]`, `**`) replaced by what they match.

    Parameters
    ----------
    values
        Paths and patterns. What exists under the very name that is written is no pattern.

    Returns
    -------
    paths
        In the order of the list; the matches of a pattern in natural order, hidden ones left out.

    Raises
    ------
    ValueError
        If a path is none (see `written_path`), a pattern matches nothing, or a path is there twice.
    """
    paths: dict[str, Path] = {}
    for value in values:
        try:
            path = written_path(value)
        except ValueError as error:
            raise ValueError(f"{value!r} {error}") from None
        found = [path]
        if glob.has_magic(str(path)) and not os.path.lexists(path):
            found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True), key=natural)]
            if not found:
                near = ", ".join(near_names(path.name, _beside(path)))
                raise ValueError(
                    f"the pattern {str(value)!r} matches nothing in {os.getcwd()}"
                    + (f"; did you mean {near}?" if near else "; correct it, or make the folder first")
                )
        for match in found:
            key = os.path.abspath(match)
            if key in paths:
                raise ValueError(f"{str(match)!r} is there twice; remove one of the two")
            paths[key] = match
    return list(paths.values())


def _beside(path: Path) -> list[str]:
    """Names in the folder of a path; none where there is no such folder."""
    try:
        return sorted(os.listdir(path.parent))
    except OSError:
        return []
