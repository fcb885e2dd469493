"""The files of a project in a revision of git, read without a checkout.

Git is asked three questions at most, however many environments there are: which commit is meant,
which files it has, and what is in them.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pgstrata.errors import ProjectNotFoundError, UsageError
from pgstrata.layers.document import content_of
from pgstrata.layers.folder import Folder
from pgstrata.layers.project import BASE, FOLDER

# A git hook sets these for the repository and folder that it runs in, which need not be ours.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
_MERGE_BASE = "..."


def at_revision(project: Path, revision: str) -> Folder:
    """Return the folder as it was in a revision: a branch, a tag, a commit, ``HEAD~2``.

    ``main...`` is the commit where the current branch left ``main``, as in ``git diff``. Raises
    ``UsageError`` where there is no git or no such revision, and ``ProjectNotFoundError`` where
    the revision has no project.
    """
    commit = _commit(project, revision)
    listed = os.fsdecode(_git(project, "ls-tree", "-z", "--name-only", commit, f"{FOLDER}/"))
    known = _contents(project, commit, [path for path in listed.split("\0") if _readable(path)])
    if f"{FOLDER}/{BASE}.yaml" not in known:
        raise ProjectNotFoundError(
            f"revision {revision!r} has no {FOLDER}/{BASE}.yaml",
            hint="git log shows when it was added: git log --diff-filter=A -- environments",
        )

    def read(path: str) -> bytes:
        # What git does not track, e.g. a mounted secret, is what it is on disk.
        found = known if path in known else _contents(project, commit, [path])
        return found[path] if path in found else content_of(project / path)

    names = frozenset(path.removeprefix(f"{FOLDER}/") for path in known)
    return Folder(project, names, read, revision)


def _readable(path: str) -> bool:
    return path.endswith(".yaml") and "\n" not in path


def _commit(project: Path, revision: str) -> str:
    if not revision or revision.startswith("-"):
        raise UsageError(f"{revision!r} is no revision of git", hint="write ENV@REF, e.g. @main")
    inside = _run(project, "rev-parse", "--show-toplevel")
    if inside.returncode:
        raise UsageError(f"git: {_complaint(inside)}", hint=f"{project} must be in a git clone")
    name = revision.removesuffix(_MERGE_BASE)
    done = _run(project, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if done.returncode == 0 and name != revision:
        done = _run(project, "merge-base", done.stdout.decode().strip(), "HEAD")
    if done.returncode:
        raise UsageError(
            f"git knows no revision {revision!r} here",
            hint="git fetch gets it; a shallow clone needs git fetch --unshallow",
        )
    return done.stdout.decode().strip()


def _contents(project: Path, commit: str, paths: list[str]) -> dict[str, bytes]:
    """Return the content of those files that the commit has. Links are followed within it."""
    wanted = "".join(f"{commit}:./{path}\n" for path in paths)
    output = _git(project, "cat-file", "--batch", "--follow-symlinks", given=os.fsencode(wanted))
    found: dict[str, bytes] = {}
    position = 0
    for path in paths:
        end = output.index(b"\n", position)
        header = output[position:end].split(b" ")
        position = end + 1
        if header[-1] in (b"missing", b"ambiguous"):
            continue
        size = int(header[-1])
        if header[1] == b"blob":
            found[path] = output[position : position + size]
        position += size + 1
    return found


def _git(project: Path, *arguments: str, given: bytes = b"") -> bytes:
    done = _run(project, *arguments, given=given)
    if done.returncode:
        raise UsageError(f"git {arguments[0]}: {_complaint(done)}")
    return done.stdout


def _run(project: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    environ = {name: text for name, text in os.environ.items() if name not in _OF_HOOKS}
    try:
        return subprocess.run(  # noqa: S603  # no shell; a revision cannot begin with a dash
            ["git", *arguments],  # noqa: S607  # whichever git the user runs
            cwd=project,
            env=environ,
            input=given,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise UsageError(
            f"cannot run git: {error.strerror}", hint="comparing with a revision needs git"
        ) from None


def _complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[0].removeprefix("fatal: ") if lines else f"exit code {done.returncode}"
