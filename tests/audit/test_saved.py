from __future__ import annotations

from pathlib import Path

import pytest
from tests.audit.conftest import endpoint
from tests.servers import Server

from pgstrata.audit import saved
from pgstrata.audit.gather import look
from pgstrata.audit.judge import judge
from pgstrata.audit.view import View
from pgstrata.errors import ConfigError


def test_what_was_saved_is_judged_the_same(server: Server, tmp_path: Path) -> None:
    """Every check says of the file what it says of the server."""
    place = endpoint(server, user="postgres")
    seen = look(place)
    path = tmp_path / "seen.json"
    path.write_text(saved.text([seen]))
    (read,) = saved.read(path)
    assert read.seconds == seen.seconds
    assert read.gaps == seen.gaps
    assert judge([View(place.client, read)]) == judge([View(place.client, seen)])
    assert saved.text([read]) == saved.text([seen])


def test_the_file_holds_no_secret(server: Server) -> None:
    """Neither the password that was used, nor any hash of one."""
    text = saved.text([look(endpoint(server, user="postgres"))])
    assert server.password not in text
    assert "SCRAM-SHA-256$" not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"schema_version": 2, "snapshots": []}',
        '{"schema_version": 1, "snapshots": [{"environment": "x"}]}',
        None,
    ],
)
def test_what_is_no_file_of_snapshots_is_refused(tmp_path: Path, text: str | None) -> None:
    """With how one is written."""
    path = tmp_path / "seen.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        saved.read(path)
    assert "--save" in raised.value.hint
