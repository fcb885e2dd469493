from __future__ import annotations

import psycopg
import pytest
from tests.servers import Server

from pgstrata.statements import KEYWORDS, conf_text, identifier, literal

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


def test_a_name_is_quoted_where_the_server_would(server: Server) -> None:
    """Every keyword of the server that may not stand alone, and no plain name."""
    names = [*(word for (word,) in server.sql("SELECT word FROM pg_get_keywords()")), "app", "a b"]
    rows = server.sql("SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'")
    assert {word for (word,) in rows} <= KEYWORDS
    with psycopg.connect(**server.keywords()) as connection:
        for name in names:
            row = connection.execute("SELECT quote_ident(%s)", [name]).fetchone()
            assert row is not None
            assert identifier(name) == row[0] or name in KEYWORDS
