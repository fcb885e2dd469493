"""Tidiness: values that say nothing, and variables that say more than one would think."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pgstrata.check.scope import (
    FILE_LAYERS,
    Connection,
    Found,
    Project,
    Rule,
    Unknown,
    each,
    home,
    reading,
)
from pgstrata.layers.variables import PREFIX
from pgstrata.model import Config, Given, Origin, Secret, Setting
from pgstrata.schema.keys import SECTIONS
from pgstrata.schema.suggest import closest

# The variables that are no settings. Those that end in an underscore are followed by a name.
VARIABLES = (
    "PGSTRATA_ENV",
    "PGSTRATA_PROJECT",
    "PGSTRATA_LOCAL_DIR",
    "PGSTRATA_IDENTITY",
    "PGSTRATA_IDENTITY_FILE",
    "PGSTRATA_PASSPHRASE",
    "PGSTRATA_KEY_",
)


def redundant(project: Project) -> Iterator[Found]:
    """Find values of an overlay that are what the layer below says anyway."""
    for config in project.configs:
        for setting in _settings(config):
            for given, below in zip(setting.stack, setting.stack[1:], strict=False):
                if given.origin.layer == "overlay" and _same(setting.key, given, below):
                    name = setting.key.rpartition(".")[2]
                    yield Found(
                        config.environment,
                        f"{name} is what {below.origin} says anyway",
                        given.origin,
                        setting.key,
                        "remove the line",
                    )


def overridden_everywhere(project: Project) -> Iterator[Found | Unknown]:
    """Find values of base.yaml that no environment uses."""
    for name in project.unread:
        yield Unknown(name, "an environment that cannot be loaded may use a value of base.yaml")
    if len(project.configs) == 1 or project.unread:
        return
    unused = [_overridden(config) for config in project.configs]
    for origin, setting in (unused[0] if unused else {}).items():
        if all(origin in others for others in unused[1:]):
            name = setting.key.rpartition(".")[2]
            message = f"every environment overrides this {name}"
            for config in project.configs:
                yield Found(config.environment, message, origin, setting.key, "remove the line")


def unknown_variable(project: Project) -> Iterator[Found]:
    """Find variables that look like this program's own, and are not."""
    scalars = {f"{PREFIX}{name.upper()}" for name, section in SECTIONS.items() if section.key}
    for variable in sorted(project.environ):
        known = variable in scalars or variable in VARIABLES
        prefixed = any(variable.startswith(name) for name in VARIABLES if name.endswith("_"))
        if variable.startswith(PREFIX) and "__" not in variable and not (known or prefixed):
            guess = closest(variable, (*VARIABLES, *sorted(scalars)))
            for config in project.configs:
                yield Found(
                    config.environment,
                    f"nothing reads the variable {variable}",
                    Origin("environment", variable),
                    hint=f"did you mean {guess}?" if guess else "unset it",
                )


def ambient_variable(connection: Connection) -> Iterator[Found]:
    """Find variables of libpq that decide a value of a protected environment."""
    if connection.local or not connection.protected:
        return
    for setting in connection.settings.values():
        if setting.origin.layer == "libpq" and setting.origin.source.startswith("env "):
            name = setting.key.rpartition(".")[2]
            variable = setting.origin.source.removeprefix("env ")
            yield Found(
                connection.environment,
                f"{name} is decided by the variable {variable} of this process",
                home(connection.environment),
                setting.key,
                f"set {name} in the environment's own file, or unset {variable}",
            )


def _settings(config: Config) -> Iterable[Setting]:
    for key, setting in config.settings.items():
        if not setting.secret and key != "extends" and len(setting.stack) > 1:
            yield setting


def _same(key: str, given: Given, below: Given) -> bool:
    return (
        below.origin.layer in ("base", "overlay")
        and given.origin != below.origin
        and not isinstance(given.value, Secret)
        and reading(key, given.value) == reading(key, below.value)
    )


def _overridden(config: Config) -> dict[Origin, Setting]:
    """Return the values of base.yaml that a stronger file of this environment hides everywhere."""
    hidden: dict[Origin, Setting] = {}
    used: set[Origin] = set()
    for setting in config.settings.values():
        winner, *rest = setting.stack
        used.add(winner.origin)
        for given in rest if winner.origin.layer in FILE_LAYERS else ():
            if given.origin.layer == "base" and winner.origin.layer != "base":
                hidden.setdefault(given.origin, setting)
        used.update(given.origin for given in rest if winner.origin.layer not in FILE_LAYERS)
    return {origin: setting for origin, setting in hidden.items() if origin not in used}


RULES = (
    Rule(
        "redundant-override",
        "info",
        redundant,
        what="A value in an environment's file equals what it would inherit anyway, as PostgreSQL"
        " reads it: `5s` equals `5000`. Secrets are not compared.",
        why="When the shared value changes, this one stays behind, and nobody meant it to.",
        remedy="Remove the line.",
    ),
    Rule(
        "overridden-everywhere",
        "info",
        overridden_everywhere,
        what="Every environment overrides a value of base.yaml.",
        why="Who edits it expects a change, and there is none.",
        remedy="Remove it from base.yaml, or the overrides that equal each other.",
        compares=True,
    ),
    Rule(
        "unread-variable",
        "warning",
        unknown_variable,
        what="A variable begins with `PGSTRATA_`, and nothing reads it.",
        why="It is most likely misspelt, and what it should do does not happen.",
        remedy="Correct its name, or unset it. A setting has two underscores:"
        " `PGSTRATA_POOL_SETTINGS__MAX_SIZE`.",
    ),
    Rule(
        "ambient-variable",
        "warning",
        each(ambient_variable),
        what="A `PG…` variable of the process decides a value of a protected environment, because"
        " the environment does not.",
        why="The same environment is another one in another shell.",
        remedy="Set the value in the environment's own file.",
    ),
)
