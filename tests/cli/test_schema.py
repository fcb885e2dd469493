from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Cli

from pgstrata.schema import json_schema


def test_it_prints_one_of_two(cli: Cli) -> None:
    """That of the files unless the other is asked for; no project is needed."""
    assert json.loads(cli("schema").out) == json_schema.overlay()
    assert json.loads(cli("schema", "--overlay").out) == json_schema.overlay()
    assert json.loads(cli("schema", "--effective").out) == json_schema.effective()


def test_init_writes_what_it_prints(cli: Cli, project: Path) -> None:
    """So running it again brings the file up to date."""
    cli("init")
    assert (project / "environments" / "schema.json").read_text() == cli("schema").out
