"""The generated pages are up to date and complete."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pgstrata.rules import RULES

ROOT = Path(__file__).parent.parent.parent
RULE_IN_CODE = re.compile(r"(?:Finding|_report|_unknown|report)\(\s*\"([a-z]+(?:-[a-z]+)*)\"")
RULE_YIELDED = re.compile(r"yield \"([a-z-]+)\", \"(?:error|warning|info)\"")


def test_pages_are_what_the_code_says() -> None:
    """``make docs`` would change nothing."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_every_rule_of_the_code_is_in_the_table() -> None:
    """No finding has a rule that the reference does not explain."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    used = {*RULE_IN_CODE.findall(code), *RULE_YIELDED.findall(code)}
    assert used <= set(RULES)
