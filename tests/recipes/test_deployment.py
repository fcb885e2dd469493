"""The manifests are valid, and what they mount and set makes a real process connect."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import pytest
import yaml
from tests.recipes.ledger import EXAMPLES, ROOT, variables
from tests.schemastore import stored_schema
from tests.servers import PASSWORD, Server

from pgstrata import PGConnectionManager, load, load_many
from pgstrata.layers.project import environments
from pgstrata.model import Secret

COMPOSE = yaml.safe_load((EXAMPLES / "compose" / "compose.yaml").read_text())
WORKFLOW = yaml.safe_load((EXAMPLES / "github-actions" / "tests.yml").read_text())
MANIFESTS = list(yaml.safe_load_all((EXAMPLES / "kubernetes" / "ledger.yaml").read_text()))
POD = MANIFESTS[0]["spec"]["template"]["spec"]
# Where Docker Compose and Kubernetes mount them.
SECRETS = re.compile("/run/secrets|/etc/ledger-secrets")
HERE = Path(__file__).parent
WHO = """\
from pgstrata import PGConnectionManager

with PGConnectionManager().normal() as connection:
    query = "SELECT current_user, current_setting('application_name')"
    print(connection.execute(query).fetchone())
"""


def test_the_compose_file_is_valid() -> None:
    """By the published schema, which names its own draft by an address that nobody knows."""
    schema = stored_schema("/compose-spec.json")
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)


def test_the_workflow_is_valid() -> None:
    """By the published schema; the YAML 1.1 of this library reads the key `on` as true."""
    named = {("on" if key is True else key): value for key, value in WORKFLOW.items()}
    jsonschema.validate(named, stored_schema("/github-workflow.json"))


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda manifest: str(manifest["kind"]))
def test_the_manifests_are_valid(manifest: dict[str, Any]) -> None:
    """By a schema of what they use of Kubernetes' API, written by hand."""
    jsonschema.validate(manifest, yaml.safe_load((HERE / "kubernetes.schema.yaml").read_text()))


@pytest.mark.parametrize("container", [*POD["initContainers"], *POD["containers"]])
def test_mounts_leave_room_for_the_token(container: dict[str, Any]) -> None:
    """Kubernetes mounts the token of the service account below /run/secrets, which could not be
    done in a folder that is mounted read-only; and each mount is one of the pod's volumes.
    """
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    assert set(mounts.values()) == {volume["name"] for volume in POD["volumes"]}
    token = PurePosixPath("/run/secrets/kubernetes.io/serviceaccount")
    assert not {PurePosixPath(path) for path in mounts} & {token, *token.parents}
    said = load("production", project=EXAMPLES, environ={})["connection_settings.password"]
    assert isinstance(said, Secret)
    assert said.source.removeprefix("file ").rpartition("/")[0] in mounts


def test_every_environment_loads() -> None:
    """No secret is needed for that."""
    names = environments(EXAMPLES)
    loaded = load_many(names, project=EXAMPLES, environ={})
    assert {"compose", "production"} < set(names)
    assert [error for error in loaded.values() if isinstance(error, Exception)] == []


def mounted(folder: Path, password: str) -> Path:
    """Mount the files and the secret as Kubernetes does: links to a folder that ``..data`` names.

    Returns the folder of the project, whose secret lies below it.
    """
    shutil.copytree(EXAMPLES / "environments", folder / "environments" / "..2026_01")
    secret = folder / "secrets" / "..2026_01" / "ledger-password"
    secret.parent.mkdir(parents=True)
    secret.write_text(password)
    for mount in (folder / "environments", folder / "secrets"):
        (mount / "..data").symlink_to("..2026_01")
        for file in (mount / "..2026_01").iterdir():
            text = SECRETS.sub(str(folder / "secrets"), file.read_text())
            file.write_text(text)
            (mount / file.name).symlink_to(f"..data/{file.name}")
    return folder


