"""The figures of a job as HTML: found by the layout of the results folder, held in the page itself."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from n2amd.analysis.page.captions import STAGES, Caption
from n2amd.errors import InputError

Case = dict[str, Any]

#: Bytes of figures that a page holds; a browser on a phone still opens it.
MOST_BYTES = 30_000_000
#: Width over height from which a figure takes the whole width of the page.
WIDE = 1.7
_SIZE = re.compile(rb'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')


@dataclass(frozen=True)
class Figure:
    """A figure that is there.

    Attributes
    ----------
    stage
        Of the page.
    caption
        Its words.
    belongs_to
        Material, functional and supercell, as far as they tell it apart.
    path
        The SVG.
    """

    stage: str
    caption: Caption
    belongs_to: str
    path: Path


def figures_of(results: Path, cases: list[Case]) -> list[Figure]:
    """Find the figures of all cases, those of the first case first and each once.

    Parameters
    ----------
    results
        Folder of the results.
    cases
        Of the summary. Figures of cases that are not in it are left alone.
    """
    found: dict[Path, Figure] = {}
    for case in cases:
        for stage, captions in STAGES.items():
            for what, caption in captions.items():
                for folder, name in _places(case, caption):
                    path = results / folder / "figures" / f"{what}.svg"
                    if path.is_file():
                        found.setdefault(path, Figure(stage, caption, name, path))
    return list(found.values())


def _places(case: Case, caption: Caption) -> Iterator[tuple[Path, str]]:
    """Folder below the results, and what the figure in it belongs to."""
    material, supercell, variant = (case[key] for key in ("material", "supercell", "functional"))
    functional = variant.split("+")[0]
    if caption.scope == "model":
        yield Path(material, functional), f"{material} {functional}"
    elif caption.scope == "supercell":
        yield Path(material, supercell), f"{material} {supercell}"
    else:
        # a scissor variant shares its couplings with the functional
        for name in dict.fromkeys((functional, variant)):
            yield Path(material, supercell, name), f"{material} {name} {supercell}"


def within_limit(figures: list[Figure], most: int = MOST_BYTES) -> list[Figure]:
    """Keep the first figures, up to so many bytes."""
    kept, total = [], 0
    for figure in figures:
        total += figure.path.stat().st_size
        if total > most:
            break
        kept.append(figure)
    return kept


def stage_sections(figures: list[Figure], number: int) -> str:
    """Return one section a stage, in the order of the stages; `number` counts the figures from there."""
    parts = []
    for stage, captions in STAGES.items():
        here = [figure for figure in figures if figure.stage == stage]
        # each kind of figure together, so that cases are beside each other
        order = list(captions.values())
        here.sort(key=lambda figure: order.index(figure.caption))
        if not here:
            continue
        shown = "".join(
            # of several of one kind the first tells what is seen
            figure_html(figure, number + k, told=not k or figure.caption != here[k - 1].caption)
            for k, figure in enumerate(here)
        )
        number += len(here)
        parts.append(
            f'<section id="{anchor(stage)}"><h2>{html.escape(stage)}</h2>'
            f'<div class="figures">{shown}</div></section>'
        )
    return "\n".join(parts)


def anchor(title: str) -> str:
    """Return the name of a section's anchor."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


def figure_html(figure: Figure, number: int, *, told: bool = True) -> str:
    """Return a figure with its number and title, and with its caption if `told`."""
    try:
        content = figure.path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", file=figure.path, remedy="draw the figure again"
        ) from error
    size = _SIZE.search(content)
    wide = size is None or float(size[1]) >= WIDE * float(size[2])
    data = base64.b64encode(content).decode()
    title, text, owner = map(html.escape, (figure.caption.title, figure.caption.text, figure.belongs_to))
    return (
        f'<figure class="{"wide" if wide else "narrow"}"><div class="scroll">'
        f'<img alt="{title}, {owner}" src="data:image/svg+xml;base64,{data}"></div>'
        f"<figcaption><b>Fig. {number}. {title}</b> <span>{owner}</span>{f'<br>{text}' if told else ''}"
        "</figcaption></figure>"
    )
