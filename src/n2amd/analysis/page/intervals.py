"""Lifetimes with their intervals as small drawings on a logarithmic axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from n2amd.analysis.tables import time_text

Case = dict[str, Any]
#: Width and height of a bar with its axis, and of a bar in a table, in pixels.
WIDTH, HEIGHT = 460, 60
ROW_WIDTH, ROW_HEIGHT = 170, 18
#: Powers of ten between which there is room for words.
_MOST_TICKS = 6
#: Of an axis with words, and of one without.
_MARGIN, _NARROW = 24, 6


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis of lifetimes, from and to powers of ten of a ns, between margins in pixels."""

    first: int
    last: int
    width: float
    margin: float

    def at(self, lifetime_ns: float) -> float:
        """Place of a lifetime, held within the axis."""
        if lifetime_ns <= 0:
            return self.margin
        share = (math.log10(lifetime_ns) - self.first) / (self.last - self.first)
        return self.margin + (self.width - 2 * self.margin) * min(max(share, 0.0), 1.0)


def axis_of(cases: list[Case], width: float = ROW_WIDTH, margin: float = _NARROW) -> Axis:
    """Return the axis on which the intervals of all cases lie."""
    ends = [
        end
        for case in cases
        for end in (case["lifetime_ns"][key] for key in ("value", "low", "high"))
        if end is not None and end > 0
    ]
    first = math.floor(math.log10(min(ends, default=1.0)))
    last = math.ceil(math.log10(max(ends, default=1.0)))
    return Axis(first, max(last, first + 1), width, margin)


def interval_bar(case: Case) -> str:
    """Return the interval of one case, its value, the estimate, and tau +- 1 fs, with the axis."""
    axis = axis_of([case], WIDTH, _MARGIN)
    quoted, band = case["lifetime_ns"], case["tau_band_ns"]
    y = 16
    parts = [f'<path class="axis" d="M{_MARGIN} 34H{WIDTH - _MARGIN}"/>']
    step = math.ceil((axis.last - axis.first) / _MOST_TICKS)
    for power in range(axis.first, axis.last + 1, step):
        x = axis.at(10.0**power)
        parts.append(f'<path class="axis" d="M{x:.1f} 31v6"/>')
        parts.append(f'<text x="{x:.1f}" y="52">{time_text(10.0**power)}</text>')
    parts.append(_bar(axis, quoted["low"], quoted["high"], y, "span", 10))
    parts.append(_bar(axis, band["low"], band["high"], y, "band", 10))
    if case["estimate_ns"] > 0:
        x = axis.at(case["estimate_ns"])
        parts.append(f'<path class="estimate" d="M{x:.1f} {y - 6}l6 6l-6 6l-6 -6z"/>')
    parts.append(f'<circle cx="{axis.at(quoted["value"]):.1f}" cy="{y}" r="6"/>')
    return _svg(WIDTH, HEIGHT, "interval", "Lifetime with its interval", parts)


def interval_row(case: Case, axis: Axis) -> str:
    """Return the interval of one case without an axis of its own, for a row of a table."""
    quoted, y = case["lifetime_ns"], ROW_HEIGHT / 2
    parts = [
        _bar(axis, quoted["low"], quoted["high"], y, "span", 6),
        f'<circle cx="{axis.at(quoted["value"]):.1f}" cy="{y:g}" r="4"/>',
    ]
    return _svg(ROW_WIDTH, ROW_HEIGHT, "interval row", "Lifetime on a common logarithmic scale", parts)


def _bar(axis: Axis, low: float | None, high: float | None, y: float, kind: str, height: float) -> str:
    """Draw from one end to the other; an open end goes to the end of the axis."""
    left = axis.at(low) if low else axis.margin
    right = axis.width - axis.margin if high is None else axis.at(high)
    wide = max(right - left, 1.0)
    return (
        f'<rect class="{kind}" x="{left:.1f}" y="{y - height / 2:g}" width="{wide:.1f}" '
        f'height="{height:g}" rx="{height / 2:g}"/>'
    )


def _svg(width: float, height: float, kind: str, told: str, parts: list[str]) -> str:
    return (
        f'<svg class="{kind}" role="img" aria-label="{told}" viewBox="0 0 {width:g} {height:g}">'
        f"{''.join(parts)}</svg>"
    )
