"""Variables as files that other programs read; each with the quoting that its readers undo.

A value is a text, or a ``Reference`` to where a secret is. What a form cannot hold is refused with
``UsageError``.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Mapping
from typing import Any, TypeAlias

import yaml

from pgstrata.connect.references import Reference
from pgstrata.errors import UsageError

Value: TypeAlias = "str | Reference"

_BARE = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")


def shell(values: Mapping[str, Value]) -> str:
    """Return lines that a POSIX shell reads with ``.`` or ``eval``."""
    return "".join(f"export {name}={_shell(value)}\n" for name, value in values.items())


def _shell(value: Value) -> str:
    if isinstance(value, str):
        return shlex.quote(value)
    if value.kind == "env":
        return f'"${{{value.operand}:?}}"'
    return f'"$(cat -- {shlex.quote(value.operand)})"'


def dotenv(values: Mapping[str, Value]) -> str:
    """Return a ``.env`` file that python-dotenv and Docker Compose read alike.

    Their rules for ``$`` and backslash differ, so a value stands bare or in single quotes, where
    both take all literally, and in double quotes only if it has to.
    """
    return "".join(f"{name}={_dotenv(name, value)}\n" for name, value in values.items())


def _dotenv(name: str, value: Value) -> str:
    if isinstance(value, Reference):
        return f"${{{value.operand}}}"
    if _BARE.fullmatch(value):
        return value
    if "${" not in value and not re.search(r"['\\\r\n]", value):
        return f"'{value}'"
    if "$" in value:
        raise UsageError(
            f"{name}: programs differ in how they read its $ in a .env file",
            hint="use --as shell, json or docker-env",
        )
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'.replace("\n", "\\n").replace("\r", "\\r")


def docker_env(values: Mapping[str, str]) -> str:
    """Return a file for ``docker run --env-file``, which takes lines as they are."""
    for name, value in values.items():
        if any(mark in value for mark in "\0\n\r"):
            raise UsageError(f"{name}: a docker-env file cannot hold a line break")
    return "".join(f"{name}={value}\n" for name, value in values.items())


def config_map(name: str, values: Mapping[str, str]) -> str:
    """Return a Kubernetes ConfigMap with the values as its data."""
    return yaml_text(_object("ConfigMap", name, data=dict(values)))


def secret(name: str, values: Mapping[str, str]) -> str:
    """Return a Kubernetes Secret with the values as its data."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
    return yaml_text(_object("Secret", name, type="Opaque", data=data))


def _object(kind: str, name: str, **rest: object) -> dict[str, object]:
    # A DNS label, as RFC 1123 and Kubernetes have it.
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": label}, **rest}


def yaml_text(tree: Mapping[str, Any]) -> str:
    """Return maps, lists and values as YAML. Texts are quoted, because what a bare one is, a number
    or a date, differs between YAML 1.1 and 1.2.
    """
    # A line that is too long would be folded, which not every reader undoes.
    return yaml.dump(dict(tree), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)


class _Dumper(yaml.SafeDumper):
    """Writes keys bare and texts in double quotes."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:  # noqa: FBT001  # PyYAML's signature
        node = super().represent_mapping(tag, mapping, flow_style)
        for _, value in node.value:
            _quote(value)
        return node


def _quote(node: yaml.Node) -> None:
    for inner in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if isinstance(inner, yaml.ScalarNode) and inner.tag == "tag:yaml.org,2002:str":
            inner.style = '"'
