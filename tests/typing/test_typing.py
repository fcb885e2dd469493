from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

API = Path(__file__).with_name("api.py")
ROOT = API.parents[2]


def test_mypy(tmp_path: Path) -> None:
    """mypy, strict, agrees with every line of api.py."""
    api = pytest.importorskip("mypy.api")
    options = ("--strict", "--cache-dir", str(tmp_path), "--follow-imports", "silent")
    output, errors, status = api.run(
        [*options, "--config-file", str(ROOT / "pyproject.toml"), str(API)]
    )
    assert (output.splitlines()[1:], errors, status) == ([], "", 0)


@pytest.mark.skipif(not find_spec("pyright"), reason="pyright is not installed")
def test_pyright(tmp_path: Path) -> None:
    """pyright, which editors use, agrees too."""
    (tmp_path / "api.py").write_bytes(API.read_bytes())
    settings: dict[str, object] = {
        "include": ["api.py"],
        "extraPaths": [str(ROOT / "src")],
        "pythonVersion": "3.10",
    }
    settings |= {"typeCheckingMode": "basic", "reportUnnecessaryTypeIgnoreComment": "error"}
    settings |= {"enableTypeIgnoreComments": False}
    config = tmp_path / "pyrightconfig.json"
    config.write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "-p", str(config)]
    command += ["--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    report = json.loads(done.stdout)
    found = [
        (each["range"]["start"]["line"] + 1, each["message"])
        for each in report["generalDiagnostics"]
    ]
    assert (found, report["summary"]["filesAnalyzed"]) == ([], 1)
