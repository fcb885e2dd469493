"""What is wrong with the effective settings of a connection, found without any connection."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias, cast

from pgstrata.errors import ConfigError
from pgstrata.home import home
from pgstrata.layers.urls import keywords as url_keywords
from pgstrata.model import Finding, Origin, Secret, Setting
from pgstrata.schema.keys import CONNECTION
from pgstrata.schema.libpq import OURS, complain, complain_of_service, keywords

Target: TypeAlias = Mapping[str, Setting]

WHERE = ("host", "hostaddr", "service")
_REGULAR = ("sslkey", "passfile")  # of which libpq takes no pipe and no device
_PER_SESSION = (
    *("session_settings.", "sync_settings.", "async_settings."),
    "connection_settings.options",
)


def problems(target: Target, *, home: Origin, complete: bool) -> list[Finding]:
    """Return all findings about one connection.

    ``home`` is where something missing would be written. ``complete`` demands the parts without
    which libpq would choose host, user or database by itself.
    """
    found = [finding for rule in RULES for finding in rule(target)]
    return found + list(_missing(target, home) if complete else ())


def file_problems(target: Target, project: Path) -> list[Finding]:
    """Return all findings about the files that a connection needs on this machine.

    They are no part of ``problems``: another machine than the one that connects may well load the
    configuration.
    """
    if is_local(target):
        return []
    findings = [_root_certificate(target)]
    for name, key in CONNECTION.items():
        setting = target.get(f"connection_settings.{name}")
        if key.path and setting is not None and setting.value not in (None, "", "system"):
            findings.append(_file(name, setting, project / str(setting.value)))
    return [finding for finding in findings if finding is not None]


def _file(name: str, setting: Setting, path: Path) -> Finding | None:
    rule, problem = "file-missing", _unreadable(name, path)
    if not problem and name == "sslkey":
        rule, problem = "file-permissions", _too_open(path)
    if not problem:
        return None
    return Finding(rule, f"{setting.key}: {path} {problem}", setting.origin, key=setting.key)


def _unreadable(name: str, path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if stat.S_ISDIR(mode) and name != "sslcrldir":
        return "is a folder"
    if name in _REGULAR and not stat.S_ISREG(mode):
        return "is no regular file"
    return "" if os.access(path, os.R_OK) else "cannot be read"


def _too_open(path: Path) -> str:
    """Return what libpq has against a key file: others may read it. Of root's files a group may
    (fe-secure-openssl.c).
    """
    if os.name != "posix":
        return ""
    status = path.stat()
    allowed = 0o740 if status.st_uid == 0 else 0o700
    return "may be read by others; chmod 600" if stat.S_IMODE(status.st_mode) & ~allowed else ""


def _root_certificate(target: Target) -> Finding | None:
    """Libpq refuses to verify without a root certificate; by default it looks for one in the home
    folder.
    """
    mode = target.get("connection_settings.sslmode")
    if mode is None or mode.value not in ("verify-ca", "verify-full"):
        return None
    folder = home()
    fallback = folder / ".postgresql" / "root.crt" if folder else None
    if _present(target, "sslrootcert") or os.name != "posix" or (fallback and fallback.exists()):
        return None
    where = fallback or "home folder to look for one in"
    message = f"sslmode {mode.value} needs a root certificate, and there is no {where}"
    hint = "set sslrootcert to a CA file, or to system"
    return Finding("file-missing", message, mode.origin, key=mode.key, hint=hint)


def describes_a_server(target: Target) -> bool:
    """Tell whether the configuration itself says where to connect."""
    return is_local(target) or any(_configured(target, name) for name in WHERE)


def is_local(target: Target) -> bool:
    """Tell whether the connection goes to the embedded server."""
    return "local" in target and target["local"].value is True


def keyword_texts(target: Target) -> dict[str, str]:
    """Return the libpq keywords that are no secrets, as libpq's texts: the configured ones, and
    what libpq would fill in.
    """
    return {
        name: str(setting.value)
        for key, setting in target.items()
        if (name := key.removeprefix("connection_settings.")) in keywords()
        if key != name and not setting.secret and setting.value is not None
        if name not in OURS
    }


def _missing(target: Target, home: Origin) -> Iterator[Finding]:
    if is_local(target) or _present(target, "service") or _has_unreadable_url(target):
        return
    if not any(_present(target, name) for name in WHERE):
        yield _missing_finding(target, "host", "libpq would choose a server by itself", home)
    for name in ("dbname", "user"):
        if not _present(target, name):
            why = f"libpq would choose the {name} by itself"
            yield _missing_finding(target, name, why, home)


def _has_unreadable_url(target: Target) -> bool:
    """Tell whether there is a URL that says nothing, which is a finding of its own."""
    url = target.get("connection_settings.url")
    if url is None or not isinstance(url.value, Secret):
        return False
    try:
        url_keywords(url.value)
    except ConfigError:
        return True
    return False


def _missing_finding(target: Target, name: str, why: str, home: Origin) -> Finding:
    key = f"connection_settings.{name}"
    # Some setting of the section is always there, by its default, and has the connection's prefix.
    prefix = next((s.key.removesuffix(k) for k, s in target.items() if "settings." in k), "")
    message = f"{prefix}{key} is not set; {why}"
    return Finding("missing-setting", message, home, key=prefix + key, hint=f"add {prefix}{key}")


def _sizes(target: Target) -> Iterator[Finding]:
    for section in ("pool_settings", "async_pool_settings"):
        least, most = (target.get(f"{section}.{name}") for name in ("min_size", "max_size"))
        if least is None or least.origin.layer == "default":
            continue
        if most is None or most.value is None:
            if least.value == 0:
                message = "a min_size of 0 needs a max_size, which is otherwise the same"
                hint = f"add {section}.max_size"
                yield Finding("pool-size", message, least.origin, key=least.key, hint=hint)
        elif cast(int, least.value or 0) > cast(int, most.value):
            message = f"min_size {least.value} is larger than max_size {most.value}"
            hint = f"min_size comes from {least.origin}"
            yield Finding("pool-size", message, most.origin, key=most.key, hint=hint)


def _libpq(target: Target) -> Iterator[Finding]:
    """Yield libpq's complaints. It stops at the first; what that names is left out for the next."""
    if message := complain_of_service():
        service = target.get("connection_settings.service")
        if service is not None and service.origin.layer == "libpq":
            yield Finding("libpq", f"libpq: {message}", service.origin, key=service.key)
        return
    texts = keyword_texts(target)
    while texts and (message := complain(texts)):
        words = re.findall(r"\w+", message)
        name = next((word for word in words if word in texts), next(iter(texts)))
        setting = target[f"connection_settings.{name}"]
        yield Finding("libpq", f"{setting.key}: libpq: {message}", setting.origin, key=setting.key)
        del texts[name]


