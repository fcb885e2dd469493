"""The frame of an HTML page that asks for nothing else, and a table in it that can be filtered."""

from __future__ import annotations

from html import escape

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; }}
main {{ overflow-x: auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border-bottom: 1px solid #8886; padding: .4rem .6rem; text-align: left; }}
th, td {{ vertical-align: top; }}
td:last-child {{ overflow-wrap: anywhere; }}
pre {{ margin: .3rem 0; white-space: pre-wrap; }}
.error, .fail {{ color: #c62828; font-weight: 600; }}
.warning, .warn {{ color: #b26a00; font-weight: 600; }}
input {{ font: inherit; padding: .3rem .5rem; width: min(24rem, 100%); }}
@media (prefers-color-scheme: dark) {{
  .error, .fail {{ color: #ff8a80; }}
  .warning, .warn {{ color: #ffb74d; }}
}}
{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
<script>
const rows = [...document.querySelectorAll("#findings tr")];
document.getElementById("filter").addEventListener("input", (event) => {{
  const words = event.target.value.toLowerCase().split(/\\s+/);
  for (const row of rows) {{
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
  }}
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("shown").textContent = `${{shown}} of ${{rows.length}}`;
}});
</script>
</body>
</html>
"""

_FINDINGS = """\
<p><label>Filter <input id="filter" type="search" autocomplete="off"></label>
<span id="shown" role="status"></span></p>
<table>
<thead><tr>{heads}</tr></thead>
<tbody id="findings">
{rows}
</tbody>
</table>
"""


def page(title: str, body: str, style: str = "") -> str:
    """Return a page. ``body`` is HTML with one ``findings`` in it, ``style`` is CSS."""
    return _PAGE.format(title=escape(title), body=body, style=style)


def findings(heads: list[str], rows: list[str]) -> str:
    """Return the table that can be filtered; ``rows`` are HTML."""
    named = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return _FINDINGS.format(heads=named, rows="\n".join(rows))


def items(lines: list[str]) -> str:
    """Return a list of texts."""
    return "\n".join(("<ul>", *(f"<li>{escape(line)}</li>" for line in lines), "</ul>"))
