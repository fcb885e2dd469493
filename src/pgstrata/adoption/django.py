"""``DATABASES`` of a Django settings file, read without running it.

Of the language, literals are understood, and the usual ways to read a variable: they become
references to it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from pgstrata.errors import UsageError
from pgstrata.schema.keys import POOL
from pgstrata.schema.libpq import connection_keys

_KEYWORDS = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
_KEYWORDS["PORT"] = "port"
_READERS = ("os.environ.get", "os.getenv", "environ.get", "getenv", "env", "config", "env.str")
_TABLES = ("os.environ", "environ")
_OF_DJANGO = {"ENGINE", "OPTIONS", *_KEYWORDS}


def databases(text: str, source: str) -> tuple[dict[str, Any], list[str]]:
    """Return the PostgreSQL databases as sections of an environment, and in words what of them has
    no place there. The alias ``default`` is the top-level connection, others are named ones.

    Raises ``UsageError`` where it cannot be read.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise UsageError(f"{source}:{error.lineno}: this is not Python") from None
    found = [_value(node, source) for node in tree.body if _assigns(node)]
    if not found or not isinstance(found[-1], dict):
        raise UsageError(f"{source} has no DATABASES = {{...}}")
    sections: dict[str, Any] = {}
    left: list[str] = []
    for alias, given in found[-1].items():
        if not any(word in str(given.get("ENGINE", "")) for word in ("postgres", "postgis")):
            left.append(f"DATABASES[{alias!r}] is not PostgreSQL")
            continue
        target = _target(given)
        if alias == "default":
            sections |= target
        else:
            sections.setdefault("connections", {})[alias.lower().replace("-", "_")] = target
        left += [f"DATABASES[{alias!r}]: {name}" for name in _left(given)]
    return sections, left


def _target(given: Mapping[str, Any]) -> dict[str, Any]:
    options = given.get("OPTIONS") or {}
    settings = {ours: given[name] for name, ours in _KEYWORDS.items() if given.get(name)}
    settings |= {name: value for name, value in options.items() if name in connection_keys()}
    target: dict[str, Any] = {"connection_settings": settings}
    pool = options.get("pool")
    if pool:
        target["connection_type"] = "pool"
        known = pool.items() if isinstance(pool, dict) else ()
        target["pool_settings"] = {name: value for name, value in known if name in POOL}
    return target


def _left(given: Mapping[str, Any]) -> list[str]:
    """Return the names of what has no place in an environment."""
    options = given.get("OPTIONS") or {}
    known = {*connection_keys(), "pool"}
    pool = options.get("pool")
    inner = set(pool) - set(POOL) if isinstance(pool, dict) else set()
    return [
        *sorted(set(given) - _OF_DJANGO),
        *(f"OPTIONS {name}" for name in sorted(set(options) - known)),
        *(f"OPTIONS pool {name}" for name in sorted(inner)),
    ]


def _assigns(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "DATABASES" for target in targets)


def _value(node: Any, source: str) -> Any:
    """Return a literal, with ``{from_env: NAME}`` and the like for what reads a variable."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return _value(node.value, source)
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key, source) for key in node.keys]
        return dict(zip(keys, (_value(value, source) for value in node.values), strict=True))
    if isinstance(node, ast.Constant):
        return node.value.replace("${", "$${") if isinstance(node.value, str) else node.value
    reference = _reference(node)
    if reference is None:
        # The expression is not quoted: it may hold the password.
        raise UsageError(
            f"{source}:{getattr(node, 'lineno', 1)}: only literals and variables are understood",
            hint="write the value of it into a copy of the file, and take that",
        )
    return reference


def _reference(node: ast.AST) -> Any:
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) in _TABLES:
        arguments: list[ast.expr] = [node.slice]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in _READERS:
        arguments = [*node.args, *(word.value for word in node.keywords if word.arg == "default")]
    else:
        return None
    given = [arg.value for arg in arguments if isinstance(arg, ast.Constant)]
    texts = ["" if value is None else str(value) for value in given]
    if len(texts) != len(arguments) or not texts:
        return None
    name, *fallback = texts
    if not any(fallback):
        return {"from_env": name}
    return f"${{{name}:-{fallback[0]}}}"