def _hosts(target: Target) -> Iterator[Finding]:
    texts = keyword_texts(target)
    if "host" in texts and "hostaddr" in texts:
        counts = [texts[name].count(",") + 1 for name in ("host", "hostaddr")]
        if counts[0] != counts[1]:
            setting = target["connection_settings.hostaddr"]
            message = f"{counts[1]} addresses for {counts[0]} hosts"
            yield Finding("libpq", message, setting.origin, key=setting.key)


def _pooler(target: Target) -> Iterator[Finding]:
    pooler = target.get("pooler")
    if pooler is None or pooler.value not in ("transaction", "pgbouncer"):
        return
    for key, setting in target.items():
        if key.startswith(_PER_SESSION) and setting.value not in (None, ""):
            yield Finding(
                "pooler-session-settings",
                f"{key} cannot be kept by a pooler that changes servers between transactions",
                setting.origin,
                key=setting.key,
                hint="set it on the server: ALTER ROLE … SET, or ALTER DATABASE … SET",
            )


def _present(target: Target, name: str) -> bool:
    setting = target.get(f"connection_settings.{name}")
    return setting is not None and setting.value not in (None, "")


def _configured(target: Target, name: str) -> bool:
    return _present(target, name) and target[f"connection_settings.{name}"].origin.layer != "libpq"


RULES: tuple[Callable[[Target], Iterator[Finding]], ...] = (_sizes, _libpq, _hosts, _pooler)
