"""The report of an audit in every format. Each renderer is a pure function from it to text."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pgstrata.audit.report import Report
from pgstrata.render.audit import html, json_shape, junit, markdown, prometheus, sarif, text

RENDERERS: Mapping[str, Callable[[Report], str]] = {
    "text": text.render,
    "json": json_shape.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "markdown": markdown.render,
    "html": html.render,
    "prometheus": prometheus.render,
}
