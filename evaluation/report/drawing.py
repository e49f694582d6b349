"""One kind of figure: lines over tasks with bands, each labelled at its right end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from evaluation.report.curves import Curve
from evaluation.scores import early_window, late_window

Array = NDArray[np.float64]

INK = "#222222"
FAINT = "#6b6b6b"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
LABEL_WIDTH = 32  # characters; a longer label is wrapped
LABEL_SIZE = 8.5  # points
WIDTH_BEHIND, SIZE_BEHIND = 36, 7.5  # of the labels of lines that stand behind
FEW_POINTS = 25  # so few are marked one by one
LOG_ABOVE = 100.0  # largest / smallest


@dataclass(frozen=True)
class Look:
    """How a line is drawn: colour, matplotlib's dashes, width in points.

    One that stands behind has a faint band and a small, faint label.
    """

    colour: str
    dashes: Any = "-"
    width: float = 1.3
    behind: bool = False
    marker: str = ""


@dataclass(frozen=True, eq=False)
class Line:
    """A curve with its name and look; a marker is at its first `marked` points, or at all."""

    label: str
    look: Look
    curve: Curve
    marked: int | None = None

    @property
    def name(self) -> str:
        """The label as it is written, in lines that end between words or joined names."""
        diverged = " (diverged)" * bool(np.isnan(self.curve.mean).any())
        width = WIDTH_BEHIND if self.look.behind else LABEL_WIDTH
        words = self.label.replace("+", "+ ") + diverged
        return textwrap.fill(words, width, break_on_hyphens=False).replace("+ ", "+")

    @property
    def label_size(self) -> float:
        """In points."""
        return SIZE_BEHIND if self.look.behind else LABEL_SIZE

    @property
    def label_height(self) -> float:
        """Of all its lines, in points."""
        return 1.35 * self.label_size * (self.name.count("\n") + 1)


@contextmanager
def style() -> Iterator[None]:
    """Draw and write figures with our settings, whatever the user's matplotlibrc says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def draw(
    lines: Sequence[Line],
    ylabel: str,
    size: tuple[float, float],
    num_tasks: int,
    anchor: Curve | None = None,
    log: bool = False,
    windows: bool = False,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    note: str = "",
) -> Figure:
    """Return a figure of the lines.

    Args:
        lines: May be empty.
        ylabel: What is drawn.
        size: Width and height in inches; the height grows if the labels need it.
        num_tasks: Where the axis ends.
        anchor: Drawn dotted if given.
        log: Whether the vertical axis is logarithmic; then all means must be positive.
        windows: Whether to shade the early and the late window.
        bounds: The possible values: a band may leave them, the axis does not.
        note: Written below the axis.
    """
    with style():
        labels = sum(line.label_height for line in lines) / 72
        figure = Figure((size[0], max(size[1], 1.07 * labels + 0.9)))
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_ylabel(ylabel, parse_math=False)  # a "$" in a name is just that
        axes.set_xlabel(f"task\n{note}".rstrip(), parse_math=False)
        axes.set(xlim=(0, max(num_tasks - 1, 1)))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        for line in lines:
            _draw_line(axes, line)
        if anchor is not None:
            axes.plot(anchor.tasks, anchor.mean, color=INK, linestyle=":", linewidth=1.1)
        if log:
            # A band may reach below 0; the means say what must be seen.
            axes.set_yscale("log")
            axes.set_ylim(bottom=min(np.nanmin(line.curve.mean) for line in lines) / 2)
        if windows:
            _shade(axes, num_tasks)
        # From here on nothing that is drawn moves the axis.
        axes.set_ylim(*np.clip(axes.get_ylim(), *bounds).tolist())
        _label_ends(axes, lines)
    return figure


def spans_decades(values: Sequence[Array]) -> bool:
    """Say whether values are all positive and too far apart for a linear axis."""
    finite = np.concatenate([v[np.isfinite(v)] for v in values] or [np.empty(0)])
    return bool(finite.size and finite.min() > 0 and finite.max() > LOG_ABOVE * finite.min())


def _draw_line(axes: Axes, line: Line) -> None:
    curve, look = line.curve, line.look
    few = 1 if look.behind else FEW_POINTS
    axes.fill_between(
        curve.tasks,
        curve.low,
        curve.high,
        color=look.colour,
        alpha=0.09 if look.behind else 0.16,
        linewidth=0,
    )
    axes.plot(
        curve.tasks,
        curve.mean,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=look.width,
        marker=look.marker or ("o" if len(curve.tasks) <= few else ""),
        markevery=slice(0, line.marked),
        markersize=5 if look.marker else 2.5,
        markerfacecolor="white" if look.marker else look.colour,
        clip_on=not look.marker,  # at the ends of the axis it is seen whole
        zorder=1.9 if look.behind else 2,
    )


