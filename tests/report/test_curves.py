"""Charts: every number in an SVG is finite, whatever the curve."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from rondeau.report.curves import Axes, Curve, Level, chart, thin, ticks

AXES = Axes(x="steps", y="nats", beside="perplexity", beside_label="{:.1f}".format)
COORDINATES = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy")


def numbers(svg):
    """All coordinates of a drawing."""
    found = []
    for element in ET.fromstring(svg).iter():
        found += [float(element.attrib[name]) for name in COORDINATES if name in element.attrib]
        found += map(float, re.split("[ ,]+", element.attrib.get("points", "0")))
    return found


@pytest.mark.parametrize(
    "points",
    [
        [(1, 3.0)],
        [(0, 0.0)],
        [(0, 0.0), (0, 0.0)],
        [(1, 2.5), (2, 2.5), (3, 2.5)],
        [(1, 7.0), (2, math.inf), (3, math.nan), (4, -math.inf), (5, 6.0)],
        [(1, 1e300), (2, -1e300), (3, 4.0)],
        [(1, 1e-300), (2, 0.0)],
        [(1, -5.0), (10**9, 1e11)],
        [(step, 7 / step) for step in range(1, 5000)],
    ],
)
@pytest.mark.parametrize("width", [370, 760])
def test_coordinates_are_finite_and_inside_for_every_curve(points, width):
    curves = [Curve("training", points), Curve("held-out", points[:20], dots=True)]
    levels = [Level("best", 4.0), Level("none", math.nan)]
    svg = chart(curves, levels, axes=AXES, title="loss", width=width, height=300)
    assert all(math.isfinite(n) and -1 <= n <= max(width, 300) + 1 for n in numbers(svg))


@pytest.mark.parametrize("points", [[], [(1, math.nan)], [(math.inf, 2.0), (2, math.inf)]])
def test_nothing_is_drawn_where_there_is_nothing_to_draw(points):
    assert chart([Curve("training", points)], axes=AXES, title="loss") == ""


def test_a_lower_loss_is_lower_and_a_later_step_is_further_right():
    svg = chart([Curve("held-out", [(1, 5.0), (9, 2.0)], dots=True)], axes=AXES, title="loss")
    dots = [e.attrib for e in ET.fromstring(svg).iter() if e.tag == "circle"]
    assert float(dots[0]["cx"]) < float(dots[1]["cx"])
    assert float(dots[0]["cy"]) < float(dots[1]["cy"])


def test_a_level_stands_at_the_height_of_a_point_with_its_value():
    curve = Curve("held-out", [(1, 5.0), (9, 2.0), (10, 4.0)], dots=True)
    drawn = list(ET.fromstring(chart([curve], [Level("n", 4.0)], axes=AXES, title="loss")).iter())
    (level,) = [e.attrib["y1"] for e in drawn if e.attrib.get("class") == "level"]
    assert level == [e.attrib["cy"] for e in drawn if e.tag == "circle"][2]


def test_names_cannot_leave_their_places():
    svg = chart(
        [Curve('"><script>', [(1, 2.0)], dots=True)],
        [Level("<b>&", 2.0)],
        axes=Axes(x="<i>", y="&", beside="<u>"),
        title='"<script>',
    )
    tags = {element.tag for element in ET.fromstring(svg).iter()}
    assert tags <= {"svg", "g", "text", "line", "polyline", "circle", "title"}


def test_thinning_keeps_the_mean_and_the_limit():
    points = [(float(i), float(i % 7)) for i in range(1000)]
    few = thin(points, 100)
    assert len(few) == 100
    assert sum(y for _, y in few) / 100 == pytest.approx(sum(y for _, y in points) / 1000)
    assert thin(points[:5], 100) == points[:5]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (2.1, 12.4), (5.99, 6.01), (0, 1e9), (-3, 4)])
def test_ticks_are_round_few_and_within_the_range(low, high):
    found = ticks(low, high, 5)
    steps = {round((b - a) / (high - low), 6) for a, b in pairwise(found)}
    assert 2 <= len(found) <= 8
    assert len(steps) == 1
    assert all(low - 1e-6 <= tick <= high * (1 + 1e-9) for tick in found)
