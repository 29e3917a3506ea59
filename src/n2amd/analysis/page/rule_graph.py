"""The rules of a job and what feeds what, drawn as SVG from the graph that Snakemake writes."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from n2amd.errors import InputError

_NODE = re.compile(r'^\s*(\d+)\[label = "([^"]+)"', re.MULTILINE)
_EDGE = re.compile(r"^\s*(\d+) -> (\d+)", re.MULTILINE)
#: Width and height of a box, and of the space from one layer or box to the next, in pixels.
_BOX, _HIGH, _ACROSS, _DOWN = 172, 30, 196, 62
#: Width that an arrow past a box takes.
_PAST = 28
_SWEEPS = 8

#: A rule, or the place of an arrow (from, to, layer) in a layer that it passes.
Node = str | tuple[str, str, int]


def read_graph(dot: Path) -> dict[str, set[str]]:
    """Read what `snakemake --rulegraph dot` wrote: for each rule those that it takes files from.

    `all` and the rules that draw figures are left out: nothing follows from them.

    Raises
    ------
    InputError
        If the file is missing or holds no rule.
    """
    try:
        text = dot.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read ({error})", file=dot, remedy="write it with `snakemake --rulegraph dot`"
        ) from error
    names = dict(_NODE.findall(text))
    kept = {key: name for key, name in names.items() if name != "all" and not name.startswith("draw_")}
    if not kept:
        raise InputError(
            "holds no rule but those that draw", file=dot, remedy="write it with `snakemake --rulegraph dot`"
        )
    graph: dict[str, set[str]] = {name: set() for name in kept.values()}
    for source, target in _EDGE.findall(text):
        if source in kept and target in kept:
            graph[kept[target]].add(kept[source])
    return graph


def draw_graph(graph: Mapping[str, set[str]]) -> str:
    """Draw the rules in layers, each below all that it needs; arrows that others imply are left out.

    Parameters
    ----------
    graph
        For each rule those that it takes files from. Where rules repeat (rounds of active learning), the
        arrows that close a circle are dashed.
    """
    forward, back = _without_circles(graph)
    direct = _reduced(forward)
    layers, ways = _layers_and_ways(direct)
    place, width = _places(layers, ways)
    height = _DOWN * len(layers)
    arrows = [_way([place[node] for node in way]) for way in ways]
    boxes = []
    for rule in direct:
        x, y = place[rule]
        name = html.escape(rule.replace("_", " "))
        boxes.append(
            f'<rect x="{x - _BOX / 2:g}" y="{y:g}" width="{_BOX}" height="{_HIGH}" rx="6"/>'
            f'<text x="{x:g}" y="{y + _HIGH / 2 + 4:g}">{name}</text>'
        )
    arrows += [_way([place[source], place[rule]], ' class="back"') for source, rule in back]
    return (
        f'<svg class="graph" role="img" aria-label="Rules of the workflow" viewBox="0 0 {width:g} {height}">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{''.join(arrows)}{''.join(boxes)}</svg>"
    )


def _way(points: list[tuple[float, float]], attributes: str = "") -> str:
    """Draw from the bottom of a box, straight down past the layers between, to the top of another."""
    (x, y), ends = points[0], points[1:]
    y += _HIGH
    drawn = f"M{x:g} {y:g}"
    for number, (to, top) in enumerate(ends):
        last = number == len(ends) - 1
        below = top - 3 if last else top
        bend = max(abs(below - y) / 2, 16.0)
        drawn += f"C{x:g} {y + bend:g} {to:g} {below - bend:g} {to:g} {below:g}"
        x, y = to, below
        if not last:
            y = top + _HIGH
            drawn += f"V{y:g}"
    return f'<path{attributes} d="{drawn}"/>'


def _without_circles(
    graph: Mapping[str, set[str]],
) -> tuple[dict[str, set[str]], list[tuple[str, str]]]:
    """Take out the arrows (source, rule) that close a circle, seen from the rules that need nothing.

    Those that are taken out are returned beside.
    """
    followers: dict[str, list[str]] = {rule: [] for rule in graph}
    for rule, sources in graph.items():
        for source in sources:
            followers[source].append(rule)
    kept: dict[str, set[str]] = {rule: set() for rule in graph}
    back: list[tuple[str, str]] = []
    seen: set[str] = set()
    above: set[str] = set()

    def visit(source: str) -> None:
        seen.add(source)
        above.add(source)
        for rule in sorted(followers[source]):
            if rule in above:
                back.append((source, rule))
                continue
            kept[rule].add(source)
            if rule not in seen:
                visit(rule)
        above.remove(source)

    for rule in sorted(graph, key=lambda rule: len(graph[rule])):
        if rule not in seen:
            visit(rule)
    return kept, [pair for pair in back if pair[0] != pair[1]]


def _reduced(graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Drop every arrow that a longer way implies."""
    above: dict[str, set[str]] = {}

    def ancestors(rule: str) -> set[str]:
        if rule not in above:
            above[rule] = set().union(graph[rule], *map(ancestors, graph[rule]))
        return above[rule]

    return {
        rule: {s for s in sources if not any(s in ancestors(other) for other in sources)}
        for rule, sources in graph.items()
    }


def _layers_and_ways(graph: Mapping[str, set[str]]) -> tuple[list[list[Node]], list[list[Node]]]:
    """Put each rule below all that it needs; an arrow past a layer has a place of its own there."""
    depth: dict[str, int] = {}

    def below(rule: str) -> int:
        if rule not in depth:
            depth[rule] = 1 + max(map(below, graph[rule]), default=-1)
        return depth[rule]

    layers: list[list[Node]] = [[] for _ in range(1 + max(map(below, graph)))]
    for rule in graph:
        layers[depth[rule]].append(rule)
    ways: list[list[Node]] = []
    for rule, sources in graph.items():
        for source in sorted(sources):
            between: list[Node] = [(source, rule, k) for k in range(depth[source] + 1, depth[rule])]
            for node, layer in zip(between, layers[depth[source] + 1 :]):
                layer.append(node)
            ways.append([source, *between, rule])
    return layers, ways


def _places(
    layers: list[list[Node]], ways: list[list[Node]]
) -> tuple[dict[Node, tuple[float, float]], float]:
    """Order each layer by the mean place of its neighbours, a few times down and up.

    Returns top middles of the boxes, and the width of all.
    """
    near: dict[Node, list[Node]] = {node: [] for layer in layers for node in layer}
    for way in ways:
        for one, other in pairwise(way):
            near[one].append(other)
            near[other].append(one)
    width = max(sum(map(_room, layer)) for layer in layers)
    x: dict[Node, float] = {}
    for layer in layers:
        _spread(layer, width, x)
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            wanted = {n: sum(x[m] for m in near[n]) / len(near[n]) if near[n] else x[n] for n in layer}
            _spread(sorted(layer, key=lambda n: (wanted[n], str(n))), width, x)
    return {n: (x[n], _DOWN * k + 4.0) for k, layer in enumerate(layers) for n in layer}, width


def _room(node: Node) -> float:
    return _ACROSS if isinstance(node, str) else _PAST


def _spread(layer: list[Node], width: float, x: dict[Node, float]) -> None:
    """Place a layer in this order about the middle."""
    left = (width - sum(map(_room, layer))) / 2
    for node in layer:
        x[node] = left + _room(node) / 2
        left += _room(node)
