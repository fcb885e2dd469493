"""The page of ``docs/reference`` about JSON: the shape of what each command prints.

A shape is read off real output: of a copy of the repository's environments for what needs no
server, and of results made by hand for the rest, which a test compares with a real server's.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pgstrata.audit.judge import judge
from pgstrata.audit.model import Check, Fix, Outcome, Snapshot
from pgstrata.audit.report import Report
from pgstrata.audit.view import View
from pgstrata.check.scope import Connection
from pgstrata.cli.commands import copy as copy_command
from pgstrata.cli.commands import local as local_command
from pgstrata.cli.commands import test as test_command
from pgstrata.cli.group import run
from pgstrata.connect.trial import Trial
from pgstrata.errors import LocalServerError
from pgstrata.loading import load_mapping
from pgstrata.local import LocalServer
from pgstrata.model import Secret
from pgstrata.observe.activity import Activity, Client
from pgstrata.observe.exposition import Pool
from pgstrata.render.audit import json_shape
from pgstrata.tables import CopyPlan, CopyResult, Endpoint, ExportResult, ImportPlan, ImportResult
from pgstrata.tables.dialect import Dialect

ROOT = Path(__file__).parent.parent
HEAD = """\
What `--format json` prints on stdout, and `recommend --as json`. `"number or null"` stands for a
value of one of these types, and `"null"` alone for a text that mostly is not there. A key that is
not in every object ends in `?`. A list shows one element for all. `schema_version` rises when a key
changes its meaning or goes; new keys may come at any time.

An `origin` says where a value is: its layer, file or variable, line and column from 1.
The shapes of `render` are those of its [forms](forms.md); `check` also writes
SARIF 2.1.0 and JUnit, whose shapes are their own. What `top` was not asked about, the
server or the pools, is null.
"""
COMMANDS = {
    "envs": "envs --format json",
    "show": "show -e production --format json",
    "explain": "explain -e production connection_settings.host --format json",
    "diff": "diff staging production --only changed --format json",
    "check": "check --all --skip-files --format json",
    "impact": "impact --from HEAD --format json",
    "promote": "promote staging development connection_settings.sslmode --format json",
    "secret list": "secret list -e production --format json",
    "secret recipient list": "secret recipient list -e production --format json",
    "secret verify": "secret verify -e production --format json",
    "secret scan": "secret scan --format json",
    "recommend": "recommend -e staging --as json",
    "doctor": "doctor --format json",
}


def page(note: str) -> str:
    """Return the page of every command that prints JSON."""
    lines = ["# JSON", note, HEAD]
    for command, shape in sorted(shapes().items()):
        lines += [f"## {command}", "", "```json", json.dumps(shape, indent=2), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def shapes() -> dict[str, Any]:
    """Return the shape of each command's output, by the command."""
    with project():
        printed = {name: output(line.split()) for name, line in COMMANDS.items()}
    return {name: shape_of(value) for name, value in {**printed, **made_by_hand()}.items()}


@contextlib.contextmanager
def project() -> Iterator[None]:
    """Stand in a project with something to report, a revision, a sealed file and its key."""
    before, environ = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as name:
        for variable in [each for each in environ if each.startswith("PG")]:
            del os.environ[variable]
        os.chdir(name)
        os.environ.update(HOME=name, XDG_CONFIG_HOME=name, PYTHONPATH=str(ROOT / "src"))
        os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
        try:
            prepare(Path(name))
            yield
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environ)


def prepare(folder: Path) -> None:
    """Write the project. What follows the commit is what ``impact`` and ``check`` find."""
    shutil.copytree(ROOT / "environments", folder / "environments")
    quietly(["secret", "keygen", "-e", "production"])
    stored = ["secret", "set", "connection_settings.sslpassword", "-e", "production", "--stdin"]
    subprocess.run([sys.executable, "-m", "pgstrata", *stored], input=b"x", check=True, stderr=-1)
    public, _ = quietly(["secret", "keygen", "--identity", "bob", "--file", "bob.key"])
    quietly(["secret", "recipient", "add", public.strip(), "-e", "production"])
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], check=True)
    staging = folder / "environments" / "staging.yaml"
    changed = staging.read_text().replace("{from_env: SHOP_STAGING_PASSWORD}", "written-out")
    staging.write_text(changed.replace("limit: 80", "limit: 81"))


def output(arguments: list[str]) -> Any:
    """Return what a command prints, read as JSON."""
    printed, talk = quietly(arguments)
    assert printed, talk
    return json.loads(printed)


