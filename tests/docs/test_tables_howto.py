"""The how-tos for moving tables, from their first command to their last."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.servers import PASSWORD, Server

from pgstrata.cli.group import run

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = ("import-messy-file", "resume-import", "upsert", "masked-copy")
ENVIRONMENTS = ("development", "staging", "production")
STEP = re.compile(
    r"^<!-- (sql|file|run) (.*?) -->\n```\w+\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


@pytest.fixture
def databases(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Return the databases of three environments, in whose project this process stands."""
    (tmp_path / "environments").mkdir()
    files = tmp_path / "environments"
    files.joinpath("base.yaml").write_text(
        f"connection_settings: {{host: {server.host}, port: {server.port}, user: postgres,"
        f" password: {PASSWORD}, connect_timeout: 10}}\n"
    )
    names = {name: f"{name}_{uuid.uuid4().hex[:12]}" for name in ENVIRONMENTS}
    for name, database in names.items():
        server.sql(f"CREATE DATABASE {database}")
        protected = "protected: true\n" if name == "production" else ""
        text = f"connection_settings: {{dbname: {database}}}\n{protected}"
        files.joinpath(f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    yield names
    for database in names.values():
        server.sql(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_from_the_first_command_to_the_last(
    page: str, databases: dict[str, str], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command ends with the exit code and the output that the page shows."""
    steps = STEP.findall((HOW_TO / f"{page}.md").read_text(encoding="utf-8"))
    assert {kind for kind, *_ in steps} >= {"sql", "run"}
    for kind, about, text, output in steps:
        if kind == "sql":
            for statement in text.split(";\n"):
                server.sql(statement, databases[about])
        elif kind == "file":
            name, _, encoding = about.partition(" ")
            Path(name).write_text(text, encoding=encoding or "utf-8", newline="")
        else:
            code, shown = typed(text, capsys)
            assert code == int(about), f"{text}{shown}"
            assert not output or matches(output, shown), f"{text}{shown}"


def typed(script: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the lines of a block; return the last one's exit code, and what all have printed."""
    code, shown = 0, ""
    for line in script.splitlines():
        program, *arguments = shlex.split(line)
        if program == "pgstrata":
            code = run(arguments)
            said = capsys.readouterr()
            shown += said.err + said.out
        else:
            done = subprocess.run(line, shell=True, check=True, capture_output=True, text=True)
            shown += done.stdout
    return code, shown


def matches(expected: str, shown: str) -> bool:
    """Compare; ``...`` stands for anything."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, shown, flags)
