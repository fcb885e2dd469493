"""A first look at the environments: their names, files and ancestors, without loading any of them.

It reads three keys and nothing else, so it needs no libpq, and works where a file is broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgstrata.errors import InvalidConfigError
from pgstrata.layers.document import content_of, parse
from pgstrata.layers.nodes import Scalar
from pgstrata.layers.project import BASE, FOLDER, environments
from pgstrata.schema.decode import decode
from pgstrata.schema.keys import SECTIONS


@dataclass(frozen=True, slots=True)
class Outline:
    """One environment: the files that make it, weakest first, and what they say of its nature."""

    name: str
    extends: str | None
    protected: bool
    local: bool
    files: tuple[str, ...]


def outline(project: Path) -> list[Outline]:
    """Return the outlines of all environments. Raises ``ProjectNotFoundError``."""
    names = environments(project)
    said = {name: _said(project, name) for name in (BASE, *names)}
    return [_one(project, name, said) for name in names]


def _one(project: Path, name: str, said: dict[str, dict[str, str]]) -> Outline:
    chain = [name]
    # A missing parent and a circle end the chain: `check` says what is wrong with them.
    while (parent := said[chain[0]].get("extends", "")) in said and parent not in (BASE, *chain):
        chain.insert(0, parent)
    own = f"{name}.local"
    everything = {**said[BASE]}
    for values in (*(said[ancestor] for ancestor in chain), _said(project, own)):
        everything |= values
    candidates = [f"{stem}.yaml" for stem in (BASE, *chain, own, f"{name}.sealed")]
    return Outline(
        name,
        said[name].get("extends") or None,
        _holds("protected", everything),
        _holds("local", everything),
        tuple(file for file in candidates if (project / FOLDER / file).is_file()),
    )


def _holds(name: str, said: dict[str, str]) -> bool:
    key = SECTIONS[name].key
    assert key is not None
    try:
        return decode(key, said.get(name, "")) is True
    except ValueError:
        return False


def _said(project: Path, stem: str) -> dict[str, str]:
    """Return the three keys as a file has them, a null as an empty text; nothing for a file that
    cannot be read.
    """
    path = project / FOLDER / f"{stem}.yaml"
    try:
        root = parse(content_of(path), "overlay", path.name).root
    except (OSError, InvalidConfigError):
        return {}
    return {
        key: "" if node.null else node.text
        for key in ("extends", "protected", "local")
        if isinstance(node := root.entries.get(key), Scalar)
    }
