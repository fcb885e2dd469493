"""From layers to a Config, with all problems at once."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pgstrata import stores
from pgstrata.effective import resolve
from pgstrata.errors import ConfigError, EnvironmentNotFoundError, InvalidConfigError
from pgstrata.layers import arguments, urls, variables
from pgstrata.layers.document import Document, content_of, parse
from pgstrata.layers.files import Reader
from pgstrata.layers.folder import Folder, on_disk
from pgstrata.layers.project import FOLDER, environment_name, project_folder
from pgstrata.layers.references import References
from pgstrata.layers.shape import attach_lines, shape
from pgstrata.model import Config, Finding, Layer, Origin
from pgstrata.validation import describes_a_server, problems

# After one of these, whatever is missing may well be in the part that was not read.
_NOT_READ = ("yaml-syntax", "unreadable", "extends")

Merge: TypeAlias = Callable[[Sequence[Layer]], dict[str, Any]]


def load(
    environment: str | None = None,
    *,
    project: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Config:
    """Load one environment of a project.

    ``environment`` falls back to ``PGSTRATA_ENV``, then to ``development``; ``project``, the folder
    that holds ``environments/``, to ``PGSTRATA_PROJECT``, then to the current folder. ``environ``
    stands in for the variables of the process. ``overrides`` are the strongest layer: values by
    dotted key.

    Raises ``InvalidConfigError`` with everything that is wrong, ``ProjectNotFoundError`` and
    ``EnvironmentNotFoundError``.
    """
    from pgstrata.layers.merge import merge

    environ = variables.Environ(os.environ if environ is None else environ)
    given = arguments.overrides(overrides or {})
    del overrides  # a traceback with locals would show the passwords among them
    reader = Reader(on_disk(project_folder(project, environ)), environ)
    try:
        return _load(reader, environment_name(environment, environ), given, merge)
    except EnvironmentNotFoundError as error:
        if environment is None:
            chosen = "PGSTRATA_ENV says so" if environ.get("PGSTRATA_ENV") else "it is the default"
            error.hint += f"; {chosen}, -e or env= names another"
        raise


def load_many(
    environments: Iterable[str],
    *,
    project: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Folder | None = None,
) -> dict[str, Config | ConfigError]:
    """Load several environments, reading each file once. One that cannot be loaded is there as its
    error. ``folder`` stands in for the files on disk.
    """
    from pgstrata.layers.merge import fold

    environ = variables.Environ(os.environ if environ is None else environ)
    reader = Reader(folder or on_disk(project_folder(project, environ)), environ)
    given = arguments.overrides({})
    return _each(environments, lambda name: _load(reader, name, given, fold))


def load_shared(
    environments: Iterable[str], folder: Folder, *, environ: Mapping[str, str] | None = None
) -> dict[str, Config | ConfigError]:
    """Load several environments as the files describe them that all machines share.

    What differs by machine is left out: the local file, ``PGSTRATA_`` variables, and what libpq
    would fill in. For the same reason a reference that leads nowhere is no error: its key has no
    value, and the config's ``findings`` have a warning ``interpolation`` for it.
    """
    environ = variables.Environ(os.environ if environ is None else environ)
    reader = Reader(folder.shared(), environ)
    return _each(environments, lambda name: _load_shared(reader, name))


def _each(
    environments: Iterable[str], one: Callable[[str], Config]
) -> dict[str, Config | ConfigError]:
    results: dict[str, Config | ConfigError] = {}
    for name in environments:
        try:
            results[name] = one(name)
        except ConfigError as error:
            results[name] = error
    return results


def load_file(
    path: str | Path,
    *,
    resolve_env: bool = False,
    allow_sensitive_defaults: bool = False,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Load one file that is all of the configuration, in pgmonkey's format.

    References to variables and files are followed only with ``resolve_env``; fallbacks for secrets
    are taken only with ``allow_sensitive_defaults``. Raises ``InvalidConfigError``.
    """
    path = Path(path)
    try:
        document = parse(content_of(path), "file", str(path))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", hint="give the path of a YAML file"
        ) from None
    environ = variables.Environ(os.environ if environ is None else environ)
    references = References(environ, Path(), resolve_env, allow_sensitive_defaults)
    return _single(document, references, environ)


def load_mapping(
    data: Mapping[str, Any],
    *,
    resolve_env: bool = False,
    allow_sensitive_defaults: bool = False,
    environ: Mapping[str, str] | None = None,
    source: str = "",
) -> Config:
    """Load what a file in pgmonkey's format would hold from a dictionary. Raises
    ``InvalidConfigError``. ``source`` names the file that the dictionary was made of, if it was.
    """
    document = arguments.document(data, source)
    del data  # a traceback with locals would show the password in it
    environ = variables.Environ(os.environ if environ is None else environ)
    references = References(environ, Path(), resolve_env, allow_sensitive_defaults)
    return _single(document, references, environ)


