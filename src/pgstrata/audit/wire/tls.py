"""The files and settings that libpq would use for TLS, as a context of Python's ssl.

https://www.postgresql.org/docs/current/libpq-ssl.html
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pgstrata.home import home

SYSTEM = "system"  # sslrootcert=system: the machine's own authorities
ALPN = "postgresql"

_MINIMUM = {
    # The names of these two are deprecated in Python's ssl, what they allow is not.
    "TLSv1": ssl.TLSVersion.MINIMUM_SUPPORTED,
    "TLSv1.1": ssl.TLSVersion.MINIMUM_SUPPORTED,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_MAXIMUM = {"TLSv1.2": ssl.TLSVersion.TLSv1_2}


def context(
    parameters: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> ssl.SSLContext:
    """Return a context that presents the client's certificate, and trusts every server.

    Raises ``OSError`` where the client's own files cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.minimum_version = _MINIMUM.get(
        parameters.get("ssl_min_protocol_version", ""), ssl.TLSVersion.TLSv1_2
    )
    made.maximum_version = _MAXIMUM.get(
        parameters.get("ssl_max_protocol_version", ""), ssl.TLSVersion.MAXIMUM_SUPPORTED
    )
    made.set_alpn_protocols([ALPN])
    certificate = client_certificate(parameters, environ)
    if certificate is not None:
        key = parameters.get("sslkey") or default_file("postgresql.key", environ) or ""
        # A function, because OpenSSL asks the terminal for a password that it is not given.
        _load(made, certificate, str(key), lambda: parameters.get("sslpassword", ""))
    return made


def verifying(
    parameters: Mapping[str, str], roots: str, environ: Mapping[str, str] = os.environ
) -> ssl.SSLContext:
    """Return a context that also demands a certificate from ``roots``: a path, or ``system``.

    It does not compare names: libpq's rules for that are not Python's. Raises ``OSError``.
    """
    made = context(parameters, environ)
    made.verify_mode = ssl.CERT_REQUIRED
    if roots == SYSTEM:
        made.set_default_verify_paths()
    else:
        made.load_verify_locations(roots)
    lists, folder = parameters.get("sslcrl"), parameters.get("sslcrldir")
    if not lists and not folder:
        default = default_file("root.crl", environ)
        lists = str(default) if default and default.exists() else None
    if lists or folder:
        made.load_verify_locations(lists or None, folder or None)
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return made


def roots_of(parameters: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> str:
    """Return where libpq would look for authorities: a path, ``system``, or empty for nowhere."""
    if named := parameters.get("sslrootcert"):
        return named
    default = default_file("root.crt", environ)
    return str(default) if default and default.exists() else ""


def server_name(parameters: Mapping[str, str]) -> str:
    """Return the name that the client tells the server in TLS; none for ``sslsni=0``."""
    return parameters.get("host", "") if parameters.get("sslsni", "1") == "1" else ""


def client_certificate(
    parameters: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> str | None:
    """Return the path of the client's certificate; like libpq, None if there is no such file."""
    if parameters.get("sslcertmode") == "disable":
        return None
    path = parameters.get("sslcert") or default_file("postgresql.crt", environ)
    return str(path) if path and os.path.exists(path) else None  # noqa: PTH110 # a text or a Path


def _load(made: ssl.SSLContext, path: str, key: str, password: Callable[[], str]) -> None:
    try:
        made.load_cert_chain(path, key, password)
    except OSError as error:
        # OpenSSL says no more than "PEM lib" for a key that does not open.
        unusable = "they are no pair in PEM, or sslpassword is wrong"
        why = unusable if isinstance(error, ssl.SSLError) else error.strerror
        raise OSError(f"sslcert and sslkey cannot be used: {why}") from None


def default_file(name: str, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the path of one of libpq's own files in the home folder; None where there is none."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA", ""), "postgresql", name)
    folder = home(environ)
    return folder and folder / ".postgresql" / name
