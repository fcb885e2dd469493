"""pgmonkey, which pgstrata is compared with: installed where only a benchmark finds it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml
from tests.servers import Server

NEEDED = ("pgmonkey==4.0.0", "chardet<6", "tqdm<5")
RUN = (  # its progress bar would be in the way of the table
    "import os, sys; sys.path.append({place!r}); os.dup2(os.open(os.devnull, os.O_WRONLY), 2);"
    " from pgmonkey.cli.cli import main; main()"
)
SIDECAR = {"has_headers": True, "auto_create_table": False, "encoding": "utf-8", "delimiter": ","}


def install(folder: Path) -> Path | None:
    """Return where it was installed, below ``folder``; nothing, and say so, where it cannot be."""
    place = folder / "pgmonkey"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    done = subprocess.run([*command, str(place), *NEEDED], check=False, capture_output=True)
    if done.returncode:
        print("pgmonkey cannot be installed here, so it is left out.\n")
        return None
    return place


def settings(folder: Path, server: Server, database: str) -> Path:
    """Write what it needs to connect to a throw-away server."""
    keywords = server.keywords(dbname=database)
    path = folder / "connection.yaml"
    path.write_text(yaml.safe_dump({"connection_type": "normal", "connection_settings": keywords}))
    return path


def command(place: Path, *words: str) -> list[str]:
    """Return the command line that runs it. A file ``x.csv`` needs its ``x.yaml``."""
    for word in words:
        if word.endswith(".csv"):
            Path(word).with_suffix(".yaml").write_text(yaml.safe_dump(SIDECAR))
    return [sys.executable, "-c", RUN.format(place=str(place)), *words]
