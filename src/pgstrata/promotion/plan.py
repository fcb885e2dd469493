"""What carrying settings from one environment to another writes, and what it changes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pgstrata.errors import ConfigError, UsageError
from pgstrata.impact import impacts
from pgstrata.layers.document import Document, content_of, parse
from pgstrata.layers.folder import Folder, on_disk
from pgstrata.layers.nodes import Map, Node, Scalar
from pgstrata.layers.nodes import Sequence as List
from pgstrata.layers.project import FOLDER, environments, project_folder
from pgstrata.loading import load_many
from pgstrata.model import Config, Origin, Setting, Value
from pgstrata.promotion.edit import Edited, edited, node_at
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.libpq import connection_keys

# What makes an environment the one that it is. Carried over, production would be staging.
IDENTITY = {
    "connection_settings": (
        *("host", "hostaddr", "port", "dbname", "user", "service", "servicefile", "url"),
        *("passfile", "sslcert", "sslkey", "requirepeer", "oauth_client_id"),
    ),
    "server": ("system_identifier", "shared"),
}
_OWN = {
    **dict.fromkeys(("protected", "local", "extends"), "says what kind of environment this is"),
    "client_addresses": "says where the clients of this environment are",
}


@dataclass(frozen=True, slots=True)
class Edit:
    """One key that is written, with the texts as files have them; ``before`` is empty if new."""

    key: str
    before: str
    after: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class Effect:
    """One effective setting of an environment that becomes another; None is unset."""

    environment: str
    key: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written where, and what comes of it.

    ``overruled`` are settings that a stronger layer decides for the target, written or not.
    """

    path: Path
    source: str
    edits: tuple[Edit, ...]
    effects: tuple[Effect, ...]
    overruled: tuple[Setting, ...]
    edited: Edited

    def apply(self) -> None:
        """Write the file, whole or not at all; its mode stays. Raises ``ConfigError``."""
        path = self.path.resolve()  # a link stays one
        try:
            mode = path.stat().st_mode
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            new = Path(name)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self.edited.content)
                new.chmod(mode)
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.source} cannot be written: {error.strerror}") from None


def plan(
    source: str,
    target: str,
    keys: Sequence[str],
    *,
    project: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Plan:
    """Return what it takes for ``target`` to have the values that ``source`` has for ``keys``.

    A value is carried as it is written, references included, into the target's own file. Nothing
    is written yet. Raises ``UsageError`` for what cannot be carried over, and
    ``InvalidConfigError`` where an environment is not valid, now or with the new values.
    """
    if source == target:
        raise UsageError(f"{source!r} is both what to promote from and to")
    environ = os.environ if environ is None else environ
    folder = project_folder(project, environ)
    names = dict.fromkeys((source, target, *environments(folder)))
    before = load_many(names, project=folder, environ=environ)
    giver, taker = _valid(before[source]), _valid(before[target])
    name = f"{FOLDER}/{target}.yaml"
    nodes = _changes(giver, taker, keys)
    made = edited(content_of(folder / name), {_path(key): node for key, node in nodes.items()})
    if made.problem:
        raise UsageError(f"{name} cannot be edited: {made.problem}", hint="edit it by hand")
    after = load_many(names, environ=environ, folder=_with(folder, name, made.content))
    taken = _valid(after[target])
    return Plan(
        folder / name,
        name,
        tuple(_edits(giver, nodes, parse(content_of(folder / name), "overlay", name))),
        tuple(effect for one in sorted(names) for effect in _effects(one, before[one], after[one])),
        tuple(taken.explain(key) for key in nodes if taken[key] != giver[key]),
        made,
    )


def _with(project: Path, name: str, content: bytes) -> Folder:
    """Return the project's files as they would be with another content of one of them."""
    there = on_disk(project)
    return replace(there, read=lambda path: content if path == name else there.read(path))


def _changes(giver: Config, taker: Config, keys: Sequence[str]) -> dict[str, Node]:
    """Return what is to be written, by key; nothing for what is the same already."""
    wanted = {key: giver.explain(_carried(key)) for key in keys}
    nodes = {key: _written(setting, giver.project) for key, setting in wanted.items()}
    return {
        key: node for key, node in nodes.items() if key not in taker or taker[key] != giver[key]
    }


def _edits(giver: Config, nodes: Mapping[str, Node], document: Document) -> Iterator[Edit]:
    for key, node in nodes.items():
        there = node_at(document.root, _path(key))
        yield Edit(key, _shown(there) if there else "", _shown(node), giver.explain(key).origin)


def _valid(result: Config | ConfigError) -> Config:
    if isinstance(result, ConfigError):
        raise result
    return result


def _carried(key: str) -> str:
    """Return a key that may be carried over. Raises ``UsageError`` for any other."""
    section, *rest = _inner(_path(key))
    name = rest[0] if rest else ""
    known = SECTIONS.get(section)
    if name in IDENTITY.get(section, ()):
        problem = "says which server this is, which is different on purpose"
    elif section == "connection_settings" and name in _secrets():
        problem = "is a secret; each environment has its own"
    elif section in _OWN:
        problem = _OWN[section]
    elif known is not None and known.only_in == "base":
        problem = "belongs to all environments"
    elif known is not None and not rest and known.is_map:
        raise UsageError(f"{key} is a whole section", hint=f"name its keys: {key}.…")
    else:
        return key
    raise UsageError(f"{key} is not promoted: it {problem}", hint="edit the file if it must be so")


def _inner(path: tuple[str, ...]) -> tuple[str, ...]:
    """Return a path without the connection that it is in."""
    return path[2:] or path[:1] if path[0] == "connections" else path


def _secrets() -> set[str]:
    return {name for name, key in connection_keys().items() if key.secret}


def _path(key: str) -> tuple[str, ...]:
    """Split a dotted key. A PostgreSQL parameter may itself have a dot, which stays."""
    return tuple(key.split(".", 3 if key.startswith("connections.") else 1))


def _written(setting: Setting, folder: Path) -> Node:
    """Return a setting as its file has it. Raises ``UsageError`` where no shared file has it."""
    origin, path = setting.origin, _path(setting.key)
    if origin.layer in ("base", "overlay") and not setting.secret:
        document = parse(content_of(folder / origin.source), origin.layer, origin.source)
        # A connection may have it from the top-level sections.
        for there in (path, path[2:]):
            node = node_at(document.root, there) if there else None
            if node is not None and _is_at(node, origin, document):
                return node
    raise UsageError(
        f"{setting.key} is not promoted: it comes from {origin}",
        hint="only what base.yaml or an environment's own file says under this key is promoted",
    )


def _is_at(node: Node, origin: Origin, document: Document) -> bool:
    return document.origin(node.span) == origin


def _shown(node: Node) -> str:
    if isinstance(node, Scalar):
        return node.text.replace("\n", "\\n") or "null"
    if isinstance(node, List):
        return "[" + ", ".join(map(_shown, node.items)) + "]"
    assert isinstance(node, Map)
    return "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in node.entries.items()) + "}"


def _effects(
    name: str, before: Config | ConfigError, after: Config | ConfigError
) -> Iterator[Effect]:
    """Yield what changes in one environment. No secret is compared, because none is promoted.

    Raises ``InvalidConfigError`` for an environment that was valid and would be no more.
    """
    for impact in impacts({name: before}, {name: after}):
        if isinstance(before, Config) and impact.problem is not None:
            raise impact.problem
        for change in impact.changes:
            if not change.secret:
                yield Effect(name, change.key, change.before.value, change.after.value)
