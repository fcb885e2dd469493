"""Connection keywords in the forms that libpq itself reads, apart from the conninfo string, which
``schema.libpq`` writes.

All are functions of libpq's keywords with plain texts, secrets among them where those are to be
written. What a form cannot hold is refused with ``UsageError``: written anyway, it would connect
somewhere else, or as somebody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import quote

from pgstrata.errors import UsageError
from pgstrata.model import Setting
from pgstrata.schema.libpq import keywords as libpq_keywords

# libpq 14 to 18 read a service file in pieces of this size (parseServiceFile in fe-connect.c).
_SERVICE_LINE_BYTES = 1022
_SPACES = " \t\n\v\f\r"
_SOCKET_FOLDERS = ("/tmp", "/run/postgresql", "/var/run/postgresql")  # noqa: S108  # names only


def variables(keywords: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return libpq's variables by name, and the keywords that it has no variable for."""
    known = libpq_keywords()
    named = {known[key].variable: text for key, text in keywords.items() if known[key].variable}
    return named, {key: text for key, text in keywords.items() if not known[key].variable}


def is_own_default(target: Mapping[str, Setting], name: str) -> bool:
    """Tell whether a keyword is a default of this project that libpq has no variable for. Another
    program has its own taste in keepalives, and needs no service file for them.
    """
    setting = target.get(f"connection_settings.{name}")
    known = libpq_keywords().get(name)
    return (
        setting is not None
        and setting.origin.layer == "default"
        and known is not None
        and not known.variable
    )


def service(name: str, keywords: Mapping[str, str]) -> str:
    """Return the entry of a service file. Its values know neither quotes nor escapes."""
    if "service" in keywords:
        raise UsageError(
            "connection_settings.service: an entry of a service file cannot name another one",
            hint="take the entry from the service file that it is in",
        )
    lines = [f"{key}={_service_text(key, text)}" for key, text in keywords.items()]
    return "\n".join([f"[{name}]", *lines]) + "\n"


def _service_text(key: str, text: str) -> str:
    if text.rstrip(_SPACES) != text or any(mark in text for mark in "\0\n\r"):
        problem = "a line break, or a space at the end,"
    elif len(f"{key}={text}".encode()) > _SERVICE_LINE_BYTES:
        problem = f"more than {_SERVICE_LINE_BYTES} bytes in a line"
    else:
        return text
    raise UsageError(f"{key}: a service file cannot hold {problem}", hint="use --as conninfo")


def pgpass(keywords: Mapping[str, str], password: str) -> str:
    """Return the lines of a password file: one for each host, for every database on it.

    So the password goes to no other server, wherever else a program that has the file connects.
    """
    if any(mark in password for mark in "\0\n\r"):
        raise UsageError("the password has a line break, which a password file cannot hold")
    user = _field(keywords.get("user", "*"))
    places = dict.fromkeys(_places(keywords))
    return "".join(
        f"{host}:{port}:*:{user}:{_escaped(password)}\n"
        for host, port in ((_field(host), _field(port)) for host, port in places)
    )


def _field(text: str) -> str:
    if any(mark in text for mark in "\0\n\r"):
        raise UsageError("a host or user has a line break, which a password file cannot hold")
    return text if text == "*" else _escaped(text)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _places(keywords: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield host and port as libpq looks them up: passwordFromFile in fe-connect.c.

    It looks for ``localhost`` where no host is given or the host is its default socket folder,
    which differs from build to build.
    """
    if "service" in keywords and not {"host", "hostaddr"} & keywords.keys():
        yield "*", "*"
        return
    hosts = keywords.get("host", "").split(",")
    addresses = keywords.get("hostaddr", "").split(",")
    count = max(len(hosts), len(addresses))
    ports = keywords.get("port", "").split(",")
    for number in range(count):
        host = _at(hosts, number) or _at(addresses, number) or "localhost"
        port = (ports[0] if len(ports) == 1 else _at(ports, number)) or "5432"
        yield host, port
        if host in _SOCKET_FOLDERS:
            yield "localhost", port


def _at(texts: list[str], number: int) -> str:
    return texts[number].strip() if number < len(texts) else ""


def url(keywords: Mapping[str, str]) -> str:
    """Return a ``postgresql://`` URL. What has no place of its own stands behind the ``?``."""
    rest = dict(keywords)
    place = {name: _quoted(rest.pop(name, "")) for name in ("user", "password", "dbname")}
    hosts, ports = rest.pop("host", "").split(","), rest.pop("port", "").split(",")
    one_port = len(ports) == 1
    authority = ",".join(
        _host(host) + (f":{port}" if port else "")
        for number, host in enumerate(hosts)
        for port in [ports[0] if one_port else _at(ports, number)]
    )
    login = place["user"] + (f":{place['password']}" if "password" in keywords else "")
    query = "&".join(f"{name}={_quoted(text)}" for name, text in rest.items())
    return (
        f"postgresql://{login}{'@' if login else ''}{authority}/{place['dbname']}"
        f"{'?' if query else ''}{query}"
    )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("/") else _quoted(host)


def _quoted(text: str) -> str:
    return quote(text, safe="")
