"""The layer of the process environment: ``PGSTRATA_<SECTION>__<KEY>``.

A variable is literal text: it is decoded by the type of its key, and never parsed, cast or
interpolated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pgstrata.model import Finding, Layer, Leaf, Origin, Secret
from pgstrata.schema.decode import decode
from pgstrata.schema.keys import SECTIONS, Key, Section
from pgstrata.schema.names import (
    TARGET_SECTIONS,
    candidates,
    connection_name_problem,
    key_of,
    parameter_problems,
)
from pgstrata.schema.suggest import closest

PREFIX = "PGSTRATA_"


class Environ(Mapping[str, str]):
    """Variables that do not show themselves: a traceback with locals would print all of them."""

    __slots__ = ("_variables",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    def __repr__(self) -> str:
        return f"<{len(self)} variables>"


def read(environ: Mapping[str, str]) -> tuple[Layer, list[Finding]]:
    """Return the layer that the variables make, and what is wrong with them."""
    tree: dict[str, Any] = {}
    findings: list[Finding] = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            findings += _place(tree, variable, environ)
    return Layer("environment", "", tree), findings


def _place(tree: dict[str, Any], variable: str, environ: Mapping[str, str]) -> list[Finding]:
    origin = Origin("environment", variable)
    path = variable.removeprefix(PREFIX).lower().split("__")
    section = SECTIONS.get(path[0])
    if len(path) == 1 and (section is None or section.key is None):
        return []  # PGSTRATA_ENV and its like: not settings
    known = SECTIONS
    node = tree
    if path[0] == "connections" and len(path) > 2:  # noqa: PLR2004  # connections, name, section
        if problem := connection_name_problem(path[1]):
            return [Finding("unknown-variable", f"{variable}: {problem}", origin)]
        node = tree.setdefault("connections", {}).setdefault(path[1], {})
        path, known = path[2:], TARGET_SECTIONS
    return _put(node, known, path, variable, environ)


def _put(
    node: dict[str, Any],
    known: Mapping[str, Section],
    path: list[str],
    variable: str,
    environ: Mapping[str, str],
) -> list[Finding]:
    section = known.get(path[0])
    if section is None or section.only_in is not None:
        settable = (name for name, it in known.items() if it.only_in is None)
        return [_unknown(variable, path[0], settable)]
    if section.key is not None and len(path) == 1:
        key = section.key
    elif section.has_keys and len(path) == 2:  # noqa: PLR2004  # section, key
        found = key_of(section, path[1])
        if found is None:
            return [_unknown(variable, path[1], candidates(section))]
        key, node = found, node.setdefault(section.name, {})
    else:
        return [_unknown(variable, path[0], ())]
    leaf, findings = _leaf(key, variable, environ)
    node[key.name] = leaf
    if section.shape == "parameters":
        findings += [
            Finding(rule, f"{variable}: {message}", leaf.origin, severity, key=_key(variable))
            for rule, severity, message in parameter_problems(key.name, environ[variable])
        ]
    return findings


def _leaf(key: Key, variable: str, environ: Mapping[str, str]) -> tuple[Leaf, list[Finding]]:
    origin = Origin("environment", variable)
    if key.secret:
        return Leaf(_secret(variable, environ), origin), []
    try:
        return Leaf(decode(key, environ[variable]), origin), []
    except ValueError as error:
        finding = Finding("invalid-value", f"{variable}: {error}", origin, key=_key(variable))
        return Leaf(None, origin), [finding]


def _secret(variable: str, environ: Mapping[str, str]) -> Secret:
    """Return a secret that asks for its variable at each use, so that a rotated one is seen."""
    text = environ[variable]
    return Secret(lambda: environ.get(variable, text), source=f"env {variable}")


def _key(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower().replace("__", ".")


def _unknown(variable: str, word: str, known: Iterable[str]) -> Finding:
    guess = closest(word, known)
    meant = variable.removeprefix(PREFIX).replace(word.upper(), guess.upper()) if guess else ""
    return Finding(
        "unknown-variable",
        f"{variable} names no setting",
        Origin("environment", variable),
        hint=f"did you mean {PREFIX}{meant}?" if guess else "",
    )


def undeclared(layers: Sequence[Layer]) -> list[Finding]:
    """Return a finding for each connection that only variables or arguments name: most likely a
    misspelt one.
    """
    declared: dict[str, Any] = {}
    findings = []
    for layer in layers:
        named = layer.tree.get("connections")
        if not isinstance(named, dict):
            continue
        if layer.name not in ("environment", "arguments"):
            declared |= named
            continue
        for name in named.keys() - declared.keys():
            guess = closest(name, declared)
            findings.append(
                Finding(
                    "unknown-variable",
                    f"no file has a connection {name!r}",
                    Origin(layer.name, f"{PREFIX}CONNECTIONS__{name.upper()}"),
                    hint=f"did you mean {guess!r}?" if guess else "",
                )
            )
    return findings
