"""Secrets in files that are, or are about to be, committed. By structure, never by entropy.

Found are a literal value of a secret setting, a URL with a password, the text of a private key, and
a sealed file that somebody without its key has changed. An environment's file that cannot be read
is found as well: it would be passed over. A finding names the place, never the value.

Text is UTF-8, or UTF-16 and UTF-32 by their byte order marks. What else has a NUL near its start is
binary, as for git, and not looked into. Text that cannot be scanned is named: nothing is known of
it.
"""

from __future__ import annotations

import codecs
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pgstrata.errors import InvalidConfigError, SecretError, UsageError
from pgstrata.layers.document import MAX_BYTES as MAX_YAML_BYTES
from pgstrata.layers.document import Document, parse
from pgstrata.layers.nodes import Map, Node, Scalar, Sequence
from pgstrata.model import Finding, Origin
from pgstrata.schema.libpq import connection_keys, parse_url

MAX_BYTES = 100 * 2**20
_HEAD = 8000  # bytes in which git looks for a NUL
_ENCRYPTED = (b"\0GITCRYPT\0", b"age-encryption.org/")  # whole files, by filters of git
# In this order: the mark of UTF-16 is how that of UTF-32 begins.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SUBMODULE = "160000"
WAIVER = "pgstrata: not a secret"
_SEALED = re.compile(r"(?:.*/)?([^/]+)\.sealed\.yaml")
_ENVIRONMENT = re.compile(r"(?:.*/)?environments/[^/]+\.yaml")
_YAML = (".yaml", ".yml")
_DOCUMENT = re.compile(rb"^---(?=\s|$)", re.MULTILINE)
# A password before the @, or one among the parameters of a URL of PostgreSQL.
_URL = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{,40}://(?:"
    r"[^\s/?#:@'\"<>]*:(?P<user>[^\s@'\"<>]+)@[^\s'\"]"
    r"|[^\s'\"<>?]*\?(?:[^\s'\"<>#]*&)?(?:ssl)?password=(?P<parameter>[^\s&'\"<>]+))"
)
_PRIVATE = re.compile(r"PGSTRATA(?:sk|id)p?1_[A-Za-z0-9._@-]+_[A-Z2-7]+_[A-Z2-7]{8}")
# What stands for a value: $NAME, ${NAME}, $(NAME), %(name)s, %s, {name}, and what masks one.
_NAME = r"[A-Za-z_][A-Za-z0-9_.]*"
_PLACEHOLDER = re.compile(
    rf"\$[A-Z_][A-Z0-9_]*|\$\{{{_NAME}(?::\?[^}}]*|:-)?\}}|\$\({_NAME}\)|%\({_NAME}\)s|%s"
    r"|\{+[^{}]*\}+|\*+|\.+|[xX]+"
)
# What pgstrata follows in a text; a fallback is a literal.
_REFERENCE = re.compile(rf"\$\{{{_NAME}(?::\?[^}}]*|:-)?\}}")


class File(NamedTuple):
    """A file to look at: its name as findings show it, and what it holds."""

    name: str
    content: bytes


class Scanned(NamedTuple):
    """What was found, in the order of the files; how many were looked into, and how many are
    binary; and of each that was not, or not wholly, looked into its name and the reason.
    """

    findings: list[Finding]
    files: int
    binary: int
    skipped: dict[str, str]


def scan(files: Iterable[File]) -> Scanned:
    """Look into files, one after the other."""
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    seen = binary = 0
    for file in files:
        why = _unscanned(file)
        if why:
            skipped[file.name] = why
        elif why is None:
            binary += 1
        else:
            seen += 1
            findings += _of_file(file)
    return Scanned(findings, seen, binary, skipped)


def _unscanned(file: File) -> str | None:
    """Return why a file cannot be scanned: empty if it can, None if it is no text at all."""
    if len(file.content) > MAX_BYTES:
        return f"larger than {MAX_BYTES} bytes"
    is_environment = _ENVIRONMENT.fullmatch(file.name)
    if _is_binary(file.content):
        broken = is_environment and not file.content.startswith(_ENCRYPTED)
        return "an environment's file that is binary" if broken else None
    is_large = file.name.endswith(_YAML) and len(file.content) > MAX_YAML_BYTES
    if is_large and not is_environment:  # of an environment's that is a finding
        return f"a YAML file larger than {MAX_YAML_BYTES} bytes"
    return ""


def _is_binary(content: bytes) -> bool:
    return b"\0" in content[:_HEAD] and not content.startswith(tuple(_MARKS))


def _text(content: bytes) -> str:
    mark = next((mark for mark in _MARKS if content.startswith(mark)), None)
    return content.decode(_MARKS[mark] if mark else "utf-8", "replace")


def _of_file(file: File) -> Iterator[Finding]:
    if match := _SEALED.fullmatch(file.name):
        yield from _sealed(file, match[1])
        return
    text = _text(file.content)
    lines = text.splitlines()
    found = list(_of_lines(file, lines))
    if file.name.endswith(_YAML):
        found += _of_yaml(File(file.name, text.encode()))
    unique = {(finding.origin.line, finding.rule): finding for finding in found}
    yield from (finding for (line, _), finding in sorted(unique.items()) if _counts(lines, line))