def _shade(axes: Axes, num_tasks: int) -> None:
    for name, window in (("early", early_window(num_tasks)), ("late", late_window(num_tasks))):
        indices = range(num_tasks)[window]
        if not indices:
            continue
        # Half a task on both sides, so that a window of one task is visible.
        start, stop = indices[0] - 0.5, indices[-1] + 0.5
        axes.axvspan(start, stop, color="#000000", alpha=0.05, linewidth=0, zorder=0)
        axes.annotate(
            name,
            ((max(start, 0) + min(stop, num_tasks - 1)) / 2, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            color=FAINT,
        )


def _label_ends(axes: Axes, lines: Sequence[Line]) -> None:
    """Write each line's name right of the axes, beside its last point where there is room."""
    point = axes.figure.dpi / 72
    texts = [
        axes.text(
            0,
            0,
            line.name,
            fontsize=line.label_size,
            color=FAINT if line.look.behind else INK,
            va="center_baseline",
            parse_math=False,
        )
        for line in lines
    ]
    sizes = [text.get_window_extent() for text in texts]
    _fit_axes(axes, max((s.width for s in sizes), default=0) + 38 * point)
    box = axes.bbox
    ends = [_end(axes, line.curve) for line in lines]
    heights = np.array([line.label_height * point for line in lines])
    wanted = np.array([y for _, y in ends])
    placed = spread(wanted, heights, box.y0 - 6 * point, box.y1 + 6 * point)
    to_axes = axes.transAxes.inverted()
    for line, text, end, y in zip(lines, texts, ends, placed, strict=True):
        corners = [end, *((box.x1 + x * point, y) for x in (10, 24, 28))]
        xs, ys = to_axes.transform(corners).T
        # A thin lead from the line's end, then a stub that looks like the line.
        parts = axes.plot(xs[:2], ys[:2], linewidth=0.6, alpha=0.7)
        parts += axes.plot(xs[1:3], ys[1:3], linewidth=2, linestyle=line.look.dashes)
        for part in parts:
            part.set(color=line.look.colour, transform=axes.transAxes, clip_on=False)
        text.set_position((xs[3], ys[3]))
        text.set_transform(axes.transAxes)


def _fit_axes(axes: Axes, right: float) -> None:
    """Leave room for the tick labels on the left and for `right` pixels on the right."""
    for text in axes.texts:
        text.set_in_layout(False)
    outer = axes.get_tightbbox()
    assert outer is not None
    width, height = axes.figure.bbox.width, axes.figure.bbox.height
    pad = 6.0
    axes.figure.subplots_adjust(
        left=(axes.bbox.x0 - outer.x0 + pad) / width,
        bottom=(axes.bbox.y0 - outer.y0 + pad) / height,
        right=1 - (right + pad) / width,
        top=1 - 20 / height,
    )


def _end(axes: Axes, curve: Curve) -> tuple[float, float]:
    """Return the last finite point in pixels; the lower right corner without one."""
    finite = np.flatnonzero(np.isfinite(curve.mean))
    if not finite.size:
        return axes.bbox.x1, axes.bbox.y0
    x, y = axes.transData.transform((curve.tasks[finite[-1]], curve.mean[finite[-1]]))
    return float(x), float(y)


def spread(wanted: Array, heights: Array, low: float, high: float) -> Array:
    """Return centres for labels of these heights, without overlap and close to the wanted ones.

    The least squares solution under the order of `wanted`: pooling of adjacent violators.

    Args:
        wanted: Shape (n,), where each label would be.
        heights: Shape (n,).
        low: No label reaches below.
        high: No label reaches above, if together they are not too high.
    """
    if not len(wanted):
        return wanted
    order = np.argsort(wanted, kind="stable")
    sorted_heights = heights[order]
    # Centres of labels stacked from 0; what is added to these must never decrease.
    stacked = np.cumsum(sorted_heights) - sorted_heights / 2
    pools: list[tuple[float, int]] = []
    for shift in wanted[order] - stacked:
        mean, count = float(shift), 1
        while pools and pools[-1][0] > mean:
            before, others = pools.pop()
            mean = (mean * count + before * others) / (count + others)
            count += others
        pools.append((mean, count))
    shifts = np.repeat([mean for mean, _ in pools], [count for _, count in pools])
    placed = np.empty_like(stacked)
    placed[order] = stacked + np.clip(shifts, low, max(low, high - sorted_heights.sum()))
    return placed
