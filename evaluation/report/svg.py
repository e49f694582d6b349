"""A figure as SVG that can stand inside an HTML page with others."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from markupsafe import escape
from matplotlib.figure import Figure

from evaluation.report.drawing import style

NOTHING = {key: None for key in ("Creator", "Date", "Format", "Type")}


def inline_svg(figure: Figure, salt: str, label: str) -> str:
    """Return the <svg> element of a figure; the same figure and salt give the same text.

    It scales with the page, its text stays text, and its ids are those of no other salt.
    """
    buffer = io.StringIO()
    with style(), mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata=NOTHING)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Rules for "*" would reach the whole page; the page's own style sheet has them for figures.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # counted anew in each figure, and never used
    head, body = svg.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', head)
    assert view_box is not None
    body = re.sub(r' (?:d|x|y)="[^"]*"', _rounded, body)
    return f'<svg {view_box[0]} role="img" aria-label="{escape(label)}">{body}'.rstrip()


def _rounded(attribute: re.Match[str]) -> str:
    """Keep hundredths of a point: less than can be seen, and half of the bytes."""
    numbers = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", attribute[0])
    return re.sub(r"\s*\n\s*", " ", numbers)
