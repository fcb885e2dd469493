"""The report of an audit in every format. Each renderer is a pure function from it to text, in
which nothing is left that would make a terminal do something.

The module of a format is imported when it is asked for: an audit in text waits for no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from pgstrata.audit.report import Report
from pgstrata.render.printable import printable_lines


def _from(module: str) -> Callable[[Report], str]:
    def render(report: Report) -> str:
        text: str = import_module(f"{__name__}.{module}").render(report)
        return printable_lines(text)

    return render


RENDERERS: Mapping[str, Callable[[Report], str]] = {
    "text": _from("text"),
    "json": _from("json_shape"),
    "sarif": _from("sarif"),
    "junit": _from("junit"),
    "markdown": _from("markdown"),
    "html": _from("html"),
    "prometheus": _from("prometheus"),
}
