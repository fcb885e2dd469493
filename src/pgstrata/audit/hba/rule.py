"""One line of pg_hba.conf as the server has read it: a row of ``pg_hba_file_rules``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from pgstrata.audit.hba.line import REGEX_VERSION
from pgstrata.model import MASK
from pgstrata.secrets.redact import is_secret_key

Network: TypeAlias = IPv4Network | IPv6Network

# These messages of the server quote what stands in the file, which may be a password.
_QUOTING = re.compile(r"(name=value format: |LDAP URL |RADIUS secret list ).*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, or what the server says of a line that is none.

    ``databases`` and ``users`` are tokens as the view shows them: without their quotes, so that
    ``all`` is taken for the keyword. ``address`` is an IP address, ``all``, ``samehost``,
    ``samenet``, a host name, or empty for ``local``; only an IP address has a ``netmask``.
    ``options`` are ``name=value`` with the secrets masked. ``regexes`` says whether a leading slash
    makes a regular expression of a token.
    """

    type: str
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str = ""
    netmask: str = ""
    method: str = ""
    options: tuple[str, ...] = ()
    error: str = ""
    file: str = "pg_hba.conf"
    line: int = 0
    regexes: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", redact_options(self.options))
        object.__setattr__(self, "error", redact_error(self.error))

    @classmethod
    def from_row(cls, row: Mapping[str, Any], version: int) -> Rule:
        """Return the rule of a row of a server of this major version.

        Until 15 the view has no ``file_name``: all lines are those of one file.
        """
        return cls(
            type=row["type"] or "",
            databases=tuple(row["database"] or ()),
            users=tuple(row["user_name"] or ()),
            address=row["address"] or "",
            netmask=row["netmask"] or "",
            method=row["auth_method"] or "",
            options=tuple(row["options"] or ()),
            error=row["error"] or "",
            file=row.get("file_name") or "pg_hba.conf",
            line=row["line_number"] or 0,
            regexes=version >= REGEX_VERSION,
        )

    @property
    def broken(self) -> bool:
        """Whether the server refuses the whole file for this line.

        For some mistakes the view shows a row without any error, so only the missing type tells. A
        row with both an error and a type is a rule that counts, but can never match.
        """
        return not self.type

    @property
    def place(self) -> str:
        """File and line, as an editor opens them."""
        return f"{self.file}:{self.line}"

    @property
    def network(self) -> Network | None:
        """The addresses that match, where they are one network.

        They are not for a keyword, a host name, or a netmask with gaps.
        """
        if not self.netmask:
            return None
        try:
            # IPv6Network takes no netmask, and IPv4Network takes a mask's complement for one.
            return ip_network(f"{self.address}/{_prefix_length(self.netmask)}", strict=False)
        except ValueError:
            return None

    def option(self, name: str) -> str:
        """Return the value of an option, or an empty text."""
        return dict(option.partition("=")[::2] for option in self.options).get(name, "")

    def __str__(self) -> str:
        address = f"{self.address}/{self.netmask}" if self.netmask else self.address
        columns = [self.type, ",".join(self.databases), ",".join(self.users), address, self.method]
        return " ".join(filter(None, [*columns, *self.options]))


def rules(rows: Iterable[Mapping[str, Any]], version: int) -> tuple[Rule, ...]:
    """Return the rules of all rows, which are in the order of the file."""
    return tuple(Rule.from_row(row, version) for row in rows)


def redacted(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of ``pg_hba_file_rules`` with the secrets in its options and error masked."""
    options, error = row.get("options"), row.get("error")
    return {
        **row,
        "options": list(redact_options(options)) if options else options,
        "error": redact_error(error) if error else error,
    }


def redact_options(options: Iterable[str]) -> tuple[str, ...]:
    """Return ``name=value`` options with the values of ``ldapbindpasswd``, ``radiussecrets`` and
    their like masked.
    """
    return tuple(
        f"{name}={MASK}" if is_secret_key(name) else option
        for option in options
        for name in (option.partition("=")[0],)
    )


def redact_error(error: str) -> str:
    """Return the server's message about a line without what it quotes of a secret's value."""
    return _QUOTING.sub(rf"\g<1>{MASK}", error)


def _prefix_length(netmask: str) -> int:
    mask = ip_address(netmask)
    bits = f"{int(mask):0{mask.max_prefixlen}b}"
    if "01" in bits:
        raise ValueError(netmask)
    return bits.count("1")
