"""``pgstrata secret keygen``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import click

from pgstrata.cli import options
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import sealed_file
from pgstrata.cli.secret_input import SecretCommand, prompt
from pgstrata.errors import PgstrataError, UsageError
from pgstrata.model import Secret


@click.command("keygen", cls=SecretCommand)
@options.environment
@click.option(
    "--recipient",
    "recipients",
    metavar="PUBLIC_KEY",
    multiple=True,
    help="Who can open the file besides; may be repeated.",
)
@click.option(
    "--identity",
    metavar="NAME",
    help="Make the key of a member or of CI instead, and print its public half.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the private key is written [the user's own folder].",
)
@click.option("--keyring", "in_keyring", is_flag=True, help="Keep it in the OS keyring instead.")
@click.option("--passphrase", "ask", is_flag=True, help="Ask for a passphrase to put it under.")
@click.pass_obj
def command(
    session: options.Session,
    environment: str | None,
    recipients: tuple[str, ...],
    identity: str | None,
    file: Path | None,
    *,
    in_keyring: bool,
    ask: bool,
) -> None:
    """Make an environment's key and its sealed file.

    With --identity, make a member's own key instead.
    """
    if file is not None and in_keyring:
        raise UsageError("--file and --keyring exclude each other")
    if identity is None:
        _environment_key(session, environment, recipients, file, in_keyring=in_keyring, ask=ask)
    else:
        _identity(session, identity, file, in_keyring=in_keyring, ask=ask)


def _environment_key(
    session: options.Session,
    environment: str | None,
    recipients: tuple[str, ...],
    file: Path | None,
    *,
    in_keyring: bool,
    ask: bool,
) -> None:
    from pgstrata.secrets import keyring
    from pgstrata.secrets.sealed import edit, keytext, lookup

    sealed = sealed_file(session, environment)
    members = [keytext.read_public(text) for text in recipients]
    service = keyring.service(sealed.access.project.name, sealed.environment)
    place = Place(file or lookup.key_path(sealed.access), service, lookup.KEYRING_USER, in_keyring)
    place.require_free()
    passphrase = prompt("passphrase: ", again="once more: ") if ask else None
    key = edit.create(sealed.path, sealed.environment, members)
    try:
        place.keep(keytext.private_text(key, passphrase))
    except PgstrataError:
        sealed.path.unlink()  # nobody could ever open it
        raise
    tell(f"made {sealed.name}, under key {key.public.id}")
    tell(f"its private key is in {place.words}; without it, or a recipient, all is lost")
    tell(f"next: pgstrata secret set connection_settings.password -e {sealed.environment}")


def _identity(
    session: options.Session, name: str, file: Path | None, *, in_keyring: bool, ask: bool
) -> None:
    from pgstrata.layers.variables import Environ
    from pgstrata.secrets import keyring
    from pgstrata.secrets.sealed import keytext, lookup, parse
    from pgstrata.secrets.sealed.access import Access
    from pgstrata.secrets.sealed.keys import new_identity

    if not parse.NAME.pattern.fullmatch(name):
        raise UsageError("a member needs another name", hint=f"it has {parse.NAME.words}")
    access = Access("identity", project=session.folder, environ=Environ(os.environ))
    path = file or lookup.identity_path(access)
    place = Place(path, keyring.SERVICE, lookup.IDENTITY, in_keyring)
    place.require_free()
    own = new_identity(name)
    passphrase = prompt("passphrase: ", again="once more: ") if ask else None
    place.keep(keytext.private_text(own, passphrase))
    tell(f"the private key of {name} is in {place.words}; this is the public one, to be passed on:")
    click.echo(keytext.public_text(own))


class Place(NamedTuple):
    """Where a new private key goes: a file, or an entry of the OS keyring."""

    path: Path
    service: str
    user: str
    in_keyring: bool

    @property
    def words(self) -> str:
        """The place as messages show it."""
        return f"the keyring, {self.service} {self.user}" if self.in_keyring else str(self.path)

    def require_free(self) -> None:
        """Raise ``UsageError`` where there is a key already: it may be the only one to something,
        even of another project whose folder has the same name.
        """
        from pgstrata.secrets import keyring

        taken = (
            keyring.find(self.service, self.user) is not None
            if self.in_keyring
            else self.path.exists()
        )
        if taken:
            raise UsageError(
                f"there is a key in {self.words} already",
                hint="a key is never overwritten: move it away first, or say --file",
            )

    def keep(self, text: Secret) -> None:
        """Write the key."""
        from pgstrata.secrets import keyring
        from pgstrata.secrets.sealed import keyfile

        if self.in_keyring:
            keyring.store(self.service, self.user, text)
        else:
            keyfile.save(self.path, text)
