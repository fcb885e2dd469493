"""A report as one HTML file that asks for nothing else."""

from __future__ import annotations

from html import escape

from pgstrata.check.registry import EXPLANATIONS
from pgstrata.check.report import Report, merged
from pgstrata.model import Finding
from pgstrata.render.statuses import counts_of, summary, where

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>pgstrata check</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; }}
main {{ overflow-x: auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border-bottom: 1px solid #8886; padding: .4rem .6rem; text-align: left; }}
th, td {{ vertical-align: top; }}
td:last-child {{ overflow-wrap: anywhere; }}
pre {{ margin: .3rem 0; white-space: pre-wrap; }}
.error {{ color: #c62828; font-weight: 600; }}
.warning {{ color: #b26a00; font-weight: 600; }}
input {{ font: inherit; padding: .3rem .5rem; width: min(24rem, 100%); }}
@media (prefers-color-scheme: dark) {{
  .error {{ color: #ff8a80; }}
  .warning {{ color: #ffb74d; }}
}}
</style>
</head>
<body>
<main>
<h1>pgstrata check</h1>
<p>{summary}</p>
<p><label>Filter <input id="filter" type="search" autocomplete="off"></label>
<span id="shown" role="status"></span></p>
<table>
<thead><tr><th scope="col">severity</th><th scope="col">rule</th><th scope="col">where</th>
<th scope="col">environment</th><th scope="col">finding</th></tr></thead>
<tbody id="findings">
{rows}
</tbody>
</table>
<h2>Environments</h2>
<ul>
{environments}
</ul>
{unknown}
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


def render(report: Report) -> str:
    """Return a page with the summary, a table of findings with a filter, and the environments."""
    unknown = "\n".join(f"<li>{escape(what)}</li>" for what in report.unknown)
    return _PAGE.format(
        summary=escape(summary(report)),
        rows="\n".join(_row(report, finding) for finding in merged(report.findings)),
        environments="\n".join(
            f"<li>{escape(name)}: {escape(said)}</li>" for name, said in counts_of(report).items()
        ),
        unknown=f"<h2>Not checked</h2>\n<ul>\n{unknown}\n</ul>" if unknown else "",
    )


def _row(report: Report, finding: Finding) -> str:
    said = [escape(finding.message)]
    if finding.excerpt:
        said.append(f"<pre>{escape(finding.excerpt)}</pre>")
    if finding.hint:
        said.append(f"<div>{escape(finding.hint)}</div>")
    explained = EXPLANATIONS.get(finding.rule)
    why = escape(explained.why) if explained else ""
    cells = [
        f'<td class="{finding.severity}">{finding.severity}</td>',
        f'<td title="{why}">{escape(finding.rule)}</td>',
        f"<td>{escape(where(report, finding))}</td>",
        f"<td>{escape(finding.environment)}</td>",
        f"<td>{''.join(said)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"
