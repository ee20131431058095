"""What all pages share: one environment that escapes everything, filters, and one style."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from rondeau.report import words

SHOWN_NAME, SHOWN_SENTENCE = 120, 1000
"""The most characters that are shown of a name and of a sentence."""


def render(template: str, **given: Any) -> str:
    """A page from a template of this package: the same for the same things given."""
    return _template(template).render(style=Markup(_read("style.css")), **given)


@functools.cache
def _template(name: str) -> Template:
    """A template, compiled once: that takes longer than a page."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": words.number,
        "bits": words.bits,
        "percent": words.percent,
        "visible": words.visible,
        "language": words.language,
        "name": lambda text: words.cut(text, SHOWN_NAME),
        "setting": lambda value: words.cut(json.dumps(value, ensure_ascii=False), SHOWN_NAME),
        "sentence": lambda text: words.sentence(text, SHOWN_SENTENCE),
    }
    return environment.from_string(_read(name))


def _read(name: str) -> str:
    return resources.files("rondeau.report").joinpath(name).read_text("utf-8")
