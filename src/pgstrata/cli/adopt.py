"""What ``pgstrata init --from`` does: environments in layers from what is there, all or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgstrata.cli.keeping import keeper
from pgstrata.cli.output import tell
from pgstrata.errors import UsageError
from pgstrata.schema.keys import SECRET_STORES

if TYPE_CHECKING:
    from pgstrata.adoption.plan import Plan
    from pgstrata.cli.options import Session


def adopt(
    session: Session,
    given: tuple[str, ...],
    store: str | None,
    write: Callable[[Plan], None],
    *,
    resolve_env: bool,
    allow_sensitive_defaults: bool,
) -> None:
    """Plan environments, prove that they mean what was there before, have them written, store the
    secrets, and prove it again. What fails leaves nothing behind.
    """
    from pgstrata.adoption import plan, sources

    environ = _environ()
    flags = sources.Flags(environ, resolve_env, allow_sensitive_defaults)
    found = [one for text in given for one in sources.read(text, flags)]
    planned = plan.plan(found, session.folder, store)
    if planned.secrets and store is None:
        store = _asked(planned)
        planned = plan.plan(found, session.folder, store)
    _refuse(plan.in_memory(planned, session.folder, environ))
    keep = keeper(session.folder, planned.secrets, store)
    with ExitStack() as undo:
        for path in _fresh(session.folder, planned):
            undo.callback(path.unlink, missing_ok=True)
        write(planned)
        keep(undo)
        _check_written(session, planned, environ)
        undo.pop_all()
    _tell(planned, store)


def _environ() -> dict[str, str]:
    """Return the variables without those that are settings: they are no part of what was there."""
    return {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("PGSTRATA_") and "__" in name)
    }


def _asked(planned: Plan) -> str:
    """Ask where the passwords go. Raises ``UsageError`` where nobody can be asked."""
    some = f"{planned.count} secrets are" if planned.count > 1 else "a secret is"
    words = f"{some} in clear text"
    if not sys.stdin.isatty():
        raise UsageError(
            f"{words}, and the new files will have none",
            hint="--store sealed keeps them in encrypted files, --store keyring with this user",
        )
    tell(f"{words}; the new files will have none")
    kinds = click.Choice(SECRET_STORES)
    return str(click.prompt("pgstrata: keep them where?", type=kinds, err=True))


def _refuse(different: Mapping[str, list[str]]) -> None:
    """Raise ``UsageError`` where settings would be others than before, after telling which."""
    for environment, words in different.items():
        for line in words:
            tell(f"{environment}: {line}")
    if different:
        raise UsageError(
            "nothing is written: the settings above would not be what they were",
            hint="change them in what --from names, and try again",
        )


def _fresh(project: Path, planned: Plan) -> list[Path]:
    """Return the files that will be written and are not there yet."""
    from pgstrata.layers.project import FOLDER
    from pgstrata.schema.template import SCHEMA

    paths = [project / FOLDER / name for name in (*planned.files, SCHEMA)]
    return [path for path in paths if not os.path.lexists(path)]


def _check_written(session: Session, planned: Plan, environ: Mapping[str, str]) -> None:
    """Load what was written as every program will, secrets and all, and compare."""
    from pgstrata.adoption import plan
    from pgstrata.loading import load_many

    names = [one.environment for one in planned.found]
    after = load_many(names, project=session.folder, environ=environ)
    _refuse(plan.differences(planned, after))


def _tell(planned: Plan, store: str | None) -> None:
    for one in planned.found:
        for words in one.left:
            tell(f"{one.source}: {words} is not taken over")
    if planned.secrets:
        sources = dict.fromkeys(
            one.source for one in planned.found if one.environment in planned.secrets
        )
        kept = "a secret is" if planned.count == 1 else f"{planned.count} secrets are"
        tell(f"the settings are what they were; {kept} in the {store} store")
        tell(f"when nothing needs it any more, remove the clear text from {', '.join(sources)}")
    else:
        tell("the settings are what they were")
    first = planned.found[0].environment
    tell(f"next: pgstrata check --all, then pgstrata test -e {first}")
