"""Writes the pages of ``docs/reference`` that come from the code. ``make docs`` runs it.

With ``--check`` it writes nothing and fails where a page is not what it would write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import click

import json_page
import python_pages
from pgstrata.audit.model import Check
from pgstrata.audit.run import ALL_CHECKS
from pgstrata.check.registry import EXPLANATIONS
from pgstrata.check.registry import RULES as CHECKED
from pgstrata.cli.group import COMMANDS, commands
from pgstrata.errors import EXIT_CODES
from pgstrata.promotion.plan import IDENTITY
from pgstrata.render.audit.manual import page as check_page
from pgstrata.render.export import FORMS
from pgstrata.schema.keys import CONNECTION, POOL, SECTIONS, SERVER, Key

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- made by `make docs`; edit the code, not this page -->\n"
# A command keeps the help option of the first context that it is asked in.
SETTINGS = commands.context_settings


def settings() -> str:
    """Return the page of all sections and keys."""
    lines = ["# Settings", NOTE, "| section | holds |", "|---|---|"]
    lines += [f"| `{section.name}` | {section.doc} |" for section in SECTIONS.values()]
    lines += ["", "## connection_settings", ""]
    lines += [
        "Every keyword of the installed libpq is accepted; these are the ones known to this page.",
        "A relative path starts at the project folder.",
        "",
        *_keys(CONNECTION.values()),
        "",
        "## pool_settings and async_pool_settings",
        "",
        *_keys(POOL.values()),
        "",
        "## server",
        "",
        "What no connection can see. Only `audit` and `recommend` read it; what is left out is",
        "not guessed.",
        "",
        *_keys(SERVER.values()),
        "",
        "## session_settings, sync_settings and async_settings",
        "",
        "Any PostgreSQL parameter that a session may set, by PostgreSQL's own name, and custom",
        "ones such as `app.tenant`. They travel in libpq's `options`.",
    ]
    return "\n".join(lines) + "\n"


def _keys(keys: Iterable[Key]) -> list[str]:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        default = "" if key.default is None else f"`{str(key.default).lower()}`"
        kind = "secret" if key.secret else "path" if key.path else key.kind
        choices = ", ".join(f"`{choice}`" for choice in key.choices)
        texts = (key.doc, f"One of {choices}." if choices else "", key.why)
        meaning = " ".join(text for text in texts if text)
        rows.append(f"| `{key.name}` | {kind} | {default} | {meaning} |")
    return rows


def command_line() -> str:
    """Return the page of commands and options, as ``--help`` shows them, and of exit codes."""
    lines = ["# Command line", NOTE, "```text", _help(commands, "pgstrata"), "```", ""]
    for title, names in COMMANDS.items():
        lines += [f"## {title.capitalize()}", ""]
        for name in names:
            command = commands.get_command(click.Context(commands, **SETTINGS), name)
            assert command is not None
            lines += _command(command, f"pgstrata {name}")
    lines += ["## Exit codes", "", "| code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, path: str) -> list[str]:
    lines = [f"### {path}", "", "```text", _help(command, path), "```", ""]
    if isinstance(command, click.Group):
        context = click.Context(command, **SETTINGS, info_name=path)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            lines += _command(inner, f"{path} {name}")
    return lines


def _help(command: click.Command, path: str) -> str:
    context = click.Context(
        command, **SETTINGS, info_name=path, terminal_width=80, max_content_width=80
    )
    return command.get_help(context)


def rules() -> str:
    """Return the page of all rules."""
    lines = [
        "# Rules",
        NOTE,
        "What `pgstrata check`, and every command that loads an environment, can find.",
        "The first ones are found at loading, which they fail; the others by `check` alone.",
        "",
        "A comment on the line, or above it, ignores a rule there; the reason is required:",
        "`# pgstrata: ignore[rule] because …`. What keeps an environment from being loaded",
        "cannot be ignored.",
    ]
    severities = {rule.id: rule.severity for rule in CHECKED}
    for rule, texts in EXPLANATIONS.items():
        lines += ["", f"## {rule}", ""]
        lines += [f"*{severities[rule]}*", ""] if rule in severities else []
        lines += [texts.what]
        lines += ["", f"**Why.** {texts.why}"] if texts.why else []
        lines += ["", f"**Remedy.** {texts.remedy}"] if texts.remedy else []
    return "\n".join(lines) + "\n"


def forms() -> str:
    """Return the page of the forms of ``render``."""
    lines = [
        "# Forms of render",
        NOTE,
        "What `pgstrata render --as FORM` writes. Without `--reveal` a secret is a reference where",
        "the form can hold one to where it is, and is left out otherwise, which stderr says.",
        "",
        "| form | what | made of | references to |",
        "|---|---|---|---|",
    ]
    made_of = {
        "settings": "pgstrata's settings",
        "keywords": "libpq's keywords",
        "variables": "libpq's variables",
    }
    for name, form in FORMS.items():
        kinds = ", ".join({"env": "variables", "file": "files"}[kind] for kind in form.references)
        lines.append(f"| `{name}` | {form.doc} | {made_of[form.of]} | {kinds or 'nothing'} |")
    identity = ", ".join(f"`{name}`" for name in IDENTITY["connection_settings"])
    cluster = " and ".join(f"`server.{name}`" for name in IDENTITY["server"])
    lines += [
        "",
        "## Not promoted",
        "",
        "`pgstrata promote` carries no secret, and of `connection_settings` none that says which",
        f"server an environment is, and as whom it logs in: {identity}. Neither {cluster}, nor",
        "`client_addresses`, `protected`, `local` and `extends`.",
    ]
    return "\n".join(lines) + "\n"


def audit() -> str:
    """Return the page of all checks of an audit."""
    lines = [
        "# Checks of an audit",
        NOTE,
        "What `pgstrata audit` looks for on servers; [how to use it](../how-to/audit.md).",
        "The level is that of the worst that a check says.",
        "",
        "| check | level | what |",
        "|---|---|---|",
    ]
    lines += [
        f"| [{check.id}](audit/{check.id}.md) | {check.severity} | {_cell(check.what)} |"
        for check in ALL_CHECKS
    ]
    return "\n".join(lines) + "\n"


def _check(check: Check) -> str:
    """Return the page of one check, to which its findings lead."""
    title, _, text = check_page(check).partition("\n\n")
    return f"{title}\n{NOTE}\n{text}\n[All checks](../audit.md)\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "commands.md": command_line,
    "rules.md": rules,
    "forms.md": forms,
    "errors.md": lambda: python_pages.errors(NOTE),
    "python.md": lambda: python_pages.python(NOTE),
    "json.md": lambda: json_page.page(NOTE),
    "audit.md": audit,
    **{f"audit/{check.id}.md": partial(_check, check) for check in ALL_CHECKS},
}


def main(*, check: bool) -> int:
    """Write all pages, or compare them. Return the number of pages that differ."""
    stale = 0
    for name, page in PAGES.items():
        path, text = REFERENCE / name, page()
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        print(f"{'stale' if check else 'written'}: {path.relative_to(REFERENCE.parent.parent)}")
    return stale


if __name__ == "__main__":
    checking = "--check" in sys.argv[1:]
    stale_pages = main(check=checking)
    sys.exit(1 if checking and stale_pages else 0)
