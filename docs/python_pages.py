"""The pages of ``docs/reference`` about Python: public names and errors, from their docstrings."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pgstrata
from pgstrata.errors import EXIT_CODES, PgstrataError

# What has an ``__all__`` and is meant to be imported by programs.
MODULES = (
    "pgstrata",
    "pgstrata.tables",
    "pgstrata.local",
    "pgstrata.pgmonkey",
    "pgstrata.observe.prometheus",
    "pgstrata.observe.otel",
)
FIXTURES = "pgstrata.pytest_plugin"
LINE = 88  # characters of a code block that need no scrolling on a desk
# rST's two backquotes are Markdown's one.
LITERAL = re.compile(r"``([^`]+)``")


def python(note: str) -> str:
    """Return the page of every public name."""
    lines = ["# Python", note]
    for name in MODULES:
        module = import_module(name)
        lines += [f"## {name}", "", text_of(module), ""]
        for public in sorted(public_names(module), key=str.lower):
            lines += entry(public, getattr(module, public))
    lines += [f"## {FIXTURES}", "", text_of(import_module(FIXTURES)), ""]
    for name, fixture in fixtures():
        lines += [f"### {name}", "", *given(fixture), text_of(fixture), ""]
    return "\n".join(lines).rstrip() + "\n"


def public_names(module: ModuleType) -> list[str]:
    """Return what a module exports and explains: all but plain values such as a version."""
    values = {name: getattr(module, name) for name in module.__all__}
    return [name for name, value in values.items() if callable(value)]


def entry(name: str, value: Any) -> list[str]:
    """Return the section of one class or function; an error has its own on the other page."""
    if is_error(value):
        text = f"An error: [its entry](errors.md#{name.lower()})."
        return [f"### {name}", "", text, ""]
    lines = [f"### {name}", "", *signature(name, value), text_of(value), ""]
    if inspect.isclass(value):
        for method, member in methods(value):
            lines += [f"#### {name}.{method}", "", *signature(method, member), text_of(member), ""]
    return lines


def fixtures() -> Iterator[tuple[str, Any]]:
    """Yield the functions behind the fixtures for pytest, which all have the package's name."""
    for name, value in vars(import_module(FIXTURES)).items():
        if name.startswith("pgstrata_"):
            yield name, inspect.unwrap(value)


def given(fixture: Any) -> list[str]:
    """Return a code block of what a test gets that asks for a fixture; pytest passes the rest."""
    returned = str(inspect.signature(fixture).return_annotation)
    return ["```text", returned.removeprefix("Iterator[").removesuffix("]"), "```", ""]


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that pgstrata itself gives to a class."""
    for name, member in inspect.getmembers(kind):
        owner = next((base for base in kind.__mro__ if name in vars(base)), object)
        ours = owner.__module__.startswith("pgstrata")
        explained = callable(member) or isinstance(member, property)
        if ours and explained and not name.startswith("_"):
            yield name, member


def signature(name: str, value: Any) -> list[str]:
    """Return a code block that says how to call something; a property is called by no one."""
    if isinstance(value, property):
        return ["*property*", ""]
    try:
        found = inspect.signature(value)
    except ValueError:  # of a class that is written in C
        return []
    arguments = [shown(parameter) for parameter in found.parameters.values()]
    returned = found.return_annotation
    arrow = "" if returned is inspect.Signature.empty else f" -> {annotation(returned)}"
    prefix = "async " if inspect.iscoroutinefunction(value) else ""
    line = f"{prefix}{name}({', '.join(starred(found, arguments))}){arrow}"
    if len(line) > LINE:
        line = f"{prefix}{name}(\n    " + ",\n    ".join(starred(found, arguments)) + f",\n){arrow}"
    return ["```text", line, "```", ""]


def starred(found: inspect.Signature, arguments: list[str]) -> list[str]:
    """Put the star before the first argument that is given by name alone."""
    kinds = [parameter.kind for parameter in found.parameters.values()]
    keyword, variable = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL
    if keyword in kinds and variable not in kinds:
        place = kinds.index(keyword)
        return [*arguments[:place], "*", *arguments[place:]]
    return arguments


def shown(parameter: inspect.Parameter) -> str:
    """Return one argument; a default that says nothing in text is left as dots."""
    text = str(parameter.replace(annotation=inspect.Parameter.empty, default=parameter.empty))
    if parameter.annotation is not parameter.empty:
        text += f": {annotation(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        plain = isinstance(parameter.default, (str, int, float, tuple, type(None)))
        text += f" = {parameter.default!r}" if plain else " = ..."
    return text


def annotation(value: Any) -> str:
    """Return an annotation as it stands in the code."""
    return value if isinstance(value, str) else inspect.formatannotation(value)


def text_of(value: Any) -> str:
    """Return a docstring in Markdown."""
    text = inspect.cleandoc(value.__doc__ or "")
    if "::\n" in text or "=====" in text:
        return f"```text\n{text}\n```"
    return LITERAL.sub(r"`\1`", text)


def is_error(value: Any) -> bool:
    """Whether this is an error class of pgstrata."""
    return inspect.isclass(value) and issubclass(value, PgstrataError)


def errors(note: str) -> str:
    """Return the page of every error, in the order of their names, with exit code and bases."""
    lines = ["# Errors", note, text_of(import_module("pgstrata.errors")), ""]
    for error in all_errors():
        bases = ", ".join(f"`{qualified(base)}`" for base in error.__bases__)
        code = f"{error.exit_code} ({EXIT_CODES[error.exit_code]})"
        lines += [f"## {error.__name__}", "", f"`{qualified(error)}`, a kind of {bases}.", ""]
        lines += [text_of(error), "", f"Exit code: {code}.", ""]
    return "\n".join(lines).rstrip() + "\n"


def all_errors() -> list[type[PgstrataError]]:
    """Return every error class of the package, by name."""
    found: set[type[PgstrataError]] = set()
    for name in module_names():
        module = import_module(name)
        found |= {value for value in vars(module).values() if is_error(value)}
    return sorted(found, key=lambda error: error.__name__)


def module_names() -> list[str]:
    """Return the modules of the package. ``__main__`` would run the program."""
    names = [found.name for found in pkgutil.walk_packages(pgstrata.__path__, "pgstrata.")]
    return [name for name in names if not name.endswith("__main__")]


def qualified(kind: type) -> str:
    """Return the name under which a class is imported."""
    where = kind.__module__
    public = next((name for name in MODULES if kind.__name__ in import_module(name).__all__), where)
    return kind.__name__ if where == "builtins" else f"{public}.{kind.__name__}"
