"""The tour of broken servers, from its page: each is found as the page says, and quiet after the
page's fix.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from tests.audit.program import (
    APP,
    AUDITOR,
    DB,
    HBA,
    RESET,
    Well,
    environments,
    merged,
    reload,
    run_sql,
    settings,
    with_hba,
)
from tests.certificates import Certificates
from tests.pooler import pgbouncer
from tests.servers import PASSWORD, Server
from tests.standby import Standby

from pgstrata.cli.group import run

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "broken-server-tour.md"
SECTION = re.compile(r"^## (\d+)\. (.+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Files: TypeAlias = dict[str, dict[str, Any]]  # by environment
Stop: TypeAlias = Generator[Files, None, None]


@dataclass(frozen=True)
class Place:
    """The servers of the tour."""

    plain: Server
    tls: Server
    standby: Standby
    primary: Server
    certificates: Certificates


@dataclass(frozen=True)
class Section:
    """One stop of the page: its title, what ``audit`` prints, and the fix by hand.

    ``sql`` is run by a superuser; ``client`` is laid over the environment's file; ``hba`` are the
    lines of pg_hba.conf afterwards.
    """

    title: str
    printed: str
    sql: tuple[str, ...]
    client: Mapping[str, Any]
    hba: tuple[str, ...]


def verified(place: Place, **over: Any) -> Files:
    """Return the files of a program that verifies the server with TLS."""
    tls = {"host": "localhost", "sslmode": "verify-full", "channel_binding": "require"}
    ca = {"sslrootcert": str(place.certificates.ca)}
    return {"production": settings(place.tls, **{**tls, **ca, **over})}


def expired(place: Place) -> Stop:
    """Serve a certificate that ended yesterday, then a new one."""
    conf = (place.tls.data / "postgresql.conf").read_text()
    for pair in (place.certificates.expired, place.certificates.server):
        place.tls.set_tls(pair, place.certificates.ca)
        (place.tls.data / "postgresql.conf").write_text(conf)
        reload(place.tls)
        yield verified(place)


def wrong_authority(place: Place) -> Stop:
    """Trust somebody who signed nothing, then the right file."""
    for path in (place.certificates.other_ca, place.certificates.ca):
        yield verified(place, sslrootcert=str(path))


def plain(place: Place) -> Stop:
    """Do nothing by hand beyond what the page says."""
    for _ in range(2):
        yield {"production": settings(place.plain)}


def order(place: Place) -> Stop:
    """Put a reject for all before the program's own line."""
    with_hba(place.plain, (HBA[1], f"host {DB} all 127.0.0.0/8 reject", HBA[0]))
    yield from plain(place)


def md5(place: Place) -> Stop:
    """Set the password while password_encryption is md5, then again."""
    place.plain.sql(f"SET password_encryption = 'md5'; ALTER ROLE {APP} PASSWORD '{PASSWORD}'")
    yield {"production": settings(place.plain)}
    place.plain.sql(f"ALTER ROLE {APP} PASSWORD '{PASSWORD}'")  # as \password does
    yield {"production": settings(place.plain)}


def slots(place: Place) -> Stop:
    """Let twenty replicas with a pool of four meet sixty slots."""
    many = {"services": [{"name": "web", "replicas": 20}]}
    for _ in range(2):
        yield {"production": settings(place.plain) | many}


def after(*statements: str) -> Callable[[Place], Stop]:
    """Return a stop that is broken by SQL."""

    def stop(place: Place) -> Stop:
        run_sql(place.plain, statements)
        yield from plain(place)

    return stop


def broken_file(place: Place) -> Stop:
    """Misspell a method, in a file that nobody has loaded since."""
    place.plain.set_hba((*HBA, f"host {DB} {APP} 10.0.0.0/8 scram-sha256"))
    yield from plain(place)


def pooled(place: Place) -> Stop:
    """Go through a pooler in transaction mode that the client does not know of."""
    users = {APP: PASSWORD, "postgres": PASSWORD}
    with pgbouncer(place.plain, "transaction", users) as port:
        for _ in range(2):
            yield {"production": settings(place.plain, port=port) | {"session_settings": {}}}


def one_cluster(place: Place) -> Stop:
    """Copy staging from production, with its host, then give it its own."""
    for server in (place.plain, place.primary):
        yield {"production": settings(place.plain), "staging": settings(server)}


def read_only(place: Place) -> Stop:
    """Lead the program to the standby, then to both hosts."""
    yield {"production": settings(place.standby)}
    both = f"{place.primary.port},{place.standby.port}"
    hosts = {"host": "127.0.0.1,127.0.0.1", "port": both}
    yield {"production": settings(place.standby, **hosts)}


