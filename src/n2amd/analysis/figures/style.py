"""The look of every figure, and how it is written: the same bytes for the same data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from n2amd.errors import InputError
from n2amd.storage import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's palette, distinct for every common colour blindness.
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
GOLD: Final = "#E69F00"
SKY: Final = "#56B4E9"
CYCLE: Final = (BLUE, ORANGE, GREEN, PURPLE, GOLD, SKY)
INK: Final = "#222222"
GREY: Final = "#8A8A8A"
#: Width of a journal column and of a page, inch.
COLUMN: Final = 3.5
PAGE: Final = 7.0

_RC: Final[dict[str, Any]] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.linewidth": 0.8,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.minor.size": 2.0,
    "ytick.minor.size": 2.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.3,
    "mathtext.fontset": "dejavusans",
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    # element names of an SVG are random without a salt
    "svg.hashsalt": "n2amd",
    "axes.grid": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw without a display and with the common look, whatever the user's own matplotlib settings are."""
    import matplotlib

    matplotlib.use("Agg")
    from cycler import cycler

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC | {"axes.prop_cycle": cycler(color=CYCLE), "backend": "Agg"})  # type: ignore
        yield


def panels(
    rows: int = 1, columns: int = 1, *, width: float = COLUMN, height: float = 2.8, **options: object
) -> tuple[Figure, list[Axes]]:
    """Return a figure (inches) and its axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)  # type: ignore[call-overload]
    return figure, list(axes.ravel())


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically as SVG (text kept as text), PNG or PDF, without a date in it.

    Raises
    ------
    InputError
        If the file name ends in none of these.
    """
    metadata = {
        ".svg": {"Date": None},
        ".pdf": {"CreationDate": None},
        ".png": {},
    }
    if path.suffix not in metadata:
        raise InputError(
            f"figures are not written as {path.suffix or 'a file without an ending'!r}",
            file=path,
            remedy="name it .svg, .png or .pdf",
        )
    with atomic_path(path) as part:
        figure.savefig(part, format=path.suffix[1:], metadata=metadata[path.suffix])
