"""The diagrams of docs/cells.md, one SVG for each cell: `python docs/diagrams.py` draws them.

One style: boxes have weights, circles and pills have none, the carry is a thick rail. Labels are
the letters of the equations, so that a picture serves every language; colours follow the reader's
light or dark. It knows coordinates and nothing of Rondeau.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
Point = tuple[float, float]

STYLE = """
text { font-family: "STIX Two Text", "Latin Modern Roman", Cambria, "Times New Roman",
       "Liberation Serif", "DejaVu Serif", serif; font-size: 20px; fill: #1f2328;
       text-anchor: middle; dominant-baseline: central }
.letter { font-style: italic }
.small { font-size: 14px }
.line, .rail { fill: none; stroke-linejoin: round }
.line { stroke: #59636e; stroke-width: 1.7 }
.rail { stroke: #0b62a8; stroke-width: 3.4 }
.line-tip, .dot { fill: #59636e }
.rail-tip, .rail-dot { fill: #0b62a8 }
.frame { fill: #f5f7f9; stroke: #c3cad2; stroke-width: 1.2 }
.gate { fill: #ffe8b8; stroke: #a86a00; stroke-width: 1.5 }
.candidate { fill: #cfe8dc; stroke: #00704f; stroke-width: 1.5 }
.state { fill: #d8eafa; stroke: #0b62a8; stroke-width: 1.5 }
.plain { fill: #ffffff; stroke: #59636e; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .line { stroke: #9aa5b1 }
  .rail { stroke: #5db3f0 }
  .line-tip, .dot { fill: #9aa5b1 }
  .rail-tip, .rail-dot { fill: #5db3f0 }
  .frame { fill: #161c24; stroke: #3a444f }
  .gate { fill: #4d3a10; stroke: #e2ab45 }
  .candidate { fill: #12402f; stroke: #4cc79a }
  .state { fill: #123554; stroke: #5db3f0 }
  .plain { fill: #232b35; stroke: #9aa5b1 }
}"""
CORNER, HOP = 9, 6
"""Radius of a wire's corners, and of the bow with which it passes over another."""
OVERBAR = 12
"""Height of the arrow above a letter."""


@dataclass(frozen=True)
class Node:
    """Something that wires end at: its centre and half its width and height."""

    x: float
    y: float
    w: float
    h: float

    @property
    def left(self) -> Point:
        """The middle of its left edge, as the others of theirs."""
        return self.x - self.w, self.y

    @property
    def right(self) -> Point:
        """Right edge."""
        return self.x + self.w, self.y

    @property
    def top(self) -> Point:
        """Upper edge."""
        return self.x, self.y - self.h

    @property
    def bottom(self) -> Point:
        """Lower edge."""
        return self.x, self.y + self.h


class Drawing:
    """An SVG that is put together part by part; wires lie under nodes."""

    def __init__(self, title: str, width: int, height: int) -> None:
        """An empty drawing; title: what a reader hears who can't see it."""
        self.title, self.width, self.height = title, width, height
        self.frames: list[str] = []
        self.wires: list[str] = []
        self.nodes: list[str] = []

    def frame(self, left: float, top: float, right: float, bottom: float) -> None:
        """The wall of a cell."""
        self.frames.append(_rect(left, top, right - left, bottom - top, 14, "frame"))

    def box(self, x: float, y: float, text: str, kind: str, *, sub: str = "") -> Node:
        """What has weights."""
        node = Node(x, y, 26, 19)
        self._shape(node, 5, kind)
        self.text(x, y, text, sub=sub)
        return node

    def state(
        self, x: float, y: float, text: str, *, sub: str, sup: str = "", over: int = 0
    ) -> Node:
        """A cell at one step, named by its state; over: 1 or -1 for an arrow above the letter."""
        node = Node(x, y, 32, 22)
        self._shape(node, 7, "state")
        self.text(x, y + 2 * abs(over), text, sub=sub, sup=sup)
        if over:
            start, end = x - 4 - 8 * over, x - 4 + 8 * over
            self.nodes.append(_wire([(start, y - OVERBAR), (end, y - OVERBAR)], "line", arrow=True))
        return node

    def op(self, x: float, y: float, symbol: str) -> Node:
        """An elementwise operation of two inputs."""
        node = Node(x, y, 14, 14)
        self._shape(node, 14, "plain")
        self.text(x, y, symbol)
        return node

    def pill(self, x: float, y: float, text: str) -> Node:
        """An elementwise function without weights."""
        node = Node(x, y, 27, 15)
        self._shape(node, 15, "plain")
        self.text(x, y, text)
        return node

    def text(self, x: float, y: float, text: str, *, sub: str = "", sup: str = "") -> None:
        """A letter (slanted) or a word of an operation (upright), with indices."""
        letter = len(text.rstrip("′")) == 1 and text[0].isalpha() and text.isascii() | ("′" in text)
        kind = ' class="letter"' if letter else ""
        marks = "".join(
            f'<tspan class="small{" letter" * mark.isalpha()}" dx="{dx}" dy="{dy}">{mark}</tspan>'
            for mark, dx, dy in ((sup, 1, -8), (sub, -18 if sup else 1, 14 if sup else 6))
            if mark
        )
        self.nodes.append(f'<text x="{x:g}" y="{y:g}"{kind}>{text}{marks}</text>')

    def wire(
        self, *points: Point, kind: str = "line", arrow: bool = True, over: Sequence[Point] = ()
    ) -> None:
        """A way with round corners; over: where it bows over wires that it only crosses."""
        self.wires.append(_wire(points, kind, arrow=arrow, over=over))

    def dot(self, x: float, y: float, kind: str = "dot") -> None:
        """Where a wire divides."""
        self.nodes.append(f'<circle class="{kind}" cx="{x:g}" cy="{y:g}" r="4"/>')

    def svg(self) -> str:
        """The whole file."""
        tips = "".join(
            f'<marker id="{kind}" viewBox="0 0 10 10" refX="9" refY="5" orient="auto" '
            f'markerUnits="userSpaceOnUse" markerWidth="{size}" markerHeight="{size}">'
            f'<path class="{kind}-tip" d="M0 0.6 10 5 0 9.4z"/></marker>'
            for kind, size in (("line", 10), ("rail", 14))
        )
        parts = "\n".join([*self.frames, *self.wires, *self.nodes])
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">\n'
            f"<title>{self.title}</title>\n<style>{STYLE}\n</style>\n<defs>{tips}</defs>\n{parts}\n</svg>\n"
        )

    def _shape(self, node: Node, radius: float, kind: str) -> None:
        left, top = node.x - node.w, node.y - node.h
        self.nodes.append(_rect(left, top, 2 * node.w, 2 * node.h, radius, kind))


def _rect(x: float, y: float, width: float, height: float, radius: float, kind: str) -> str:
    place = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}"'
    return f'<rect class="{kind}" {place}/>'


def _wire(points: Sequence[Point], kind: str, *, arrow: bool, over: Sequence[Point] = ()) -> str:
    path = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for at, (x, y) in enumerate(points[1:], 1):
        before = points[at - 1]
        path += [_bow(before, (x, y), place) for place in over if _between(before, place, (x, y))]
        if at + 1 == len(points):
            path.append(f"L{x:g} {y:g}")
        else:
            (x1, y1), (x2, y2) = (
                _toward((x, y), before, CORNER),
                _toward((x, y), points[at + 1], CORNER),
            )
            path.append(f"L{x1:g} {y1:g}Q{x:g} {y:g} {x2:g} {y2:g}")
    end = f' marker-end="url(#{kind})"' if arrow else ""
    return f'<path class="{kind}" d="{"".join(path)}"{end}/>'


def _bow(start: Point, end: Point, place: Point) -> str:
    (x1, y1), (x2, y2) = _toward(place, start, HOP), _toward(place, end, HOP)
    return f"L{x1:g} {y1:g}A{HOP} {HOP} 0 0 1 {x2:g} {y2:g}"


def _toward(start: Point, end: Point, length: float) -> Point:
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    whole = abs(dx) + abs(dy)  # wires run level or upright
    return x + length * dx / whole, y + length * dy / whole


def _between(start: Point, place: Point, end: Point) -> bool:
    return all(min(a, b) <= p <= max(a, b) for a, p, b in zip(start, place, end, strict=True))


def rnn() -> Drawing:
    """h' = φ(x W + h U + b)."""
    d = Drawing("RNN cell: h' = φ(x W + h U + b)", 700, 230)
    d.frame(110, 26, 590, 170)
    rail = 76
    U, W = d.box(220, rail, "U", "candidate"), d.box(330, 132, "W", "candidate")
    plus, φ = d.op(330, rail, "+"), d.pill(430, rail, "φ")
    d.text(36, rail, "h")
    d.text(666, rail, "h′")
    d.text(330, 212, "x")
    d.wire((52, rail), U.left, kind="rail")
    d.wire(U.right, plus.left)
    d.wire((330, 198), W.bottom)
    d.wire(W.top, plus.bottom)
    d.wire(plus.right, φ.left)
    d.wire(φ.right, (646, rail), kind="rail")
    return d


def gru(reset: str) -> Drawing:
    """h' = (1 − z) ⊙ n + z ⊙ h, with r before or after the product with Uₙ."""
    formula = {
        "after": "n = tanh(x Wₙ + bₙ + r ⊙ (h Uₙ + cₙ))",
        "before": "n = tanh(x Wₙ + bₙ + (r ⊙ h) Uₙ + cₙ)",
    }[reset]
    d = Drawing(f"GRU cell, reset {reset}: {formula}, h' = (1 − z) ⊙ n + z ⊙ h", 700, 380)
    d.frame(80, 30, 640, 318)
    rail, row, gates, down, x_bus = 78, 158, 232, 118, 294
    first, second = 192, 270
    product_at, reset_at = (first, second) if reset == "after" else (second, first)
    product = d.box(product_at, row, "U", "candidate", sub="n")
    times_r, r = d.op(reset_at, row, "×"), d.box(reset_at, gates, "σ", "gate")
    plus, W = d.op(352, row, "+"), d.box(352, gates, "W", "candidate", sub="n")
    tanh = d.pill(422, row, "tanh")
    z, keep, less = d.box(490, gates, "σ", "gate"), d.op(490, rail, "×"), d.pill(548, 192, "1−")
    times_n, new = d.op(596, row, "×"), d.op(596, rail, "+")
    d.text(36, rail, "h")
    d.text(674, rail, "h′")
    d.text(352, 362, "x")

    d.wire((52, rail), keep.left, kind="rail")
    d.wire(keep.right, new.left, kind="rail")
    d.wire(new.right, (656, rail), kind="rail")
    # The state, for the candidate and for both gates.
    left, right = (product, times_r) if reset == "after" else (times_r, product)
    d.dot(down, rail, "rail-dot")
    h_bus = 270
    d.wire((down, rail), (down, h_bus), (436, h_bus), (436, gates), z.left, over=[(352, h_bus)])
    d.dot(down, row)
    d.wire((down, row), left.left)
    d.dot(down, gates)
    d.wire((down, gates), r.left)
    d.wire(left.right, right.left)
    d.wire(right.right, plus.left)
    # The input.
    d.wire((352, 346), W.bottom)
    d.dot(352, x_bus)
    d.wire((352, x_bus), (reset_at, x_bus), r.bottom)
    d.wire((352, x_bus), (490, x_bus), z.bottom)
    # Gates and candidate.
    d.wire(r.top, times_r.bottom)
    d.wire(W.top, plus.bottom)
    d.wire(plus.right, tanh.left)
    d.wire(tanh.right, times_n.left)
    d.wire(z.top, keep.bottom, over=[(490, row)])
    d.dot(490, 192)
    d.wire((490, 192), less.left)
    d.wire(less.right, (596, 192), times_n.bottom)
    d.wire(times_n.top, new.bottom)
    d.text(reset_at + 12, 196, "r")
    d.text(478, 192, "z")
    d.text(460, row - 12, "n")
    return d


def lstm() -> Drawing:
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c')."""
    d = Drawing("LSTM cell: c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c')", 700, 400)
    d.frame(90, 30, 620, 340)
    top, row, gates, bus = 78, 158, 226, 292
    f, i = d.box(190, gates, "σ", "gate"), d.box(280, gates, "σ", "gate")
    g, o = d.box(364, gates, "tanh", "candidate"), d.box(456, gates, "σ", "gate")
    keep, write, new = d.op(190, top, "×"), d.op(364, row, "×"), d.op(364, top, "+")
    tanh, show = d.pill(546, 124, "tanh"), d.op(546, 176, "×")
    for y, letter in ((top, "c"), (bus, "h")):
        d.text(36, y, letter)
        d.text(672, y, letter + "′")
    d.text(140, 384, "x")

    d.wire((52, top), keep.left, kind="rail")
    d.wire(keep.right, new.left, kind="rail")
    d.wire(new.right, (652, top), kind="rail")
    d.wire((52, bus), (140, bus), kind="rail", arrow=False)
    # Input and state reach all four together.
    d.wire((140, 368), (140, bus), arrow=False)
    d.wire((140, bus), (456, bus), o.bottom)
    d.dot(140, bus)
    for node in (f, i, g):
        d.dot(node.x, bus)
        d.wire((node.x, bus), node.bottom)
    d.wire(f.top, keep.bottom)
    d.wire(i.top, (280, row), write.left)
    d.wire(g.top, write.bottom)
    d.wire(write.top, new.bottom)
    d.dot(546, top, "rail-dot")
    d.wire((546, top), tanh.top)
    d.wire(tanh.bottom, show.top)
    d.wire(o.top, (456, 176), show.left)
    d.wire(show.bottom, (546, bus), (652, bus), kind="rail")
    d.text(178, 150, "f")
    d.text(268, 184, "i")
    d.text(377, 190, "g")
    d.text(444, 192, "o")
    return d


COLUMNS = {"1": 130.0, "2": 270.0, "3": 410.0, "T": 590.0}
"""The steps that unrolled networks show, and where; between 3 and T there are more."""


def _along(d: Drawing, nodes: Sequence[Node], *, backwards: bool = False) -> None:
    """The carry's rail through the cells of a layer, which leaves some out before the last."""
    y, gap = nodes[0].y, (nodes[-2].right[0] + nodes[-1].left[0]) / 2
    places = [
        (nodes[0].left[0] - 50, y),
        (nodes[-1].right[0] + 50, y),
        (gap - 18, y),
        (gap + 18, y),
    ]
    before, after, left, right = places
    starts = [before, *(node.right for node in nodes[:-1]), right, nodes[-1].right]
    ends = [*(node.left for node in nodes[:-1]), left, nodes[-1].left, after]
    for start, end in zip(starts, ends, strict=True):
        way = (end, start) if backwards else (start, end)
        d.wire(*way, kind="rail", arrow=way[1] not in (left, right))
    d.text(gap, y, "⋯")


def deep() -> Drawing:
    """Each layer reads the states of the one below."""
    d = Drawing("A network of two layers, unrolled over time", 700, 330)
    layers = [
        [d.state(x, y, "h", sub=t, sup=f"({layer})") for t, x in COLUMNS.items()]
        for layer, y in ((1, 218), (2, 118))
    ]
    for nodes in layers:
        _along(d, nodes)
    for t, lower, upper in zip(COLUMNS, *layers, strict=True):
        d.text(lower.x, 308, "x", sub=t)
        d.text(lower.x, 26, "y", sub=t)
        d.wire((lower.x, 288), lower.bottom)
        d.wire(lower.top, upper.bottom)
        d.wire(upper.top, (lower.x, 44))
    return d


def bidirectional() -> Drawing:
    """One cell reads forwards, another backwards; their states are joined at each step."""
    d = Drawing("A bidirectional layer, unrolled over time", 700, 380)
    forwards = [d.state(x - 26, 264, "h", sub=t, over=1) for t, x in COLUMNS.items()]
    backwards = [d.state(x + 26, 178, "h", sub=t, over=-1) for t, x in COLUMNS.items()]
    for (t, x), there, back in zip(COLUMNS.items(), forwards, backwards, strict=True):
        both = d.pill(x, 90, "[ , ]")
        d.text(x, 358, "x", sub=t)
        d.text(x, 26, "y", sub=t)
        d.dot(x, 318)
        d.wire((x, 340), (x, 318), arrow=False)
        d.wire((x, 318), (there.x, 318), there.bottom)
        d.wire((x, 318), (back.x, 318), back.bottom)
        d.wire(there.top, (there.x, 126), (x - 10, 126), (x - 10, 105))
        d.wire(back.top, (back.x, 126), (x + 10, 126), (x + 10, 105))
        d.wire(both.top, (x, 44))
    _along(d, forwards)  # over the wires that pass between its cells
    _along(d, backwards, backwards=True)
    return d


DIAGRAMS = {
    "rnn": rnn,
    "gru-after": lambda: gru("after"),
    "gru-before": lambda: gru("before"),
    "lstm": lstm,
    "deep": deep,
    "bidirectional": bidirectional,
}

if __name__ == "__main__":
    for name, draw in DIAGRAMS.items():
        (IMAGES / f"cell-{name}.svg").write_text(draw().svg(), encoding="utf-8")
