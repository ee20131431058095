"""Curves as SVG: numbers in, one string out.

Colours are the page's: a curve has a class, and CSS gives it its colour, in light and in dark.
Points that can't be drawn (infinite, not a number) are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

LEFT, RIGHT, TOP, BOTTOM = 46, 58, 24, 54
"""Margins around the plot, which hold the axes."""
MOST_POINTS = 300
LARGEST = 1e12
"""Values beyond this have no place on a chart."""


@dataclass(frozen=True)
class Curve:
    """A line through points; kind: its CSS classes; dots: every point is marked, by name."""

    kind: str
    points: Sequence[Point]
    dots: bool = False


@dataclass(frozen=True)
class Level:
    """A horizontal line."""

    name: str
    height: float


@dataclass(frozen=True)
class Axes:
    """What the axes say: titles, a second line under x, a second scale for y (empty: none)."""

    x: str
    y: str
    beside: str = ""
    x_label: Callable[[float], Sequence[str]] = lambda x: [f"{x:,.0f}"]
    beside_label: Callable[[float], str] = str


def chart(
    curves: Sequence[Curve],
    levels: Sequence[Level] = (),
    *,
    axes: Axes,
    title: str,
    width: int = 760,
    height: int = 320,
) -> str:
    """An SVG of curves and levels over common axes; empty where there is nothing to draw.

    title: what a reader hears who can't see it; x starts at 0.
    """
    curves = [Curve(c.kind, _drawable(c.points), c.dots) for c in curves]
    levels = [level for level in levels if abs(level.height) < LARGEST]
    points = [point for curve in curves for point in curve.points]
    if not points:
        return ""
    right = max(x for x, _ in points) or 1.0
    low, high = _span([y for _, y in points] + [level.height for level in levels])
    inner_width, inner_height = width - LEFT - RIGHT, height - TOP - BOTTOM

    def at(x: float) -> float:
        return LEFT + inner_width * x / right

    def up(y: float) -> float:
        return TOP + inner_height * (high - y) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">',
        _text(LEFT - 8, TOP - 10, axes.y, "title"),
        _text(
            width - RIGHT + 8, TOP - 10, axes.beside, "title", "end" if width < 500 else "middle"
        ),
        _text(width - 4, height - 4, axes.x, "title", "end"),
    ]
    for y in ticks(low, high, inner_height // 36):
        parts.append(_line(LEFT, up(y), width - RIGHT, up(y), "grid"))
        parts.append(_text(LEFT - 8, up(y) + 4, f"{y:.10g}", "tick", "end"))
        if axes.beside:
            parts.append(_text(width - RIGHT + 8, up(y) + 4, axes.beside_label(y), "tick"))
    for x in ticks(0, right, inner_width // 90):
        parts.append(_line(at(x), height - BOTTOM, at(x), height - BOTTOM + 4, "stroke"))
        for row, label in enumerate(axes.x_label(x)):
            parts.append(_text(at(x), height - BOTTOM + 16 + 13 * row, label, "tick", "middle"))
    for curve in curves:
        placed = " ".join(f"{at(x):.1f},{up(y):.1f}" for x, y in thin(curve.points, MOST_POINTS))
        parts.append(f'<polyline class="curve {escape(curve.kind)}" points="{placed}"/>')
        if curve.dots:
            parts += [
                f'<circle class="dot {escape(curve.kind)}" cx="{at(x):.1f}" cy="{up(y):.1f}" '
                f'r="3"><title>{x:,.0f}: {y:.4f}</title></circle>'
                for x, y in curve.points
            ]
    for level in levels:
        line = _line(LEFT, up(level.height), width - RIGHT, up(level.height), "level")
        parts.append(f"<g><title>{escape(level.name)}: {level.height:.4f}</title>{line}</g>")
    return "".join([*parts, "</svg>"])


def thin(points: Sequence[Point], most: int) -> list[Point]:
    """At most so many points: the means of equal runs of them."""
    run = -(-len(points) // most)
    if run <= 1:
        return list(points)
    runs = [points[i : i + run] for i in range(0, len(points), run)]
    return [(_mean(x for x, _ in r), _mean(y for _, y in r)) for r in runs]


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from low to high, at most about so many."""
    rough = (high - low) / max(1, most)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= 0.8 * rough)
    places = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [place * step for place in places]


def _drawable(points: Sequence[Point]) -> list[Point]:
    return [(x, y) for x, y in points if 0 <= x < LARGEST and abs(y) < LARGEST]


def _span(values: Sequence[float]) -> Point:
    """A range that holds the values with some air around them, and is never empty."""
    low, high = min(values), max(values)
    air = max(0.06 * (high - low), 0.01 * abs(high), 0.01)
    return (max(0.0, low - air) if low >= 0 else low - air), high + air


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(text)}</text>' if text else ""
