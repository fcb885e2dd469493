"""What a project has, read as environments: one function for each kind of file."""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pgstrata.adoption import django, dotenv
from pgstrata.adoption.urls import is_url, keywords_of
from pgstrata.errors import UsageError
from pgstrata.layers import arguments
from pgstrata.layers.document import content_of, parse
from pgstrata.layers.nodes import Map, Node
from pgstrata.layers.project import DEFAULT_ENVIRONMENT, name_problem
from pgstrata.loading import load_file, load_mapping
from pgstrata.model import Config
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.libpq import keywords

KeyPath: TypeAlias = tuple[str, ...]
Settings: TypeAlias = dict[KeyPath, Node]


@dataclass(frozen=True, slots=True)
class Flags:
    """Whether references in a file of pgmonkey are followed, and with which variables."""

    environ: Mapping[str, str] = field(repr=False)
    resolve_env: bool = False
    allow_sensitive_defaults: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """One environment as it was: its settings by path, and the effective ones as a ``Config``.

    ``follows`` tells whether ``${NAME}`` in the settings is a reference. ``left`` says what the
    source has beside. The repr shows no setting, as any may be secret.
    """

    environment: str
    source: str
    settings: Settings = field(repr=False)
    config: Config
    follows: bool = False
    left: tuple[str, ...] = ()


def read(given: str, flags: Flags) -> list[Found]:
    """Return the environments of ``[NAME=]FILE``, of a variable's name, or of a URL without a
    password.

    Raises ``UsageError``, or ``InvalidConfigError`` with all that is wrong.
    """
    name, source = _named(given)
    if is_url(source):
        return [_of_url(source, name or DEFAULT_ENVIRONMENT, "the URL", flags, typed=True)]
    path = Path(source)
    if path.is_file():
        return list(_reader(path)(path, name, flags))
    if value := flags.environ.get(source):
        return [_of_url(value, name or DEFAULT_ENVIRONMENT, f"env {source}", flags)]
    raise UsageError(
        f"{source!r} is neither a file nor a variable that is set", hint="--from [NAME=]FILE"
    )


def _named(given: str) -> tuple[str, str]:
    name, equals, rest = given.partition("=")
    if equals and not Path(given).exists() and not name_problem(name):
        return name, rest
    return "", given


def _reader(path: Path) -> Callable[[Path, str, Flags], Iterator[Found]]:
    if path.suffix in (".yaml", ".yml", ".json"):
        return _yaml
    if path.suffix == ".py":
        return _django
    if path.suffix == ".ini":
        return _ini
    if path.name.endswith("pg_service.conf") or re.search(r"(?m)^\s*\[", _text(path)):
        return _services
    return _dotenv


def _yaml(path: Path, name: str, flags: Flags) -> Iterator[Found]:
    followed = {
        "resolve_env": flags.resolve_env,
        "allow_sensitive_defaults": flags.allow_sensitive_defaults,
    }
    config = load_file(path, environ=flags.environ, **followed)
    document = parse(content_of(path), "file", str(path))
    if "postgresql" in document.root.entries:
        document = arguments.unwrap(document)
    settings = flat(document.root)
    yield Found(name or _stem(path), str(path), settings, config, flags.resolve_env)


def _services(path: Path, name: str, flags: Flags) -> Iterator[Found]:
    """Yield each service; of two lines for one keyword the first counts, as for libpq."""
    services: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in map(str.strip, _text(path).splitlines()):
        if line.startswith("["):
            current = services.setdefault(line.strip("[]"), {})
        elif services and "=" in line and not line.startswith("#"):
            keyword, _, value = line.partition("=")
            current.setdefault(keyword.strip(), value.strip())
    if name and len(services) > 1:
        raise UsageError(f"{path} has {len(services)} services, whose names are the environments'")
    for service, given in services.items():
        sections = {"connection_settings": given}
        yield _of(sections, name or _clean(service), f"{path} [{service}]", flags)


