"""``pgstrata secret edit``."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from pgstrata.cli import options
from pgstrata.cli.commands.secret.set import require_declared
from pgstrata.cli.output import tell
from pgstrata.cli.sealed_file import key_file, require_storable, sealed_file
from pgstrata.cli.secret_input import SecretCommand, usable
from pgstrata.errors import INTERRUPTED, UsageError
from pgstrata.model import Secret

# Swap, backup and undo files would keep the clear text, some of them in other folders.
EDITOR_OPTIONS = {
    **dict.fromkeys(
        ("vi", "vim", "nvim", "vim.basic", "vim.tiny"),
        ("-n", "-i", "NONE", "--cmd", "set nobackup nowritebackup noundofile"),
    ),
    "emacs": ("--eval", "(setq make-backup-files nil auto-save-default nil create-lockfiles nil)"),
    "code": ("--wait",),
}
IN_MEMORY = ("/dev/shm",)  # noqa: S108  # a folder in it is made by mkdtemp, for this user alone


@click.command("edit", cls=SecretCommand)
@options.environment
@key_file
@click.pass_obj
def command(session: options.Session, environment: str | None, key_file: Path | None) -> None:
    """Edit all sealed values of an environment in $EDITOR.

    Only what changes is sealed again.
    """
    from pgstrata.secrets.sealed import edit

    file = sealed_file(session, environment, key_file)
    old = edit.values(file.path, file.access)
    with _private_folder() as folder:
        new = _edited(old, folder / f"{file.environment}.yaml")
    changed = {key: value for key, value in new.items() if key not in old or old[key] != value}
    for key, value in changed.items():
        require_declared(session, file, key)
        usable(value, key)
    removed = old.keys() - new.keys()
    if not changed and not removed:
        tell("nothing was changed")
        return
    edit.set_entries(file.path, file.access, changed, remove=removed)
    for key in sorted(changed | dict.fromkeys(removed)):
        tell(f"{key} is {'sealed again' if key in changed else 'removed'}")


@contextmanager
def _private_folder() -> Iterator[Path]:
    """Make a folder for this user alone, in memory where the system has that; remove it at the end,
    also when the process is told to end.
    """
    memory = next((place for place in IN_MEMORY if os.access(place, os.W_OK)), None)
    folder = Path(tempfile.mkdtemp(prefix="pgstrata-", dir=memory))
    ends = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {end: signal.signal(end, _end) for end in ends}
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        for end, handler in before.items():
            signal.signal(end, handler)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(INTERRUPTED)


def _edited(old: Mapping[str, Secret], path: Path) -> dict[str, Secret]:
    import yaml

    clear = {key: secret.reveal() for key, secret in old.items()}
    text = "# setting: value\n" + (yaml.safe_dump(clear, allow_unicode=True) if clear else "")
    del clear
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text)
    del text  # a traceback with locals would show it
    if subprocess.run(_editor(path), check=False).returncode:  # noqa: S603  # the user's own editor
        raise UsageError("the editor failed, so nothing was changed", hint="see $EDITOR")
    return _parsed(path)


def _editor(path: Path) -> list[str]:
    said = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    words = shlex.split(said) if said else ["notepad" if sys.platform == "win32" else "vi"]
    return [*words, *EDITOR_OPTIONS.get(Path(words[0]).stem, ()), str(path)]


def _parsed(path: Path) -> dict[str, Secret]:
    """Return what the editor left. Raises ``UsageError`` with the line, and nothing of its text."""
    from pgstrata.layers.document import parse
    from pgstrata.layers.nodes import Scalar

    document = parse(path.read_bytes(), "sealed", "the edited text")
    for finding in document.findings:
        raise UsageError(f"line {finding.origin.line} is not YAML, so nothing was changed")
    values: dict[str, Secret] = {}
    for key, node in document.root.entries.items():
        require_storable(key)
        if not isinstance(node, Scalar):
            raise UsageError(f"{key} must be one text, so nothing was changed")
        values[key] = Secret(node.text, source="editor")
    return values
