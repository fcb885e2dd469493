"""Statements put together to a module that a formatter would leave as it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from string import Template

_FUTURE = "from __future__ import annotations"
_IMPORT = re.compile(r"(?:from (?P<module>\S+) )?import (?P<names>.+)")
_DEFINES = ("def ", "async def ", "class ", "@")


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its ``$names`` replaced; a line that becomes empty by it is gone."""
    lines = []
    for line in template.splitlines():
        text = Template(line).substitute(values)
        if text.strip() or not line.strip():
            lines.append(text)
    return "\n".join(lines) + "\n"


def module(docstring: str, imports: Iterable[str], chunks: Iterable[str]) -> str:
    """Return a whole module. Imports that nothing uses are left out, equal chunks written once."""
    body = list(dict.fromkeys(chunks))
    code = "\n".join(body)
    parts = [docstring, _FUTURE, *_groups(imports, code)]
    text = "\n\n".join(parts)
    last = _FUTURE
    for chunk in body:
        text += _gap(last, chunk) + chunk
        last = chunk
    return text + "\n"


def needed(definitions: Mapping[str, str], users: Iterable[str]) -> list[str]:
    """Return the definitions that ``users``, or other needed definitions, mention by name."""
    code = "\n".join(users)
    found: list[str] = []
    for name, text in reversed(list(definitions.items())):
        if re.search(rf"(?<![.\w\"]){name}\b", code):
            found.insert(0, text)
            code += text
    return found


def _gap(before: str, after: str) -> str:
    if before == _FUTURE:
        return "\n\n\n" if after.startswith(_DEFINES) else "\n\n"
    if before.startswith(_DEFINES) or after.startswith((*_DEFINES, "if ")):
        return "\n\n\n"
    return "\n"


def _groups(imports: Iterable[str], code: str) -> list[str]:
    """Return imports as isort orders them: the standard library's, then all others."""
    plain: set[str] = set()
    named: dict[str, set[str]] = {}
    for statement in dict.fromkeys(imports):
        found = _IMPORT.fullmatch(statement)
        assert found, statement
        used = {name for name in found["names"].split(", ") if re.search(rf"\b{name}\b", code)}
        if used and found["module"]:
            named.setdefault(found["module"], set()).update(used)
        elif used:
            plain |= used
    lines = [(name, f"import {name}") for name in sorted(plain)]
    lines += [(name, f"from {name} import {_names(named[name])}") for name in sorted(named)]
    ours = [[line for name, line in lines if _standard(name) is own] for own in (True, False)]
    return ["\n".join(group) for group in ours if group]


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names, key=lambda name: (not name.isupper(), name.islower(), name)))


def _standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names