STOPS: Mapping[str, tuple[str, Callable[[Place], Stop]]] = {
    "An expired certificate": ("tls.expiry", expired),
    "The wrong authority": ("tls.chain", wrong_authority),
    "A rule in the wrong place": ("auth.rule", order),
    "An MD5 hash under a SCRAM rule": ("auth.hash", md5),
    "More connections than slots": ("cap.slots", slots),
    "A role with a limit": ("cap.role_limit", after(f"ALTER ROLE {APP} CONNECTION LIMIT 3")),
    "A pool that the server empties": (
        "to.idle_kill",
        after(f"ALTER ROLE {APP} SET idle_session_timeout = '5min'"),
    ),
    "A change that waits for a restart": (
        "conf.pending_restart",
        after("ALTER SYSTEM SET max_connections = 200"),
    ),
    "A file that stops the next start": ("auth.file_errors", broken_file),
    "A pooler nobody mentioned": ("topo.pooler", pooled),
    "Two environments, one cluster": ("topo.same_cluster", one_cluster),
    "A standby where a primary was meant": ("topo.role", read_only),
}


def sections() -> list[Section]:
    """Read the page."""
    found = []
    for _, title, text in SECTION.findall(PAGE.read_text(encoding="utf-8")):
        blocks = dict(BLOCK.findall(text))
        statements = [line.partition("  --")[0] for line in blocks.get("sql", "").splitlines()]
        found.append(
            Section(
                title,
                blocks["console"].partition("\n")[2].strip(),
                tuple(statements),
                yaml.safe_load(blocks.get("yaml", "{}")),
                tuple(blocks.get("text", "").splitlines()),
            )
        )
    return found


def shown(text: str, place: Place) -> str:
    """Return a report as the page shows it: of another machine, on another day."""
    servers = (place.plain, place.tls, place.primary, place.standby)
    for server in servers:
        text = text.replace(str(server.data), "/var/lib/postgresql/data")
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", "db.example.com:5432", text)
    text = re.sub(r"/[^ :]*/((other_)?ca\.crt)", r"/etc/pgstrata/\1", text)
    text = re.sub(r"\d{4}-\d\d-\d\d(T[0-9:+]+)?", "2026-11-21", text)
    text = re.sub(r"(yaml):\d+:\d+", r"\1", text)
    text = re.sub(r"postgresql\.(auto\.)?conf:\d+", r"postgresql.\1conf", text)
    text = re.sub(r"process -?\d+ at this end, -?\d+ at", "process 4711 at this end, 815 at", text)
    text = text.replace("self signed", "self-signed")  # as OpenSSL 1.1 writes it
    return re.sub(r"\b\d{19}\b", "7526018394857291840", text)


def report(capsys: pytest.CaptureFixture[str], folder: Path, files: Files) -> tuple[int, str]:
    """Return exit code and output of ``pgstrata audit`` for these environments."""
    environments(folder, **files)
    everywhere = [word for name in files for word in ("-e", name)]
    code = run(["-C", str(folder), "audit", *everywhere, "--login", AUDITOR])
    return code, capsys.readouterr().out


def finding(text: str, check: str) -> str:
    """Return the first finding of a check in a report; empty where there is none."""
    paragraph = rf"^(FAIL|WARN) {re.escape(check)}[ :].*?(?=^$)"
    found = re.search(paragraph, text, re.MULTILINE | re.DOTALL)
    return found[0].strip() if found else ""


@pytest.fixture(scope="module")
def place(
    well: Well, well_tls: Server, pair: tuple[Server, Standby], lasting: Certificates
) -> Place:
    """Return the servers of the tour."""
    return Place(well.server, well_tls, pair[1], pair[0], lasting)


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.title)
def test_found_as_the_page_says_and_quiet_after_its_fix(
    section: Section, place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed is on the page, and what the page says helps."""
    check, stop = STOPS[section.title]
    with closing(stop(place)) as states:
        try:
            code, text = report(capsys, tmp_path, next(states))
            assert finding(shown(text, place), check) == section.printed
            assert code == (1 if section.printed.startswith("FAIL") else 0)
            run_sql(place.plain, section.sql)
            if section.hba:
                with_hba(place.plain, section.hba)
            files = {name: merged(file, section.client) for name, file in next(states).items()}
            _, text = report(capsys, tmp_path, files)
            assert finding(text, check) == ""
        finally:
            run_sql(place.plain, (*RESET, "ALTER SYSTEM RESET ALL"))
            with_hba(place.plain, HBA)


def test_the_page_has_every_stop() -> None:
    """Twelve of them, numbered, in the order of the tour."""
    there = [(number, title) for number, title, _ in SECTION.findall(PAGE.read_text())]
    assert there == [(str(number), title) for number, title in enumerate(STOPS, 1)]
    assert len(STOPS) == 12
