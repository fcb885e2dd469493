"""The web recipes under load, while their PostgreSQL is restarted."""

from __future__ import annotations

import http
import importlib.util
import json
import os
import uuid
from pathlib import Path

import pytest
from tests.recipes.ledger import CLIENTS, EXAMPLES, Clients, ask, serving, variables
from tests.servers import Server

GUNICORN = ("gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread", "--workers=2")
PROGRAMS = {
    "fastapi": (
        ("uvicorn", "app:app", "--port=0", "--no-access-log"),
        "/entries/{}?amount=1",
    ),
    "flask": ((*GUNICORN, "--threads=25", "--preload", "app:create_app()"), "/entries/{}/1"),
    "django": ((*GUNICORN, "--threads=25", "ledger:application"), "/entries/{}/1"),
}
FAILS_AT_COMMIT = (
    (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN RAISE EXCEPTION $$refused at commit$$; END'"
    ),
    (
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON ledger DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION refuse()"
    ),
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", PROGRAMS)
def test_no_committed_row_is_lost(
    recipe: str, own_server: Server, ledger: str, tmp_path: Path
) -> None:
    """Fifty clients go on by themselves after a restart, each entry that was answered is there,
    and a commit that fails is not answered as a success.
    """
    command, path = PROGRAMS[recipe]
    if command[0] == "gunicorn" and os.name != "posix":
        pytest.skip("gunicorn needs fork")
    if not all(importlib.util.find_spec(name) for name in (recipe, command[0])):
        pytest.skip("the extra recipes is not installed")
    environ = variables(own_server, ledger, DJANGO_SECRET_KEY="made-up")
    with serving(command, EXAMPLES / recipe, environ, tmp_path / "log") as port:
        with Clients(port, path) as clients:
            clients.all_go_on()
            own_server.restart()
            clients.all_go_on()
        rows = {row[0] for row in own_server.sql("SELECT id FROM ledger", dbname=ledger)}
        assert set(clients.answered) <= rows
        assert len(clients.answered) >= 6 * CLIENTS
        assert json.loads(ask(port, "GET", "/total")[1]) == {"total": len(rows)}
        for statement in FAILS_AT_COMMIT:
            own_server.sql(statement, dbname=ledger)
        assert (
            ask(port, "PUT", path.format(uuid.uuid4()))[0] == http.HTTPStatus.INTERNAL_SERVER_ERROR
        )