def _load(reader: Reader, environment: str, given: Document, merge: Merge) -> Config:
    layers, findings = reader.layers(environment)
    said = variables.read(reader.environ), arguments.read(given)
    named = stores.named([*layers, said[-1][0]])
    for layer, found in (*stores.read(named, reader, environment, layers), *said):
        layers.append(layer)
        findings = findings + found
    home = Origin("overlay", f"{FOLDER}/{environment}.yaml", 1, 1)
    of = _Home(environment, reader.folder.project, home, reader.with_lines)
    return _config(of, layers, [*findings, *_undeclared(layers)], merge, reader.environ)


def _undeclared(layers: Sequence[Layer]) -> Iterator[Finding]:
    """Yield a finding for each connection that no file has. An argument is called by its key."""
    for finding in variables.undeclared(layers):
        if finding.origin.layer == "arguments":
            name = finding.origin.source.rpartition(f"{variables.PREFIX}CONNECTIONS__")[2].lower()
            yield replace(finding, origin=Origin("arguments", f"connections.{name}"))
        else:
            yield finding


def _load_shared(reader: Reader, environment: str) -> Config:
    from pgstrata.layers.merge import fold

    layers, findings = reader.layers(environment)
    # The keyring is one machine's own; a sealed file is everybody's.
    shared = [store for store in stores.named(layers) if store == "sealed"]
    for layer, found in stores.read(shared, reader, environment, layers):
        layers.append(layer)
        findings = findings + found
    home = Origin("overlay", reader.folder.source(f"{environment}.yaml"), 1, 1)
    of = _Home(environment, reader.folder.project, home, reader.with_lines)
    return _config(of, layers, findings, fold, None)


def _single(document: Document, references: References, environ: Mapping[str, str]) -> Config:
    from pgstrata.layers.merge import fold

    if "postgresql" in document.root.entries:
        warnings.warn(
            "the postgresql: wrapper is not needed any more; its sections may stand at the top",
            DeprecationWarning,
            stacklevel=3,
        )
        document = arguments.unwrap(document)
    layer, findings = shape(document, references)
    findings = [*findings, *_only_in_a_project(layer)]
    origin = Origin("file", document.source, 1, 1)

    def lines(found: Iterable[Finding]) -> list[Finding]:
        return attach_lines(found, lambda at: document if at.source == document.source else None)

    return _config(_Home("", Path(), origin, lines), [layer], findings, fold, environ)


def _only_in_a_project(layer: Layer) -> Iterator[Finding]:
    """Yield a finding about stores, in which nobody would look."""
    named = layer.tree.get("secret_stores")
    if named is not None and named.value is not None:
        message = "secret_stores: stores belong to a project, and to no single file"
        hint = "refer to secrets: {from_env: NAME} or {from_file: path}"
        yield Finding("misplaced-section", message, named.origin, key="secret_stores", hint=hint)


class _Home(NamedTuple):
    """What is loaded: ``origin`` is where a missing setting would be written, and ``with_lines``
    gives findings the lines that they are about.
    """

    environment: str
    project: Path
    origin: Origin
    with_lines: Callable[[Iterable[Finding]], list[Finding]]


def _config(
    of: _Home,
    layers: list[Layer],
    findings: list[Finding],
    merge: Merge,
    environ: Mapping[str, str] | None,
) -> Config:
    layers, malformed = urls.expand(layers)
    settings, targets, unresolved = resolve(layers, merge(layers), environ)
    followed = [*malformed, *unresolved]
    if environ is None:
        followed = [_not_here(finding) for finding in followed]
    findings = [*findings, *followed]
    default = targets["default"]
    if len(targets) > 1 and not describes_a_server(default):
        settings |= targets.pop("default")
    incomplete = any(f.rule in _NOT_READ for f in findings) or any(
        f.severity == "warning" for f in followed
    )
    complete = of.origin.layer == "overlay" and not incomplete
    found = [
        f
        for target in targets.values()
        for f in problems(target, home=of.origin, complete=complete)
    ]
    told = of.with_lines([*findings, *_not_said(found, findings)])
    ordered = _sorted(told, of.environment)
    config = Config(of.environment, of.project, settings, targets, ordered)
    if any(finding.severity == "error" for finding in ordered):
        raise InvalidConfigError(ordered, config)
    return config


def _not_here(finding: Finding) -> Finding:
    """Make a reference that leads nowhere on this machine a warning: another may well follow it."""
    return replace(finding, severity="warning") if finding.rule == "interpolation" else finding


def _not_said(found: Iterable[Finding], said: Iterable[Finding]) -> list[Finding]:
    """Leave out that a key is missing which is there, but could not be read."""
    keys = {finding.key for finding in said}
    return [f for f in found if f.rule != "missing-setting" or f.key not in keys]


def _sorted(findings: Iterable[Finding], environment: str) -> tuple[Finding, ...]:
    """Return the findings in the order of the files, each once: what named connections inherit is
    found in each of them.
    """
    once: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        key = re.sub(r"^connections\.[^.]*\.", "", finding.key)
        once.setdefault((finding.rule, finding.origin, key), finding)
    own = (replace(finding, environment=environment) for finding in once.values())
    return tuple(
        sorted(
            own, key=lambda f: (f.origin.source, f.origin.line, f.origin.column, f.rule, f.message)
        )
    )