def _dotenv(path: Path, name: str, flags: Flags) -> Iterator[Found]:
    given = dotenv.assignments(_text(path))
    of_libpq = {word.variable: word.name for word in keywords().values() if word.variable}
    settings = {of_libpq[name]: value for name, value in given.items() if name in of_libpq}
    urls = {name: value for name, value in given.items() if is_url(value)}
    sections: dict[str, Any] = {}
    top = "DATABASE_URL" if "DATABASE_URL" in urls else next(iter(urls), "")
    for variable, url in urls.items():
        found = keywords_of(url, f"{path}: {variable}")
        if variable == top:
            settings |= found
        else:
            target = re.sub(r"_?(database)?_?url$", "", variable.lower()) or variable.lower()
            sections.setdefault("connections", {})[target] = {"connection_settings": found}
    if not settings:
        raise UsageError(f"{path} has neither variables of libpq nor a PostgreSQL URL")
    sections["connection_settings"] = settings
    suffix = path.name.removeprefix(".env").removeprefix(".").removesuffix(".env")
    yield _of(sections, name or _clean(suffix or DEFAULT_ENVIRONMENT), str(path), flags)


def _django(path: Path, name: str, flags: Flags) -> Iterator[Found]:
    sections, left = django.databases(_text(path), str(path))
    if not sections:
        raise UsageError(f"{path} has no database that is PostgreSQL")
    yield _of(sections, name or _stem(path), str(path), flags, follows=True, left=left)


def _ini(path: Path, name: str, flags: Flags) -> Iterator[Found]:
    """Yield what ``sqlalchemy.url`` of an alembic.ini or a Pyramid file says."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(_text(path))
    except configparser.Error as error:
        raise UsageError(f"{path}: this is no INI file, from line {_line(error)}") from None
    urls = [parser[section].get("sqlalchemy.url", "") for section in parser.sections()]
    url = next((url.replace("%%", "%") for url in urls if is_url(url)), "")
    if not url:
        raise UsageError(f"{path} has no sqlalchemy.url that is PostgreSQL")
    yield _of_url(url, name or DEFAULT_ENVIRONMENT, str(path), flags)


def _line(error: configparser.Error) -> int:
    lines = (getattr(error, "lineno", 0), *(line for line, _ in getattr(error, "errors", ())))
    return max(map(int, lines))


def _of_url(url: str, name: str, source: str, flags: Flags, *, typed: bool = False) -> Found:
    if not is_url(url):
        raise UsageError(f"{source} is no PostgreSQL URL")
    settings = keywords_of(url, source)
    if typed and "password" in settings:
        del settings, url
        raise UsageError(
            "a URL with a password is not taken as an argument, which others can see",
            hint="put it into a variable, give the variable's name, and change the password",
        )
    return _of({"connection_settings": settings}, name, source, flags)


def _of(
    sections: dict[str, Any],
    name: str,
    source: str,
    flags: Flags,
    *,
    follows: bool = False,
    left: list[str] | None = None,
) -> Found:
    config = load_mapping(
        sections,
        resolve_env=follows,
        allow_sensitive_defaults=True,
        environ=flags.environ,
        source=source,
    )
    settings = flat(arguments.document(sections, source).root)
    return Found(name, source, settings, config, follows, tuple(left or ()))


def flat(root: Map) -> Settings:
    """Return the settings of a file by path. What is null is left out: it says nothing here."""
    found: Settings = {}
    for section, node in root.entries.items():
        if section == "connections" and isinstance(node, Map):
            for name, target in node.entries.items():
                inner = flat(target) if isinstance(target, Map) else {}
                found |= {("connections", name, *path): leaf for path, leaf in inner.items()}
        elif isinstance(node, Map) and SECTIONS[section].is_map:
            found |= {(section, name): leaf for name, leaf in node.entries.items()}
        else:
            found[section,] = node
    return {path: node for path, node in found.items() if not getattr(node, "null", False)}


def _stem(path: Path) -> str:
    return _clean(path.stem)


def _clean(name: str) -> str:
    """Return a text as the name of an environment. Raises ``UsageError``."""
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")
    if problem := name_problem(cleaned):
        raise UsageError(f"{name!r} cannot name an environment: {problem}", hint="say NAME=FILE")
    return cleaned


def _text(path: Path) -> str:
    try:
        return content_of(path).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text"
    raise UsageError(f"{path} cannot be read: {reason}")