def quietly(arguments: list[str]) -> tuple[str, str]:
    """Run a command line in this process and return what it writes to stdout and stderr."""
    printed = io.StringIO()
    talk = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(talk):
        run(arguments)
    return printed.getvalue(), talk.getvalue()


def made_by_hand() -> dict[str, Any]:
    """Return what the commands print that need a server."""
    where = {"schema_version": 1, "environment": "x", "connection": "x"}
    trial = Trial("pool", 0.1, "x", "x", "x", "x", "x")
    failed = Trial("pool", 0.1, error=LocalServerError("x", hint="x"))
    trials = [test_command._as_json(each) for each in (trial, failed)]  # noqa: SLF001  # this page is about what it returns
    server = LocalServer(18, 1, "x", 1, "x", Path("x"), Secret("x", source="x"))
    local = {"running": True, "server": local_command._as_json(server)}  # noqa: SLF001  # the same
    plan = ImportPlan("x", "x", ("x",), ("x",), "x", "x", Dialect(), header=True, doubts=("x",))
    imported = ImportResult("x", ("x",), 1, 1, 0, 1, 0.1, plans=(plan,))
    end = Endpoint("x", 1, "x", "x", tls=True, server_version=1)
    copied = CopyResult(CopyPlan(end, end, "x", "x", ("x",), "text", {"COLUMN": "x"}), 1, 1, 1, 0.1)
    totals = copy_command._totals([copied.as_json()])  # noqa: SLF001  # the same
    return {
        "audit": audited(),
        "test": {**where, "trials": trials},
        "local status": {"schema_version": 1, **local},
        "import": {**where, "dry_run": False, **imported.as_json()},
        "export": {**where, **ExportResult(1, 1, 0.1, ("x",)).as_json()},
        "top": {"schema_version": 1, "environment": "x", **watched()},
        "copy": {"schema_version": 1, "from": "x", "to": "x", "dry_run": False, **totals},
    }


def watched() -> dict[str, Any]:
    """Return one look at a server and at the pools of a program."""
    client = Client("x", "x", 1, 1, 1, 1, 1, 1, 0.1, "same")
    pool = Pool("x", "x", 1, 1, 1, 1, 1, 1, 0.1, 0.1)
    return {"server": asdict(Activity("x", "x", 1, 1, (client,))), "pools": [asdict(pool)]}


def audited() -> Any:
    """Return an audit of two endpoints, one of which could not be reached."""
    config = load_mapping({"connection_settings": {"host": "x"}}, environ={})
    client = Connection(config, "default", config.connection())
    where = config.environment
    seen = Snapshot(where, "default", "x", "5432", "x", 0.1, "x", {"caps": ({"version": "18"},)})
    unreached = Snapshot(where, "default", "y", "5432", "", error="x")
    outcome = Outcome("fail", "x", fix=(Fix("x", "reload", "x"),), evidence=("x",))
    check = Check("x", "fail", "x", "x", find=lambda _: (outcome,))
    views = (View(client, seen), View(client, unreached))
    return json.loads(json_shape.render(Report(Path(), (check,), views, judge(views, (check,)))))


def shape_of(value: Any) -> Any:
    """Return the shape of a JSON value: the same nesting, with types in place of values."""
    if isinstance(value, dict):
        inner = {key: shape_of(each) for key, each in value.items()}
        return {**inner, "value": "anything"} if "value" in inner else inner
    if isinstance(value, (list, tuple)):
        merged: Any = None
        for inner in map(shape_of, value):
            merged = inner if merged is None else both(merged, inner)
        return [] if merged is None else [merged]
    names = {str: "text", bool: "true or false", int: "number", float: "number"}
    return names.get(type(value), "null")


def both(one: Any, other: Any) -> Any:
    """Return the shape of a list's elements, of which there are two shapes."""
    if isinstance(one, dict) and isinstance(other, dict):
        return dict(_keys(one, other))
    if isinstance(one, list) and isinstance(other, list):
        return [both(one[0], other[0])] if one and other else one or other
    if not isinstance(one, str) or not isinstance(other, str):
        return "anything"
    return " or ".join(dict.fromkeys([*one.split(" or "), *other.split(" or ")]))


def _keys(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key in dict.fromkeys([*one, *other]):
        plain, optional = key.removesuffix("?"), f"{key.removesuffix('?')}?"
        mine, yours = ({**shape}.get(plain, shape.get(optional)) for shape in (one, other))
        if plain in one and plain in other:
            yield plain, both(mine, yours)
        elif mine is None or yours is None:
            yield optional, yours if mine is None else mine
        else:
            yield optional, both(mine, yours)
