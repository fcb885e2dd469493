"""What ``pgstrata init --from`` does: environments in layers from what is there, all or nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pgstrata.cli.output import tell
from pgstrata.errors import PgstrataError, UsageError
from pgstrata.schema.keys import SECRET_STORES

if TYPE_CHECKING:
    from pgstrata.adoption.plan import Plan
    from pgstrata.cli.options import Session
    from pgstrata.model import Secret
    from pgstrata.secrets.sealed.access import Access


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
    keep = _keeper(session, planned, store)
    with _undoing() as made:
        made.extend(_fresh(session.folder, planned))
        write(planned)
        keep(made)
        _check_written(session, planned, environ)
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


def _keeper(session: Session, planned: Plan, store: str | None) -> Callable[[list[Path]], None]:
    """Return what stores the secrets. Raises ``UsageError`` where something is in the way."""
    if not planned.secrets:
        return lambda _: None
    if store == "keyring":
        return _keyring(session, planned)
    return _sealed(session, planned)


def _keyring(session: Session, planned: Plan) -> Callable[[list[Path]], None]:
    from pgstrata.secrets import keyring

    project = session.folder.name
    for environment, values in planned.secrets.items():
        for key in values:
            if keyring.has(project, environment, key):
                raise UsageError(
                    f"the keyring has {key} of {environment} already",
                    hint=f"pgstrata secret remove {key} -e {environment} --store keyring",
                )

    entries = [
        (environment, key, value)
        for environment, values in planned.secrets.items()
        for key, value in values.items()
    ]

    def keep(_: list[Path]) -> None:
        for number, (environment, key, value) in enumerate(entries):
            try:
                keyring.set(project, environment, key, value)
            except PgstrataError:
                for done_in, done, _value in entries[:number]:
                    keyring.delete(project, done_in, done)
                raise

    return keep


def _sealed(session: Session, planned: Plan) -> Callable[[list[Path]], None]:
    from pgstrata.cli.commands.secret.keygen import Place
    from pgstrata.layers.variables import Environ
    from pgstrata.secrets import keyring
    from pgstrata.secrets.sealed import edit, keytext, lookup
    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.stores import sealed_path

    project = session.folder

    def seal(access: Access, place: Place, values: Mapping[str, Secret], made: list[Path]) -> None:
        path = sealed_path(project, access.environment)
        key = edit.create(path, access.environment, [])
        made.append(path)
        place.keep(keytext.private_text(key, None))
        made.append(place.path)
        edit.set_entries(path, access, values)
        tell(f"the private key of {access.environment} is in {place.words}; without it all is lost")

    steps: list[Callable[[list[Path]], None]] = []
    for environment, values in planned.secrets.items():
        access = Access(environment, project=project, environ=Environ(os.environ))
        service = keyring.service(project.name, environment)
        place = Place(lookup.key_path(access), service, lookup.KEYRING_USER, in_keyring=False)
        place.require_free()
        if os.path.lexists(sealed_path(project, environment)):
            raise UsageError(f"already there: {sealed_path(project, environment)}")
        steps.append(partial(seal, access, place, values))

    def keep(made: list[Path]) -> None:
        for step in steps:
            step(made)

    return keep


def _fresh(project: Path, planned: Plan) -> list[Path]:
    """Return the files that will be written and are not there yet."""
    from pgstrata.layers.project import FOLDER
    from pgstrata.schema.template import SCHEMA

    paths = [project / FOLDER / name for name in (*planned.files, SCHEMA)]
    return [path for path in paths if not os.path.lexists(path)]


@contextmanager
def _undoing() -> Iterator[list[Path]]:
    """Remove the files that the body has added to the list, if it fails."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in made:
            path.unlink(missing_ok=True)
        raise


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
        tell(f"the settings are what they were; {planned.count} secrets are kept: {store}")
        tell(f"when nothing needs it any more, remove the clear text from {', '.join(sources)}")
    else:
        tell("the settings are what they were")
    first = planned.found[0].environment
    tell(f"next: pgstrata check --all, then pgstrata test -e {first}")
