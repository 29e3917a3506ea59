"""What pydantic finds wrong with a configuration, in sentences: option, value, remedy, and what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from n2amd.config.meant import number_meant, usual_name
from n2amd.config.section import Section
from n2amd.errors import InputError
from n2amd.paths import near_names

#: Longest value that is shown.
SHOWN = 60
#: Likeness from which an option is a misspelt one rather than one of another section.
MISSPELT = 0.8
PAGE = "docs/configuration.md"

Entry = Mapping[str, Any]
Place = tuple[str | int, ...]


def faults_of(
    error: ValidationError,
    model: type[Section],
    document: Any,
    file: str | None,
    above: Place = (),
    sections: Mapping[str, type[Section]] | None = None,
) -> list[InputError]:
    """Return a sentence for each option that is wrong.

    Parameters
    ----------
    error
        Of `model.model_validate(document)`.
    model, document
        What was to be read, and from what.
    file
        Its name in messages.
    above
        Place of the document in the whole configuration.
    sections
        Sections by name, to tell in which of them a misplaced option belongs.
    """
    by_place: dict[Place, list[Entry]] = {}
    for entry in error.errors(include_url=False):
        by_place.setdefault(_place(entry, document), []).append(entry)
    found = []
    for place, entries in by_place.items():
        problem, remedy = _told(place, entries, model, sections or {})
        field = ".".join(map(str, (*above, *place))) or "(top level)"
        found.append((entries[0], InputError(problem, file=file, field=field, remedy=remedy)))
    # a misspelt option explains the one that seems to be missing
    unknown = [error for entry, error in found if entry["type"] == "extra_forbidden"]
    missing = [error for entry, error in found if entry["type"] == "missing"]
    meant = {error.remedy for error in unknown}
    missing = [error for error in missing if f"did you mean {str(error.field).split('.')[-1]}?" not in meant]
    others = [error for entry, error in found if entry["type"] not in ("extra_forbidden", "missing")]
    return [*unknown, *missing, *others]


def _place(entry: Entry, document: Any) -> Place:
    """Place of an error without what pydantic adds to it: the branches of unions."""
    place: list[str | int] = []
    here = document
    for position, part in enumerate(entry["loc"]):
        last = position == len(entry["loc"]) - 1
        if (isinstance(here, Mapping) and part in here) or (
            isinstance(here, Sequence) and isinstance(part, int) and part < len(here)
        ):
            if isinstance(here, Mapping):  # a key that is true or false comes as 1 or 0
                part = next(key for key in here if key == part)
            here = here[part]
            place.append(part)
        elif last and entry["type"] in ("missing", "extra_forbidden"):
            place.append(part)
    return tuple(place)


def _told(
    place: Place, entries: list[Entry], model: type[Section], sections: Mapping[str, type[Section]]
) -> tuple[str, str]:
    """Problem and remedy of one option; several entries are the branches of a union."""
    entry = entries[0]
    kind, value, context = entry["type"], entry.get("input"), entry.get("ctx", {})
    holder, field = _holder_and_field(model, place)
    if kind == "extra_forbidden":
        return _unknown_option(str(place[-1]), holder, sections)
    if kind == "missing":
        if isinstance(place[-1], int):
            return f"{_shown(value)} has too few entries", _example(field)
        what = _meaning(field)
        return "is missing", f"add it ({what})" if what else f"add it, see {PAGE}"
    if value is None and entry["loc"][-1:] != ("[key]",):
        needed = field is not None and field.is_required()
        give = "give one" if needed else "give one, or leave the line out"
        return "has no value", f"{give}; {_example(field)}"
    if kind in ("value_error", "assertion_error"):
        said, _, remedy = entry["msg"].removeprefix("Value error, ").rpartition("; ")
        if not said:
            said, remedy = remedy, _example(field)
        about_value = (
            said.startswith(("is ", "holds ", "names ", "has ", "begins "))
            and value != ""
            and not isinstance(value, Mapping)
        )
        return f"{_shown(value)} {said}" if about_value else said, remedy
    if kind in ("literal_error", "union_tag_invalid"):
        key = "expected" if kind == "literal_error" else "expected_tags"
        choices = re.findall(r"'([^']+)'", context[key])
        value = context["tag"] if kind == "union_tag_invalid" else value
        near = near_names(str(value), choices)
        remedy = f"did you mean {near[0]}?" if near else "choose one of them"
        return f"{_shown(value)} is none of {', '.join(choices)}", remedy
    if kind == "union_tag_not_found":
        return "does not say which program", "add `program: cp2k` or `program: pyscf`"
    if entry["loc"][-1:] == ("[key]",):
        return (
            f"the name {_shown(value)} "
            + ("is no text" if kind == "string_type" else "may have letters, digits and - only"),
            "put it in quotes (YAML takes no, off, yes and on for truth values)"
            if kind == "string_type"
            else "give it another name",
        )
    return _wrong_value(entries, field)


def _wrong_value(entries: list[Entry], field: FieldInfo | None) -> tuple[str, str]:
    """Problem and remedy of a value of the wrong kind or out of bounds."""
    entry = entries[0]
    kind, value, context = entry["type"], entry.get("input"), entry.get("ctx", {})
    bounds = {
        "greater_than": ("gt", "above"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "below"),
        "less_than_equal": ("le", "at most"),
    }
    if kind in bounds:
        name, words = bounds[kind]
        return f"is {_shown(value)}, must be {words} {_shown(context[name])}", _example(field)
    if kind in ("too_short", "string_too_short") and not value:
        return "is empty: at least one is needed", _example(field)
    if kind in ("too_short", "too_long"):
        least = kind == "too_short"
        limit = context["min_length" if least else "max_length"]
        return (
            f"{_shown(value)} has too {'few' if least else 'many'} entries "
            f"(at {'least' if least else 'most'} {limit})",
            _example(field),
        )
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} may have letters, digits and - only", "give it another name"
    wanted = dict.fromkeys(_kind_in_words(e["type"]) for e in entries if e["type"] != "missing")
    if kind.startswith("list") and isinstance(value, str | int | float):
        return f"{_shown(value)} is no list", f"write [{value}]"
    if kind.startswith("list") and isinstance(value, Mapping):
        return f"{_shown(value)} is no list", "put `- ` before its first line, two blanks before the others"
    if isinstance(value, str) and (written := _number_to_write(value, entries)):
        return f"{_shown(value)} is no {' and no '.join(wanted)}", written
    return f"{_shown(value)} is no {' and no '.join(wanted)}", _example(field)


def _number_to_write(value: str, entries: list[Entry]) -> str | None:
    """How a text is written that was to be a number; None where none was wanted, or it is none."""
    kinds = [entry["type"] for entry in entries]
    if not any(kind.startswith(("int", "float", "finite")) for kind in kinds):
        return None
    return number_meant(value, whole=any(kind.startswith("int") for kind in kinds))


def _kind_in_words(kind: str) -> str:
    """What a value should have been."""
    if kind.startswith("int"):
        return "whole number"
    if kind.startswith(("float", "finite")):
        return "number"
    words = {
        "string": "text",
        "list": "list, as in [a, b]",
        "tuple": "list, as in [a, b]",
        "dict": "mapping of names to values",
        "model": "section with options",
        "path": "path",
    }
    return words.get(kind.split("_")[0], "valid value")


def _unknown_option(
    name: str, holder: type[Section] | None, sections: Mapping[str, type[Section]]
) -> tuple[str, str]:
    known = holder.model_fields if holder else {}
    elsewhere = [place for place, model in sections.items() if name in model.model_fields and model != holder]
    if meant := usual_name(name, known):
        return "there is no such option", f"did you mean {meant}?"
    if near := get_close_matches(name, known, n=1, cutoff=MISSPELT):
        return "there is no such option", f"did you mean {near[0]}?"
    if elsewhere:
        return (
            "there is no such option here",
            f"it is an option of {' and of '.join(elsewhere)}: put it there",
        )
    everywhere = [field for model in sections.values() for field in model.model_fields]
    if near := near_names(name, known) or near_names(name, everywhere):
        return "there is no such option", f"did you mean {near[0]}?"
    return "there is no such option", f"look it up in {PAGE}"


def _example(field: FieldInfo | None) -> str:
    """Remedy that shows what may stand there: the default, or what the option means."""
    if field is None:
        return f"correct it, see {PAGE}"
    default = field.default
    if isinstance(default, str | int | float | list | tuple) and default != []:
        shown = list(default) if isinstance(default, tuple) else default
        shown = str(shown).lower() if isinstance(shown, bool) else shown
        return f"correct it (default: {shown})"
    what = _meaning(field)
    return f"correct it ({what})" if what else f"correct it, see {PAGE}"


def _meaning(field: FieldInfo | None) -> str:
    """Beginning of the description of an option."""
    what = re.split(r"[;:(]", field.description or "" if field else "")[0].strip().rstrip(".,")
    return f"{what[:1].lower()}{what[1:]}"


def _shown(value: object) -> str:
    """A value as YAML has it, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _holder_and_field(model: type[Section], place: Place) -> tuple[type[Section] | None, FieldInfo | None]:
    """Section that holds an option, and the option's description; None where there is none."""
    holders: list[Any] = [model]
    holder, field = None, None
    for part in place:
        sections = [kind for kind in _kinds(holders) if isinstance(kind, type) and issubclass(kind, Section)]
        if sections:
            holder = next((s for s in sections if part in s.model_fields), sections[0])
            field = holder.model_fields.get(str(part))
            holders = [] if field is None else [field.annotation]
        else:
            holders = [argument for kind in _kinds(holders) for argument in get_args(kind)[-1:]]
    return holder, field


def _kinds(annotations: Sequence[Any]) -> Iterator[Any]:
    """Types that annotations stand for, unions and what is annotated taken apart."""
    for annotation in annotations:
        origin = get_origin(annotation)
        if origin is Annotated:
            yield from _kinds(get_args(annotation)[:1])
        elif origin in (Union, UnionType):
            yield from _kinds(get_args(annotation))
        else:
            yield annotation