def environ_for(
    server: Server, database: str, project: Path, given: dict[str, str]
) -> dict[str, str]:
    """Return the variables of a manifest, and where the test's server is instead of the real."""
    environ = variables(server, database) | given | {"PGSTRATA_PROJECT": str(project)}
    del environ["PGSTRATA_CONNECTION_SETTINGS__PASSWORD"], environ["PGSTRATA_LOCAL"]
    return environ | {
        "PGSTRATA_CONNECTION_SETTINGS__SSLMODE": "disable",
        "PGSTRATA_CONNECTION_SETTINGS__SSLROOTCERT": "",
        "PGSTRATA_CONNECTION_SETTINGS__CHANNEL_BINDING": "prefer",
    }


GIVEN = {
    "compose": {k: str(v) for k, v in COMPOSE["services"]["web"]["environment"].items()},
    "kubernetes": {pair["name"]: pair["value"] for pair in POD["containers"][0]["env"]},
}


@pytest.mark.skipif(os.name != "posix", reason="containers are mounted as on Linux")
@pytest.mark.parametrize("manifest", GIVEN)
def test_a_process_connects_with_what_is_mounted(
    manifest: str, server: Server, database: str, tmp_path: Path
) -> None:
    """The variables and files of the manifest lead it to the server, with the secret's password."""
    project = mounted(tmp_path, PASSWORD)
    done = subprocess.run(
        [sys.executable, "-c", WHO],
        env=environ_for(server, database, project, GIVEN[manifest]),
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    name = "ledger-web" if manifest == "kubernetes" else "ledger"
    assert done.stdout == f"('{server.superuser}', '{name}')\n", done.stderr


@pytest.mark.skipif(os.name != "posix", reason="containers are mounted as on Linux")
def test_a_changed_secret_is_seen(server: Server, database: str, tmp_path: Path) -> None:
    """Kubernetes swaps ``..data``, and the next connection has the new password."""
    project = mounted(tmp_path, "the-first")
    server.sql("CREATE ROLE mounted LOGIN PASSWORD 'the-first'")
    environ = environ_for(server, database, project, GIVEN["kubernetes"])
    environ["PGSTRATA_CONNECTION_SETTINGS__USER"] = "mounted"
    with PGConnectionManager(environ=environ) as manager:
        manager.connect().close()
        server.sql("ALTER ROLE mounted PASSWORD 'the-second'")
        new = project / "secrets" / "..2026_02"
        new.mkdir()
        (new / "ledger-password").write_text("the-second")
        (project / "secrets" / "..data_tmp").symlink_to("..2026_02")
        (project / "secrets" / "..data_tmp").replace(project / "secrets" / "..data")
        manager.connect().close()
    server.sql("DROP ROLE mounted")


def test_commands_of_the_manifests_exist() -> None:
    """Each ``pgstrata`` that a manifest or the workflow runs is a command with these options."""
    steps = [step["run"].split() for step in WORKFLOW["jobs"]["tests"]["steps"] if "run" in step]
    commands = [*steps, *(c["command"] for c in POD["initContainers"])]
    own = [command[1:] for command in commands if command[0] == "pgstrata"]
    assert len(own) == 2
    for arguments in own:
        done = subprocess.run(
            [sys.executable, "-m", "pgstrata", *arguments, "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            check=False,
            capture_output=True,
        )
        assert done.returncode == 0


@pytest.mark.slow
def test_the_notebook_runs(
    server: Server, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All of its cells, in a real kernel."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    server.sql((EXAMPLES / "schema.sql").read_text(), dbname=database)
    notebook = nbformat.read(EXAMPLES / "jupyter" / "ledger.ipynb", as_version=4)
    environ = variables(server, database) | {"IPYTHONDIR": str(tmp_path)}
    client = nbclient.NotebookClient(notebook, timeout=240)
    client.execute(env=environ, cwd=str(tmp_path))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert "total: 5\n" in [output.get("text") for output in outputs]
