"""Secrets in the files of other programs, by the name of the setting or as the file calls them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from pgstrata.adoption.dotenv import assignments
from pgstrata.cli.output import tell
from pgstrata.errors import SecretError
from pgstrata.layers.document import Document, parse
from pgstrata.layers.nodes import Map, Node, Scalar
from pgstrata.layers.references import literal
from pgstrata.layers.stores import PASSWORD, problem
from pgstrata.model import Config, Secret

Found: TypeAlias = dict[str, Secret]


def from_dotenv(path: Path, _config: Config | None) -> Found:
    """Read ``NAME=value`` lines: ``PGPASSWORD``, ``PGSTRATA_…__…``, and others by their names."""
    given = assignments(_read(path))
    return {
        _setting(name): Secret(value, source=str(path)) for name, value in given.items() if value
    }


def _setting(variable: str) -> str:
    if variable == "PGPASSWORD":
        return PASSWORD
    name = variable.removeprefix("PGSTRATA_")
    return name.lower().replace("__", ".") if "__" in name and name != variable else variable


def from_pgpass(path: Path, config: Config | None) -> Found:
    """Read a password file of libpq, and take the line that libpq would for each connection."""
    from pgstrata.layers.ambient import password_in

    assert config is not None
    lines = _read(path).splitlines()
    found: Found = {}
    for name in config.connections:
        prefix = "connection_settings."
        settings = {
            key.removeprefix(prefix): setting.value
            for key, setting in config.connection(name).items()
            if key.startswith(prefix)
        }
        password = password_in(lines, settings, str(path))
        if password is not None:
            key = PASSWORD if name == "default" else f"connections.{name}.{PASSWORD}"
            found[key] = password[0]
    return found


def from_file(path: Path, _config: Config | None) -> Found:
    """Read a plain YAML file in the format of an environment. A reference is left where it is,
    because it is no value, and named.
    """
    found: Found = {}
    for key, given in _flat(parse(_read(path).encode(), "file", str(path))).items():
        text = literal(given.reveal())
        if text is not None:
            found[key] = Secret(text, source=given.source)
        elif not problem(key):
            tell(f"{key} is left in {path}: it is a reference")
    return found


def from_sops(path: Path, _config: Config | None) -> Found:
    """Let sops decrypt a file, and read what it prints as YAML. Needs sops and its key."""
    command = ["sops", "--decrypt", "--output-type", "yaml", str(path)]
    try:
        done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603  # no shell
    except OSError:
        raise SecretError("sops is not installed", hint="it decrypts its own files") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()[:1]
        raise SecretError(f"sops failed: {''.join(reason)}", hint="does sops -d work by itself?")
    return _flat(parse(done.stdout, "file", str(path)))


def _flat(document: Document) -> Found:
    if document.findings:
        line = document.findings[0].origin.line
        raise SecretError(f"{document.source}:{line}: this is not YAML")
    return {
        key: Secret(node.text, source=document.source)
        for key, node in _scalars(document.root, ())
        if node.text and not node.null
    }


def _scalars(node: Node, path: tuple[str, ...]) -> Iterable[tuple[str, Scalar]]:
    if isinstance(node, Map):
        for name, inner in node.entries.items():
            yield from _scalars(inner, (*path, name))
    elif isinstance(node, Scalar):
        yield ".".join(path), node


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
    raise SecretError(f"{path} cannot be read: {reason}")


FORMATS: Mapping[str, Callable[[Path, Config | None], Found]] = {
    "dotenv": from_dotenv,
    "pgpass": from_pgpass,
    "sops": from_sops,
    "file": from_file,
}
