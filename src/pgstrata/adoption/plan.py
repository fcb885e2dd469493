"""Environments in layers: what all share in base.yaml, what differs in the overlays, passwords
nowhere; and the proof that nothing has changed by that.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgstrata.adoption.sources import Found, KeyPath, Settings
from pgstrata.adoption.urls import is_url, keywords_of
from pgstrata.errors import ConfigError, UsageError
from pgstrata.layers import stores
from pgstrata.layers.folder import Folder
from pgstrata.layers.nodes import EMPTY, Map, Node, Scalar, Sequence
from pgstrata.layers.project import FOLDER
from pgstrata.layers.references import KINDS
from pgstrata.loading import load_many
from pgstrata.model import Config, Secret, Value
from pgstrata.promotion.edit import edited
from pgstrata.promotion.plan import IDENTITY
from pgstrata.schema.keys import CONNECTION
from pgstrata.schema.template import EDITOR

_SECTION = "connection_settings"


@dataclass(frozen=True, slots=True)
class Plan:
    """The files to write, by name in ``environments/``, and the secrets to store, by environment
    and setting. The repr shows no content.
    """

    found: tuple[Found, ...]
    files: dict[str, bytes] = field(repr=False)
    secrets: dict[str, dict[str, Secret]] = field(repr=False)

    @property
    def texts(self) -> dict[str, str]:
        """The files as text, with the line that tells an editor where the schema is."""
        return {name: EDITOR + content.decode() for name, content in self.files.items()}

    @property
    def count(self) -> int:
        """How many secrets there are."""
        return sum(map(len, self.secrets.values()))


def plan(found: Several[Found], project: Path, store: str | None) -> Plan:
    """Return what makes layered environments of ``found``. ``store`` is where secrets will be kept.

    Raises ``UsageError`` where two environments have one name, or a file cannot be written.
    """
    names = [one.environment for one in found]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(
            f"two environments would be called {', '.join(sorted(twice))}",
            hint="name them: --from NAME=FILE",
        )
    written: dict[str, Settings] = {}
    secrets: dict[str, dict[str, Secret]] = {}
    for one in found:
        settings = _moved(_split_urls(one), project)
        literal = {path for path, node in settings.items() if _is_clear(path, node, one)}
        if kept := {".".join(path): _secret(settings.pop(path), one) for path in sorted(literal)}:
            secrets[one.environment] = kept
        written[one.environment] = {
            path: node if one.follows else _escaped(node) for path, node in settings.items()
        }
    shared = _shared(list(written.values()))
    base = dict(shared)
    if secrets and store is not None and store != "sealed":
        base["secret_stores",] = Sequence((_scalar(store),), EMPTY.span)
    files = {"base.yaml": _file("What all environments share.", base)}
    for one in found:
        own = {k: v for k, v in written[one.environment].items() if k not in shared}
        files[f"{one.environment}.yaml"] = _file(f"From {one.source}.", own)
    return Plan(tuple(found), files, secrets)


def _split_urls(one: Found) -> Settings:
    """Return the settings with each literal URL as its keywords: a store holds the password alone.
    What stands beside the URL wins over it.
    """
    settings = dict(one.settings)
    for path, node in one.settings.items():
        if path[-2:] == (_SECTION, "url") and isinstance(node, Scalar) and is_url(node.text):
            if one.follows and "${" in node.text:
                continue
            parts = keywords_of(node.text, f"{one.source}: url")
            del settings[path]
            for name, text in parts.items():
                settings.setdefault((*path[:-1], name), _scalar(text))
    return settings


def _moved(settings: Settings, project: Path) -> Settings:
    """Return the settings with relative paths as the project folder sees them, not this one."""
    if project == Path.cwd():
        return settings
    return {
        path: _relative(node, project)
        if path[-2:-1] == (_SECTION,) and (key := CONNECTION.get(path[-1])) and key.path
        else _relative_reference(node, project)
        for path, node in settings.items()
    }


def _relative_reference(node: Node, project: Path) -> Node:
    if not isinstance(node, Map) or set(node.entries) != {"from_file"}:
        return node
    return Map({"from_file": _relative(node.entries["from_file"], project)}, node.keys, node.span)


def _relative(node: Node, project: Path) -> Node:
    if not isinstance(node, Scalar) or node.text in ("", "system") or "${" in node.text:
        return node
    if Path(node.text).is_absolute():
        return node
    return _scalar(Path(os.path.relpath(node.text, project)).as_posix())


def _is_clear(path: KeyPath, node: Node, one: Found) -> bool:
    """Whether it is a secret in clear text."""
    if not isinstance(node, Scalar) or not node.text or stores.problem(".".join(path)):
        return False
    return not (one.follows and "${" in node.text.replace("$${", ""))


def _secret(node: Node, one: Found) -> Secret:
    assert isinstance(node, Scalar)
    text = node.text.replace("$${", "${") if one.follows else node.text
    return Secret(text, source=one.source)


def _escaped(node: Node) -> Node:
    """Return a node whose texts mean themselves where ``${`` begins a reference."""
    if isinstance(node, Scalar):
        return Scalar(node.text.replace("${", "$${"), node.plain, node.span)
    if isinstance(node, Sequence):
        return Sequence(tuple(map(_escaped, node.items)), node.span)
    if set(node.entries) <= set(KINDS):
        return node
    entries = {name: _escaped(inner) for name, inner in node.entries.items()}
    return Map(entries, node.keys, node.span)


def _shared(every: Several[Settings]) -> Settings:
    """Return what all environments have in common. Of a single one that is what does not say which
    server it is.
    """
    first, *others = every
    if not others:
        return {path: node for path, node in first.items() if not _says_which(path)}
    return {
        path: node
        for path, node in first.items()
        if all(path in other and _meant(node) == _meant(other[path]) for other in others)
    }


def _says_which(path: KeyPath) -> bool:
    return path[-2:-1] == (_SECTION,) and (
        path[-1] in IDENTITY[_SECTION] or not stores.problem(_key(path))
    )


def _key(path: KeyPath) -> str:
    return ".".join(path)


def _meant(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return tuple(map(_meant, node.items))
    return {name: _meant(inner) for name, inner in node.entries.items()}


def _scalar(text: str) -> Scalar:
    return Scalar(text, plain=False, span=EMPTY.span)


def _file(title: str, settings: Settings) -> bytes:
    if not settings:
        return f"# {title}\n".encode()
    made = edited(f"# {title}\n".encode(), settings)
    if made.problem:
        raise UsageError(f"the settings cannot be written: {made.problem}")
    return made.content


def in_memory(planned: Plan, project: Path, environ: Mapping[str, str]) -> dict[str, list[str]]:
    """Return by environment which settings would be others than before, in words; secrets that
    will be stored are taken to be there. Nothing is written.
    """
    folder = Folder(project, frozenset(planned.files), _reading(planned.files, project))
    names = [one.environment for one in planned.found]
    after = load_many(names, folder=folder, environ=environ)
    return differences(planned, after, stored=planned.secrets)


def _reading(files: Mapping[str, bytes], project: Path) -> Any:
    def content(path: str) -> bytes:
        name = path.removeprefix(f"{FOLDER}/")
        return files[name] if name in files else (project / path).read_bytes()

    return content


def differences(
    planned: Plan,
    after: Mapping[str, Config | ConfigError],
    stored: Mapping[str, Iterable[str]] | None = None,
) -> dict[str, list[str]]:
    """Return by environment which settings are not what they were, without a secret in it."""
    result: dict[str, list[str]] = {}
    for one in planned.found:
        now = after[one.environment]
        skipped = {*(stored or {}).get(one.environment, ()), "secret_stores"}
        words = [str(now)] if isinstance(now, ConfigError) else _different(one, now, skipped)
        if words:
            result[one.environment] = words
    return result


def _different(one: Found, now: Config, skipped: Iterable[str]) -> list[str]:
    urls = {key for key in one.config if key.endswith(f"{_SECTION}.url")}
    words = []
    for key in sorted({*one.config, *now} - urls - {*skipped}):
        before, after = _side(one.config, key), _side(now, key)
        if before != after:
            shown = "" if _is_secret(one.config, now, key) else f": {before} before, {after} after"
            words.append(f"{key}{shown}")
    return words


def _is_secret(before: Config, after: Config, key: str) -> bool:
    settings = [side.settings[key] for side in (before, after) if key in side]
    return any(setting.secret or isinstance(setting.value, Secret) for setting in settings)


def _side(config: Config, key: str) -> Value:
    """Return a value as it can be compared: a secret's text, a path from the root."""
    value = config.get(key)
    if isinstance(value, Secret):
        try:
            return value.reveal()
        except ConfigError:
            return f"unknown, from {value.source}"
    known = CONNECTION.get(key.rpartition(".")[2])
    if known is not None and known.path and value not in (None, "", "system"):
        return str(Path(os.path.abspath(config.project / str(value))))  # noqa: PTH100  # links stay
    return value
