from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.recommend.conftest import project

from pgstrata.errors import UsageError
from pgstrata.recommend.advice import Recommendation
from pgstrata.recommend.run import recommend
from pgstrata.render import recommend as render

EVERYTHING: dict[str, Any] = {
    "connection_settings": {
        "host": ["db1.example.com", "db2.example.com"],
        "dbname": "app",
        "user": "app",
        "password": "mellon",
        "sslmode": "verify-full",
        "sslrootcert": "system",
        "sslcert": "client.crt",
        "keepalives_idle": 30,
    },
    "session_settings": {"lock_timeout": "500ms", "idle_session_timeout": "10s"},
    "pool_settings": {"min_size": 2, "max_size": 10},
    "services": [{"name": "web", "replicas": 3, "types": ["pool"]}],
    "client_addresses": ["10.20.0.0/16", "10.21.0.0/16"],
    "server": {"memory": "16GB"},
}
ELSEWHERE = {"connections": {"other": {"connection_settings": {"host": "other"}}}}


def found(folder: Path, **more: Any) -> Recommendation:
    """Return the recommendation for a project that asks for all there is."""
    return recommend(project(folder, **EVERYTHING, **more))


def test_text_fits_into_80_columns(tmp_path: Path) -> None:
    """But for the lines that are to be copied, which are whole."""
    made = found(tmp_path, **ELSEWHERE)
    lines = {f"  {item.line}" for server in made.servers for item in server.advice}
    shown = render.text(made).splitlines()
    assert [line for line in shown if len(line) > 80 and line not in lines] == []
    assert lines <= set(shown)


def test_text_has_every_part(tmp_path: Path) -> None:
    """Lines by file, notes, and what is missing, below the server's name."""
    text = render.text(found(tmp_path))
    assert re.findall(r"^\S.*$", text, re.MULTILINE) == [
        "one: db1.example.com:5432, db2.example.com:5432 (default)",
        "postgresql.conf",
        "pg_hba.conf",
        "SQL",
        "Notes",
        "Not declared",
    ]
    assert "(1.1 *" not in text
    assert "from environments/base.yaml:" in text


def test_what_has_one_reason_stands_together(tmp_path: Path) -> None:
    """The reason is said once, behind all its lines."""
    text = render.text(found(tmp_path))
    assert (
        "  hostssl app app 10.20.0.0/16 scram-sha-256 clientcert=verify-ca\n"
        "  hostssl app app 10.21.0.0/16 scram-sha-256 clientcert=verify-ca\n"
        "      default: the client has a password"
    ) in text


@pytest.mark.parametrize(("form", "mark"), [("conf", "#"), ("hba", "#"), ("sql", "--")])
def test_a_file_holds_its_own_lines_and_comments(tmp_path: Path, form: str, mark: str) -> None:
    """Nothing else stands outside of a comment."""
    made = found(tmp_path)
    text = render.FILES[form](made)
    bare = [line for line in text.splitlines() if line and not line.startswith(f"{mark} ")]
    assert bare == [item.line for item in made.servers[0].advice if item.kind == form]
    assert text.endswith("\n")
    assert "not declared: server.cpus" in text


@pytest.mark.parametrize("form", render.FILES)
def test_a_file_is_for_one_server(tmp_path: Path, form: str) -> None:
    """Two would contradict each other; each can be had by one of its connections."""
    made = found(tmp_path, **ELSEWHERE)
    with pytest.raises(UsageError, match="has 2 servers") as caught:
        render.FILES[form](made)
    assert "--connection" in caught.value.hint
    config = project(tmp_path, **EVERYTHING, **ELSEWHERE)
    assert "other:5432" in render.FILES[form](recommend(config, "other"))


@pytest.mark.parametrize("form", render.FILES)
def test_no_name_ends_a_comment(tmp_path: Path, form: str) -> None:
    """A line break in a name stays in its comment."""
    services = [{"name": "web\nssl = off\r\nDROP TABLE t;\x1b[2J"}]
    text = render.FILES[form](recommend(project(tmp_path, **(EVERYTHING | {"services": services}))))
    assert not re.search(r"^(ssl = off|DROP)", text, re.MULTILINE)
    assert "\x1b" not in text
    assert "\r" not in text


@pytest.mark.parametrize("form", ["text", *render.FILES])
def test_nothing_is_an_empty_file(tmp_path: Path, form: str) -> None:
    """The embedded server needs nothing."""
    made = recommend(project(tmp_path, local=True))
    assert {"text": render.text, **render.FILES}[form](made).strip() == ""


def test_json(tmp_path: Path) -> None:
    """All parts, with the places as elsewhere."""
    (server,) = render.as_json(found(tmp_path))
    assert list(server) == ["server", "connections", "advice", "notes", "missing"]
    advice = server["advice"]
    assert isinstance(advice, list)
    (ssl,) = [item for item in advice if item["line"] == "ssl = on"]
    assert ssl == {
        "kind": "conf",
        "line": "ssl = on",
        "reason": "sslmode verify-full refuses a server without TLS",
        "formula": None,
        "applies": "reload",
        "origins": [
            {"layer": "base", "source": "environments/base.yaml", "line": 10, "column": 14}
        ],
    }


def test_no_form_shows_a_password(tmp_path: Path) -> None:
    """None of them needs one."""
    made = found(tmp_path)
    shown = [render.text(made), str(render.as_json(made)), repr(made)]
    shown += [function(made) for function in render.FILES.values()]
    assert "mellon" not in "".join(shown)
