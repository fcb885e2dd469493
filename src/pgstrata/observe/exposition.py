"""The pools of a running program, read from the page that its Prometheus client shows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import urlsplit

from pgstrata.errors import PgstrataError, UsageError

SECONDS = 5.0  # for the answer
_LARGEST = 16 * 1024 * 1024  # bytes
_SAMPLE = re.compile(r"pgstrata_pool_(\w+)\{(.*)\} (\S+)(?: \S+)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool. ``wait`` and ``use`` are means since the program began, in seconds."""

    name: str
    connection_type: str
    idle: int
    used: int
    max_size: int
    waiting: int
    leaked: int
    errors: int
    wait: float
    use: float


def read(url: str) -> tuple[Pool, ...]:
    """Return the pools that a page shows. Raises ``PgstrataError`` where it cannot be read, and
    ``UsageError`` for what is no web address.
    """
    import http.client
    import urllib.request

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise UsageError(
            "--url is not an http or https address without user and password",
            hint="for example http://localhost:8000/metrics",
        )
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as page:  # noqa: S310  # checked above
            text = page.read(_LARGEST).decode("utf-8", "replace")
    except HTTPError as error:
        raise PgstrataError(f"{parts.hostname} answers with status {error.code}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise PgstrataError(f"cannot read the metrics of {parts.hostname}: {error}") from error
    return pools(text)


def pools(text: str) -> tuple[Pool, ...]:
    """Return the pools of a text in Prometheus's format; what else it holds is left out."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        labels = {name: _unescaped(value) for name, value in _LABEL.findall(sample[2])}
        values = found.setdefault(
            (labels.get("pool", ""), labels.get("type", "")), defaultdict(float)
        )
        values[labels.get("state") or sample[1]] += _number(sample[3])
    return tuple(_pool(*key, values) for key, values in found.items())


def _pool(name: str, connection_type: str, values: Mapping[str, float]) -> Pool:
    return Pool(
        name,
        connection_type,
        idle=int(values["idle"]),
        used=int(values["used"]),
        max_size=int(values["max_size"]),
        waiting=int(values["waiting"]),
        leaked=int(values["leaked"]),
        errors=int(values["errors_total"]),
        wait=_mean(values, "wait"),
        use=_mean(values, "use"),
    )


def _mean(values: Mapping[str, float], name: str) -> float:
    count = values[f"{name}_seconds_count"]
    return values[f"{name}_seconds_sum"] / count if count else 0.0


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if abs(number) < float("inf") else 0.0  # which no count is, nor NaN


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda match: {"n": "\n"}.get(match[1], match[1]), value)
