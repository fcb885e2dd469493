"""The page of a check: of the reference, and of ``audit --explain``."""

from __future__ import annotations

from pgstrata.audit.model import Check


def page(check: Check) -> str:
    """Return all there is to say of a check, as Markdown."""
    parts = {
        "Why": check.why,
        "Verify it yourself": f"```text\n{check.verify}\n```" if check.verify else "",
        "Fix": check.fix,
        "When to ignore it": check.ignore or "Never for long: waive it, with a reason and a date.",
        "What it cannot see": check.cannot_see,
        "Source": check.source,
    }
    lines = [f"# {check.id}", "", f"*{check.severity}*", "", check.what]
    for title, text in parts.items():
        lines += ["", f"## {title}", "", text] if text else []
    return "\n".join(lines) + "\n"


def command(check: str) -> str:
    """Return the command that prints the page of a check, which every finding names."""
    return f"pgstrata audit --explain {check}"
