"""Keeping secret values out of what is shown: structures before, texts after they were made."""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from pgstrata.model import MASK, Secret

REDACTED = "***REDACTED***"

_SECRET_KEY = re.compile(
    r"passw(or)?d$|passphrase|^(ssl|scram_client_|scram_server_)key$|token|secret|credential",
    re.IGNORECASE,
)
_NOT_SECRET = {"secret_stores"}  # names of stores

# Greedy up to the last "@": a password with an unescaped "@" or "/" in it is masked whole.
_URL_PASSWORD = re.compile(r"([a-z][a-z0-9+.-]*://[^\s/?#:@]*:)[^\s]+(?=@)", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(\b(?:\w*(?:passw(?:or)?d|token|secret)|scram_(?:client|server)_key)\s*=\s*)"
    r"('(?:[^'\\]|\\.)*'|[^\s&'][^\s&]*)",
    re.IGNORECASE,
)

_SHORT = 4  # fewer characters than this are masked only where they stand alone
_CORE = 6  # the shortest piece of base64 that is taken for a secret's


def redact_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep copy with every secret value masked as ``***REDACTED***``.

    Covers secret keys (libpq's passwords, SCRAM keys and tokens; whatever is called a token, secret
    or credential) at any depth, and passwords inside URLs and conninfo texts anywhere. Empty
    values and None stay: they give nothing away.
    """
    return {key: _redact(value, secret=is_secret_key(str(key))) for key, value in config.items()}


def is_secret_key(key: str) -> bool:
    """Tell whether the values of a key are secret, by its name."""
    return _SECRET_KEY.search(key) is not None and key not in _NOT_SECRET


def _redact(value: Any, *, secret: bool) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _redact(inner, secret=secret or is_secret_key(str(key)))
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple, set)):
        return type(value)(_redact(inner, secret=secret) for inner in value)
    if isinstance(value, Secret) or (secret and value not in ("", None)):
        return REDACTED
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """Return the text with the passwords of its URLs and ``password=…`` pairs masked."""
    masked = _URL_PASSWORD.sub(rf"\1{REDACTED}", text)
    return _ASSIGNED.sub(rf"\1{REDACTED}", masked)


def scrub(text: str, secrets: Iterable[str | Secret]) -> str:
    """Return the text without the values of ``secrets``, each occurrence masked.

    Finds them as they are, URL-encoded, in base64 (at any offset), escaped for JSON, Python, SQL
    and conninfo, and the rest of one after an ``@`` or a blank, which is what libpq quotes from a
    malformed URL or conninfo.
    """
    forms = {form for secret in secrets for form in _forms(_reveal(secret))}
    if not forms:
        return text
    longest_first = sorted(forms, key=len, reverse=True)
    return re.sub("|".join(map(_pattern, longest_first)), MASK, text)


def _reveal(secret: str | Secret) -> str:
    return secret.reveal() if isinstance(secret, Secret) else secret


def _pattern(form: str) -> str:
    escaped = re.sub("%[0-9A-F]{2}", lambda code: f"(?i:{code[0]})", re.escape(form))
    return escaped if len(form) >= _SHORT else rf"(?<!\w){escaped}(?!\w)"


def _forms(value: str) -> set[str]:
    """Return the ways in which a value may stand in a text."""
    forms = {value, *_escaped(value), *_url_encoded(value), *_base64(value), *_tails(value)}
    return forms - {""}


def _escaped(value: str) -> set[str]:
    conninfo = value.replace("\\", "\\\\").replace("'", "\\'")
    json_forms = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    return {*json_forms, repr(value)[1:-1], value.replace("'", "''"), conninfo}


def _url_encoded(value: str) -> set[str]:
    data = value.encode("utf-8", "surrogatepass")
    return {quote(data), quote(data, safe=""), quote_plus(data)}


def _base64(value: str) -> set[str]:
    """Return the base64 of the value, and its core at each of the three offsets in a longer one."""
    data = value.encode("utf-8", "surrogatepass")
    forms: set[str] = set()
    for encode in (b64encode, urlsafe_b64encode):
        whole = encode(data).decode("ascii")
        forms |= {whole, whole.rstrip("=")}
        forms |= {_core(encode(bytes(offset) + data), offset, len(data)) for offset in range(3)}
    return {form for form in forms if len(form) >= _CORE or form == value}


def _core(encoded: bytes, offset: int, length: int) -> str:
    """Return the digits that depend on the value alone, not on what stands before or after it."""
    first, last = -(-offset * 8 // 6), (offset + length) * 8 // 6
    return encoded.decode("ascii")[first:last]


def _tails(value: str) -> set[str]:
    tails = {value[match.end() :] for match in re.finditer(r"[@\s]", value)}
    return {tail for tail in tails if len(tail) >= _SHORT}
