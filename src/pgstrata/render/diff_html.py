"""A comparison of environments as one HTML file that needs nothing else.

All rows are in it; those that are not asked for are hidden until the reader asks for them. The
page's own policy forbids every request, so nothing of it can leave the browser.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from html import escape

from pgstrata.diff import STATUSES, Comparison, Row, Status
from pgstrata.render.diff import lines, summary

_SEPARATOR = re.compile(r"[./:_]")
IN_TITLE = 4  # more environments than this are counted in the title, and not named

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}</p>
<form id="filter" role="search">
<label>Filter <input id="words" type="search" autocomplete="off" autofocus></label>
<fieldset><legend>Show</legend>{choices}</fieldset>
<output id="count" aria-live="polite"></output>
</form>
<div id="matrix" role="region" aria-label="Settings by environment" tabindex="0">
<table>
<thead><tr><th scope="col">Key</th><th scope="col">Status</th>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</div>
<script>{script}</script>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --back: #fff; --text: #1b1f24; --soft: #57606a;
  --changed: #7d5700; --missing: #b3261e; --unknown: #6a3fa0; --same: #2b6a37; --odd: #fff3cf; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e4e7eb; --soft: #9aa4af;
  --changed: #e8b64c; --missing: #ff8a80; --unknown: #c8a6f0; --same: #84c991; --odd: #3d3210; } }
body { margin: 1rem 1.5rem; background: var(--back); color: var(--text);
  font: 14px/1.4 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
p { color: var(--soft); margin: .3rem 0 .8rem; }
form { display: flex; flex-wrap: wrap; gap: .6rem 1.5rem; align-items: center;
  margin-bottom: .8rem; }
fieldset { border: 0; margin: 0; padding: 0; display: flex; gap: 1rem; align-items: center; }
legend { float: left; color: var(--soft); }
input[type=search] { font: inherit; padding: .2rem .5rem; width: 20rem; }
:focus-visible { outline: 2px solid #3b82f6; outline-offset: 1px; }
#matrix { overflow: auto; max-height: calc(100vh - 9rem); border: 1px solid var(--line); }
table { border-collapse: separate; border-spacing: 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .7rem; background: var(--back);
  border-bottom: 1px solid var(--line); border-right: 1px solid var(--line); }
td { max-width: 24rem; overflow-wrap: anywhere; min-width: 9rem; }
thead th { position: sticky; top: 0; z-index: 1; white-space: nowrap; }
tr > :first-child { position: sticky; left: 0; font-weight: 600; min-width: 13rem;
  max-width: 22rem; overflow-wrap: anywhere; }
thead tr > :first-child { z-index: 2; }
td.status { min-width: 5rem; font-weight: 600; }
.changed .status { color: var(--changed); } .missing .status { color: var(--missing); }
.unknown .status { color: var(--unknown); } .same .status { color: var(--same); }
td.odd { background: var(--odd); }
code { font: 13px/1.4 ui-monospace, monospace; white-space: pre-wrap; }
small { display: block; color: var(--soft); }
"""

# The words must all be in a row, in whatever order; a status is shown if its box is ticked.
_SCRIPT = """
const form = document.getElementById("filter");
const words = document.getElementById("words");
const count = document.getElementById("count");
const rows = [...document.querySelectorAll("tbody tr")];
const texts = rows.map((row) => row.textContent.toLowerCase());
function update() {
  const wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const ticked = new Set([...form.querySelectorAll(":checked")].map((box) => box.value));
  let shown = 0;
  rows.forEach((row, index) => {
    const kinds = row.dataset.kinds.split(" ");
    row.hidden = !(kinds.every((kind) => ticked.has(kind))
      && wanted.every((word) => texts[index].includes(word)));
    shown += row.hidden ? 0 : 1;
  });
  count.textContent = shown + " of " + rows.length + " keys";
}
form.addEventListener("input", update);
form.addEventListener("submit", (event) => event.preventDefault());
update();
"""


def html(everything: Comparison, only: Collection[Status], *, expected: bool) -> str:
    """Return the page. At first it shows the statuses in ``only``; expected differences only where
    they are asked for.
    """
    environments = everything.environments
    several = f"{len(environments)} environments"
    shown = several if len(environments) > IN_TITLE else ", ".join(environments)
    ticked: set[str] = {*only, *(["expected"] if expected else [])}
    return _PAGE.format(
        title=escape(f"pgstrata diff: {shown}"),
        style=_STYLE,
        script=_SCRIPT,
        summary=escape(summary(everything)),
        choices="".join(_choice(kind, ticked) for kind in (*STATUSES, "expected")),
        heads="".join(f'<th scope="col">{escape(name)}</th>' for name in environments),
        rows="\n".join(_row(everything, row, ticked) for row in everything.rows),
    )


def _choice(kind: str, ticked: set[str]) -> str:
    checked = " checked" if kind in ticked else ""
    return f'<label><input type="checkbox" value="{kind}"{checked}> {kind}</label>'


def _row(everything: Comparison, row: Row, ticked: set[str]) -> str:
    expected = row.expected and row.status != "same"
    kinds = [row.status, *(["expected"] if expected else [])]
    hidden = "" if ticked.issuperset(kinds) else " hidden"
    # Marked is what differs from most: in a row that is the same everywhere, nothing does.
    common = max(row.groups, key=row.groups.count)
    cells = "".join(
        _cell(*lines(everything, row, place), row.cells[place].unknown, odd=group != common)
        for place, group in enumerate(row.groups)
    )
    said = f"{row.status} (expected)" if expected else row.status
    head = f'<th scope="row">{_breakable(row.key)}</th><td class="status">{said}</td>'
    return f'<tr class="{row.status}" data-kinds="{" ".join(kinds)}"{hidden}>{head}{cells}</tr>'


def _cell(value: str, place: str, note: str, *, odd: bool) -> str:
    said = "".join(f"<small>{_breakable(text)}</small>" for text in (place, note) if text)
    return f"<td{' class=odd' if odd else ''}><code>{escape(value)}</code>{said}</td>"


def _breakable(text: str) -> str:
    """Return a text that breaks into lines behind its separators, and not within a word."""
    return _SEPARATOR.sub(r"\g<0><wbr>", escape(text))
