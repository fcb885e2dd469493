"""What a check looks at: one client's connection beside what was seen of one of its servers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from pgstrata.audit.model import Gap, Outcome, Row, Snapshot, Status, UnreadError
from pgstrata.check.scope import Connection

# pg_settings leaves these rows out for who is not in pg_read_all_settings, so that absent means
# hidden, not missing.
HIDDEN_SETTINGS = frozenset(
    (
        "config_file data_directory dynamic_library_path external_pid_file hba_file ident_file"
        " jit_provider krb_server_keyfile log_directory log_filename primary_conninfo"
        " session_preload_libraries shared_preload_libraries ssl_ciphers ssl_dh_params_file"
        " ssl_ecdh_curve ssl_groups ssl_max_protocol_version ssl_min_protocol_version"
        " ssl_passphrase_command unix_socket_directories ssl_tls13_ciphers oauth_validator_libraries"
        " extension_control_path"
    ).split()
)
ALL_SETTINGS = "GRANT pg_read_all_settings TO {viewer};"


@dataclass(frozen=True)
class View:
    """One endpoint of one connection: what the client wants and what was seen.

    Each look at something that nobody could read raises ``UnreadError``, which makes the check's
    answer ``unknown``: a check need not think of privileges.
    """

    client: Connection
    snapshot: Snapshot

    def rows(self, fact: str) -> tuple[Row, ...]:
        """Return the rows of a fact. Raises ``UnreadError``."""
        found = self.snapshot.facts.get(fact)
        if found is None:
            default = Gap(self.snapshot.error or f"{fact} was not looked at")
            raise UnreadError(self.snapshot.gaps.get(fact, default))
        return found

    def row(self, fact: str) -> Row:
        """Return the only row of a fact. Raises ``UnreadError``."""
        rows = self.rows(fact)
        if not rows:
            raise UnreadError(Gap(f"{fact} returned no row"))
        return rows[0]

    @cached_property
    def version(self) -> int:
        """The server's major version. Raises ``UnreadError``."""
        return int(self.row("caps")["version_num"]) // 10000

    @cached_property
    def settings(self) -> Mapping[str, Row]:
        """The visible rows of pg_settings by name. Raises ``UnreadError``."""
        return {row["name"]: row for row in self.rows("settings")}

    def setting(self, name: str) -> Row:
        """Return the row of a parameter as the server has it. Raises ``UnreadError``."""
        row = self.settings.get(name)
        if row is not None:
            return row
        if name in HIDDEN_SETTINGS and not self.row("caps")["all_settings"]:
            viewer = self.snapshot.viewer
            raise UnreadError(
                Gap(
                    f"{name} is shown to members of pg_read_all_settings",
                    ALL_SETTINGS.format(viewer=viewer),
                )
            )
        raise UnreadError(Gap(f"PostgreSQL {self.version} has no {name}"))

    def found(self, status: Status, message: str, **more: object) -> Outcome:
        """Return an outcome."""
        return Outcome(status, message, **more)  # type: ignore[arg-type]  # the fields of Outcome


@dataclass(frozen=True)
class Fleet:
    """All endpoints that are looked at together."""

    views: tuple[View, ...]

    def __iter__(self) -> Iterator[View]:
        return iter(self.views)

    def by_environment(self) -> Mapping[str, tuple[View, ...]]:
        """Return the endpoints of each environment, in their order."""
        found: dict[str, list[View]] = {}
        for view in self.views:
            found.setdefault(view.client.environment, []).append(view)
        return {name: tuple(views) for name, views in found.items()}


def fleet(views: Iterable[View]) -> Fleet:
    """Return endpoints as one fleet."""
    return Fleet(tuple(views))
