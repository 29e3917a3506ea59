"""YAML as a configuration has it: one document, no key twice, and a sentence for whatever is wrong."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from n2amd.errors import InputError

#: A file longer than this is no configuration, bytes.
LARGEST_FILE = 10**7
#: Repeats by which YAML aliases may blow a document up.
LARGEST_DOCUMENT = 10**6
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: Octal, binary and base 60.
_OTHER_NUMBER = re.compile(r"[-+]?(?:0[0-7_]+|0b[01_]+|[\d_]+(?::\d+)+(?:\.\d*)?)")


class _RepeatedKeyError(yaml.YAMLError):
    def __init__(self, key: object, first: int, second: int) -> None:
        super().__init__(key)
        self.key, self.first, self.second = key, first, second


class _OtherNumberError(yaml.YAMLError):
    def __init__(self, place: tuple[str, ...], written: str, read: object, line: int) -> None:
        super().__init__(written)
        self.field, self.written, self.read, self.line = ".".join(place), written, read, line


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which would silently keep the last of two equal keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse keys that are there twice; those merged in by `<<` may be overridden."""
        lines: dict[Hashable, int] = {}
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            key = self.construct_object(key_node)
            line = key_node.start_mark.line + 1
            if isinstance(key, Hashable) and key in lines:
                raise _RepeatedKeyError(key, lines[key], line)
            lines[key] = line
        return super().construct_mapping(node, deep)


def _refuse_other_numbers(
    loader: _Loader, node: yaml.Node, seen: set[yaml.Node], place: tuple[str, ...] = ()
) -> None:
    """Refuse what YAML 1.1 silently reads as a number that nobody means: 0500 is 320, 50:00 is 3000."""
    if node in seen:  # an alias
        return
    seen.add(node)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _refuse_other_numbers(loader, key, seen, place)
            _refuse_other_numbers(loader, value, seen, (*place, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for position, value in enumerate(node.value):
            _refuse_other_numbers(loader, value, seen, (*place, str(position)))
    elif node.tag in _NUMBERS and _OTHER_NUMBER.fullmatch(node.value):
        read = loader.construct_object(node)
        raise _OtherNumberError(place, node.value, read, node.start_mark.line + 1)


def _document(text: str) -> Any:
    loader = _Loader(text)  # a safe loader
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_other_numbers(loader, node, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    InputError
        If it is missing, no text file in UTF-8, no YAML, or has a key twice.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError("is a folder", file=path, remedy="pass a YAML file")
    try:
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise InputError(
                f"is a file of {path.stat().st_size / 1e6:.0f} MB, no configuration",
                file=path,
                remedy="pass a YAML file",
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError(
            "the configuration file does not exist", file=path, remedy="check the path"
        ) from None
    except (OSError, ValueError) as error:  # no right to read, or no name of a file
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot be read ({reason})", file=path, remedy="pass a YAML file") from None
    return parse_yaml(_text(content, path), path)


def _text(content: bytes, path: Path) -> str:
    try:
        if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # Windows editors call this "Unicode"
            return content.decode("utf-16")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            f"is not written in UTF-8 (line {line} has the byte 0x{content[error.start]:02x})",
            file=path,
            remedy="save it as UTF-8 text",
        ) from None
    if "\0" in text:
        raise InputError("is a binary file", file=path, remedy="pass a YAML file")
    return text


def parse_yaml(text: str, path: str | Path) -> Any:
    """Read YAML from a text; `path` is its name in messages.

    Raises
    ------
    InputError
        If it is no YAML, or has a key twice.
    """
    try:
        document = _document(text)
    except _RepeatedKeyError as error:
        raise InputError(
            f"the option is there twice, in lines {error.first} and {error.second}",
            file=path,
            field=str(error.key),
            remedy="keep one of the two: the first would be ignored",
        ) from None
    except _OtherNumberError as error:
        raise InputError(
            f"{error.written} (line {error.line}) is {error.read} to YAML",
            file=path,
            field=error.field or None,
            remedy="write the plain number, without a 0 before it or a colon in it; a name in quotes",
        ) from None
    except yaml.YAMLError as error:
        raise InputError(_complaint(error, text), file=path, remedy=_remedy(error, text)) from None
    except RecursionError:
        raise InputError(
            "is nested too deeply for a configuration", file=path, remedy="see docs/configuration.md"
        ) from None
    except ValueError as error:  # of a date such as 2024-13-45
        raise InputError(
            f"not valid YAML ({error})", file=path, remedy="put quotes around the value"
        ) from None
    if _size(document) > LARGEST_DOCUMENT:
        raise InputError("its aliases (*) contain each other", file=path, remedy="write the values out")
    return document


def _line(error: yaml.YAMLError) -> int | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return None if mark is None else mark.line + 1


def _complaint(error: yaml.YAMLError, text: str) -> str:
    line = _line(error)
    where = f" near line {line}" if line else ""
    said = getattr(error, "problem", None) or getattr(error, "reason", None)
    return f"not valid YAML{where}" + (f" ({' '.join(str(said).split())})" if said else "")


def _remedy(error: yaml.YAMLError, text: str) -> str:
    line, lines = _line(error), text.splitlines()
    near = lines[max(line - 3, 0) : line] if line else []  # the parser sees some faults a line later
    if any(re.match(r"[ ]*\t", shown) for shown in near):
        return "indent with spaces instead of tabs"
    if "a single document" in str(getattr(error, "context", "")):
        return "keep one document: remove the line `---` in its middle"
    if any(re.match(r"\s*-[^\s-]", shown) for shown in near):
        return "put a space behind the dash"
    if any(re.match(r"\s*[\w-]+:[^\s:]", shown) for shown in near):
        return "put a space behind the colon"
    return "correct the indentation or quoting"


def _size(document: Any, above: tuple[int, ...] = (), budget: int = LARGEST_DOCUMENT) -> int:
    """Number of values of a document, aliases written out; past the budget where one holds itself."""
    if not isinstance(document, dict | list):
        return 1
    if id(document) in above:
        return LARGEST_DOCUMENT + 1
    count = 1
    for value in document.values() if isinstance(document, dict) else document:
        count += _size(value, (*above, id(document)), budget - count)
        if count > budget:
            return LARGEST_DOCUMENT + 1
    return count
