"""The layer of the process environment: ``PGSTRATA_<SECTION>__<KEY>``.

A variable is literal text: it is decoded by the type of its key, and never parsed, cast or
interpolated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgstrata.layers.shape import (
    TARGET_SECTIONS,
    connection_name_problem,
    key_of,
    keys_of,
    parameter_problems,
)
from pgstrata.model import Finding, Layer, Leaf, Origin, Secret, Value
from pgstrata.schema.decode import decode
from pgstrata.schema.keys import SECTIONS, Key, Section
from pgstrata.schema.suggest import closest

PREFIX = "PGSTRATA_"


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
        return [_unknown(variable, path[0], known)]
    if section.key is not None and len(path) == 1:
        key = section.key
    elif section.shape in ("connection", "pool", "parameters") and len(path) == 2:  # noqa: PLR2004  # section, key
        found = key_of(section, path[1])
        if found is None:
            return [_unknown(variable, path[1], _candidates(section))]
        key, node = found, node.setdefault(section.name, {})
    else:
        return [_unknown(variable, path[0], ())]
    leaf, findings = _leaf(key, variable, environ)
    node[key.name] = leaf
    if section.shape == "parameters":
        findings += [
            Finding(rule, f"{variable}: {message}", leaf.origin, severity)
            for rule, severity, message in parameter_problems(key.name, environ[variable])
        ]
    return findings


def _leaf(key: Key, variable: str, environ: Mapping[str, str]) -> tuple[Leaf, list[Finding]]:
    origin = Origin("environment", variable)
    if key.secret:
        text = environ[variable]
        # Asked again at each use, so that a rotated variable is seen.
        secret = Secret(lambda: environ.get(variable, text), source=f"env {variable}")
        return Leaf(secret, origin), []
    value: Value = None
    try:
        value = decode(key, environ[variable])
    except ValueError as error:
        return Leaf(None, origin), [Finding("invalid-value", f"{variable}: {error}", origin)]
    return Leaf(value, origin), []


def _candidates(section: Section) -> tuple[str, ...]:
    if section.shape == "parameters":
        from pgstrata.schema import parameters

        return parameters.names()
    return tuple(keys_of(section))


def _unknown(variable: str, word: str, known: Mapping[str, Any] | tuple[str, ...]) -> Finding:
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