def _counts(lines: list[str], number: int) -> bool:
    return not (0 < number <= len(lines) and WAIVER in lines[number - 1])


def _sealed(file: File, environment: str) -> Iterator[Finding]:
    from pgstrata.secrets.sealed import attest
    from pgstrata.secrets.sealed.parse import parse as parse_sealed

    try:
        attest.verify(parse_sealed(file.content, environment, file.name))
    except InvalidConfigError as error:
        yield from error.findings
    except SecretError as error:
        yield Finding("sealed-file", str(error), Origin("sealed", file.name, 1, 1), hint=error.hint)


def _of_lines(file: File, lines: list[str]) -> Iterator[Finding]:
    for number, line in enumerate(lines, 1):
        for match in _PRIVATE.finditer(line):
            origin = Origin("file", file.name, number, match.start() + 1)
            hint = "whoever has read it can open the sealed file: pgstrata secret rotate-key"
            yield Finding("private-key", "the text of a private key", origin, hint=hint)
        for match in _URL.finditer(line):
            if not _PLACEHOLDER.fullmatch(match["user"] or match["parameter"]):
                yield _url_password(Origin("file", file.name, number, match.start() + 1))


def _of_yaml(file: File) -> Iterator[Finding]:
    for document in _documents(file):
        if document.findings and _ENVIRONMENT.fullmatch(file.name):
            first = document.findings[0]
            message = f"cannot be read, so not all of it is scanned: {first.message}"
            yield Finding(first.rule, message, first.origin, hint=first.hint)
        for path, node in _scalars(document.root, ()):
            if len(path) > 1 and path[-2] == "connection_settings" and not node.null:
                yield from _of_setting(path, node.text, document.origin(node.span))


def _documents(file: File) -> Iterator[Document]:
    """Yield each YAML document of a file, with the lines before it as empty ones."""
    starts = [0, *(match.start() for match in _DOCUMENT.finditer(file.content))]
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        before = b"\n" * file.content.count(b"\n", 0, start)
        yield parse(before + file.content[start:end], "file", file.name)


def _of_setting(path: tuple[str, ...], text: str, origin: Origin) -> Iterator[Finding]:
    key, name = ".".join(path), path[-1]
    if name == "url":
        if _spells_a_secret(text):
            yield _url_password(origin, key)
    elif name in _secret_keywords() and _REFERENCE.sub("", text):
        hint = f"pgstrata secret set {key}, or {{from_env: NAME}}; and change the value"
        message = f"{key} holds its value in clear text"
        yield Finding("clear-secret", message, origin, key=key, hint=hint)


def _spells_a_secret(url: str) -> bool:
    """Tell whether a URL holds a secret that is no placeholder. One that is none holds nothing."""
    values = parse_url(url)
    return isinstance(values, dict) and any(
        not _PLACEHOLDER.fullmatch(values[name]) for name in _secret_keywords() & values.keys()
    )


def _secret_keywords() -> set[str]:
    return {name for name, key in connection_keys().items() if key.secret and name != "url"}


def _url_password(origin: Origin, key: str = "") -> Finding:
    hint = "leave the password out of the URL, and store it: pgstrata secret set"
    return Finding("url-password", "a URL with a password", origin, key=key, hint=hint)


def _scalars(node: Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    if isinstance(node, Map):
        for name, inner in node.entries.items():
            yield from _scalars(inner, (*path, name))
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _scalars(item, path)
    else:
        yield path, node


def on_disk(paths: Iterable[Path]) -> Iterator[File]:
    """Yield these files, and all that is in these folders. Raises ``UsageError``."""
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in inside:
            if file.is_file() or file == path:
                yield File(_shown(str(file)), _content(file))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            return head if _is_binary(head) else head + file.read(MAX_BYTES + 1 - len(head))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def tracked(folder: Path) -> Iterator[File]:
    """Yield all files under ``folder`` that git has, as they are on disk. Raises ``UsageError``."""
    for name in _fields(_git(folder, "ls-files", "-z")):
        if name and (folder / name).is_file():
            yield File(_shown(name), _content(folder / name))


def staged(folder: Path) -> Iterator[File]:
    """Yield all files that the next commit adds or changes, as it will have them."""
    diff = ("diff", "--cached", "--raw", "--no-abbrev", "--no-renames", "--diff-filter=ACMT", "-z")
    fields = _fields(_git(folder, *diff))
    for change, name in zip(fields[::2], fields[1::2], strict=False):
        _, mode, _, blob, _ = change.split(" ")
        if mode != _SUBMODULE:  # whose commit is in another repository
            yield File(_shown(name), _git(folder, "cat-file", "blob", blob))


def _fields(output: bytes) -> list[str]:
    """Split what git says; names are such that the file can be opened, whatever bytes they are."""
    return output.decode(sys.getfilesystemencoding(), "surrogateescape").split("\0")


def _shown(name: str) -> str:
    """Return a name that every output takes: bytes that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True)  # noqa: S603  # git itself, and no shell
    except OSError:
        raise UsageError("git is not installed", hint="name the files to scan") from None
    if done.returncode:
        raise UsageError(f"git {arguments[0]} failed in {folder}", hint="name the files to scan")
    return done.stdout
