"""Makes the pictures of the documentation from the real program. ``make screenshots`` runs it.

It needs a terminal of Unix (``pty``), and Chromium for the reports.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text
from tests import browser

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "docs" / "assets"
WIDTH = 96  # columns
TERMINAL = {
    "explain": "explain -e production connection_settings.host",
    "diff": "diff staging production --only changed",
    "check": "check --all --skip-files",
}
REPORTS = {
    "report-check": "check --all --skip-files --format html",
    "report-diff": "diff staging production development --format html",
}
# What a reader is to see in the pictures of `check`.
MISTAKE = "session_setings:\n  statement_timeout: 20s\n"
# rich names a web font, which a picture must not fetch.
WEB_FONT = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)


def main() -> None:
    """Write all pictures into ``docs/assets``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "environments", folder / "environments")
        for picture, line in TERMINAL.items():
            spoil(folder, wanted="check" in line)
            text = terminal(line.split(), folder)
            (ASSETS / f"{picture}.svg").write_text(svg(f"pgstrata {line}", text, picture))
        for picture, line in REPORTS.items():
            spoil(folder, wanted="check" in line)
            photograph(picture, line.split(), folder)


def spoil(folder: Path, *, wanted: bool) -> None:
    """Put a mistake into an overlay, or take it out."""
    original = (ROOT / "environments" / "test.yaml").read_text()
    (folder / "environments" / "test.yaml").write_text(original + (MISTAKE if wanted else ""))


def terminal(arguments: list[str], folder: Path) -> str:
    """Return what the program writes to a terminal, with its colours."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        program = subprocess.Popen(
            command(arguments), cwd=folder, env=environ(), stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        shown = bytearray()
        try:
            while piece := screen.read(4096):
                shown += piece
        except OSError:
            pass  # how Linux says that the other side of a terminal has closed
        program.wait()
    return shown.decode().replace("\r\n", "\n")


def svg(title: str, text: str, name: str) -> str:
    """Return a picture of a terminal, which takes its font from the machine that shows it."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f"$ {title}\n{text.rstrip()}"))
    drawn = console.export_svg(title="pgstrata", unique_id=name)
    return WEB_FONT.sub("", drawn).replace("Fira Code", "ui-monospace")


def photograph(name: str, arguments: list[str], folder: Path) -> None:
    """Write a picture of a report."""
    program = browser.find()
    assert program, "there is no Chromium on this machine"
    made = subprocess.run(
        command(arguments), cwd=folder, env=environ(), check=False, capture_output=True
    )
    page = folder / f"{name}.html"
    page.write_bytes(made.stdout)
    with browser.page(program, folder / f"profile-{name}") as shown:
        shown.open(page, width=1000, height=560)
        (ASSETS / f"{name}.png").write_bytes(shown.screenshot())


def command(arguments: list[str]) -> list[str]:
    """Return how this very Python starts the program."""
    return [sys.executable, "-m", "pgstrata", *arguments]


def environ() -> dict[str, str]:
    """Return variables among which none takes part."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color", "COLUMNS": "96"}


if __name__ == "__main__":
    main()
