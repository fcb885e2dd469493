from __future__ import annotations

import psycopg
import pytest
from tests.servers import Server

from pgstrata.recommend.statements import conf_text, identifier, literal

TEXTS = [
    "plain",
    "it's",
    'a"b',
    r"back\slash",
    r"\'",
    "a b",
    ";--",
    "/*",
    "Ünï",
    "$$",
    "%s",
    "E'x'",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_sql_reads_back_what_was_meant(server: Server, text: str, conforming: str) -> None:
    """A name and a text, whatever the server takes backslashes for."""
    with psycopg.connect(**server.keywords()) as connection:
        connection.execute(f"SET standard_conforming_strings = {conforming}".encode())
        query = f"SELECT {literal(text)} AS {identifier(text)}"
        cursor = connection.execute(query.encode())
        assert cursor.description is not None
        assert (cursor.description[0].name, cursor.fetchone()) == (text, (text,))


def test_the_configuration_file_reads_back_what_was_meant(server: Server) -> None:
    """The server's own reader of such files says so."""
    names = [f"pgstrata.text{number}" for number in range(len(TEXTS))]
    file = server.data / "texts.conf"
    pairs = zip(names, TEXTS, strict=True)
    file.write_text("".join(f"{name} = {conf_text(text)}\n" for name, text in pairs), "utf-8")
    main = server.data / "postgresql.conf"
    before = main.read_text()
    try:
        main.write_text(f"{before}\ninclude 'texts.conf'\n")
        rows = server.sql(
            "SELECT name, setting FROM pg_file_settings WHERE sourcefile LIKE '%texts.conf'"
        )
    finally:
        main.write_text(before)
        file.unlink()
    assert dict(rows) == dict(zip(names, TEXTS, strict=True))
