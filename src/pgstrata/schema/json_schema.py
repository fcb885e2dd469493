"""JSON Schema (2020-12) of the files and of what they amount to, for editors and other programs.

It comes from the table of keys, libpq's keywords and PostgreSQL's parameters. A schema knows less
than ``pgstrata check``: no units, no two values that contradict each other; and it is stricter in
one thing, the case of parameter names, which are taken as documented or in lower case.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pgstrata.schema import parameters
from pgstrata.schema.keys import CONNECTION, POOL, SECRET_STORES, SECTIONS, SERVER, Key, Section
from pgstrata.schema.libpq import connection_keys
from pgstrata.schema.names import TARGET_SECTIONS
from pgstrata.schema.parameters import Parameter

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CONNECTION_NAME = "^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
_CUSTOM_PARAMETER = r"^[^\s.]+(\.[^\s.]+)+$"
_REFERENCE_IN_TEXT = {"type": "string", "pattern": r"\$\{"}
_NULL = {"type": "null"}
# As a type and not by anyOf: so an editor marks the key that is wrong, and not its whole section.
_CLEARABLE = {"type": ["object", "null"]}
_TEXT = {"type": ["string", "number", "boolean"]}  # what YAML makes of it is not looked at
_OTHERWISE = ({"$ref": "#/$defs/reference"}, _NULL)


def overlay() -> Schema:
    """Return the schema of a file in ``environments/``: values may be texts with ``${NAME}``,
    references, or null.
    """
    definitions = {
        "reference": {
            "description": "The name of a variable, or the path of a file, that holds the value.",
            "oneOf": [_one_key("from_env"), _one_key("from_file")],
        },
        "text": {"anyOf": [_TEXT, *_OTHERWISE]},
        "connection": _object(connection_keys_known(), _in_file) | _CLEARABLE,
        "pool": _object(POOL, _in_file) | _CLEARABLE,
        "server": _object(SERVER, _in_file) | _CLEARABLE,
        "parameters": _parameters(_parameter_in_file) | _CLEARABLE,
    }
    targets = {name: _section_in_file(section) for name, section in TARGET_SECTIONS.items()}
    definitions["target"] = _closed(targets) | _CLEARABLE
    sections = {name: _section_in_file(section) for name, section in SECTIONS.items()}
    return {
        "$schema": DIALECT,
        "title": "A file of pgstrata's environments/",
        **_closed(sections),
        "$defs": definitions,
    }


def effective() -> Schema:
    """Return the schema of what ``pgstrata render --as json`` and ``--as yaml`` write."""
    sections = {**TARGET_SECTIONS, "local": SECTIONS["local"]}
    return {
        "$schema": DIALECT,
        "title": "One effective connection of an environment",
        **_closed({name: _effective_section(section) for name, section in sections.items()}),
        "required": ["connection_type", "connection_settings"],
        "$defs": {
            "reference": {"oneOf": [_one_key("from_env"), _one_key("from_file")]},
            "connection": _object(connection_keys_known(), _effective),
            "pool": _object(POOL, _effective),
            "server": _object(SERVER, _effective),
            "parameters": _parameters(lambda _: {"type": "string"}),
        },
    }


def text(schema: Schema) -> str:
    """Return a schema as the text of a file."""
    return json.dumps(schema, indent=1) + "\n"


def connection_keys_known() -> dict[str, Key]:
    """Return the keys of ``connection_settings`` that this version or the libpq in use knows: the
    machine with the editor may have another libpq than the one that connects.
    """
    return {**CONNECTION, **connection_keys()}


def _section_in_file(section: Section) -> Schema:
    if section.key is not None:
        return _in_file(section.key)
    if section.shape == "list":
        schema: Schema = {"type": ["array", "null"], "items": _LIST_ITEMS[section.name]}
    elif section.shape == "connections":
        schema = {
            **_CLEARABLE,
            "patternProperties": {_CONNECTION_NAME: {"$ref": "#/$defs/target"}},
            "additionalProperties": False,
        }
    else:
        schema = {"$ref": f"#/$defs/{section.shape}"}
    return {"description": section.doc, **schema}


_LIST_ITEMS: dict[str, Schema] = {
    "secret_stores": {"enum": list(SECRET_STORES)},
    "services": {"type": "object"},
    "client_addresses": {"type": "string"},
    "policy": {"type": "object"},
    "expected_differences": {"type": "string"},
}


def _effective_section(section: Section) -> Schema:
    if section.key is not None:
        return _effective(section.key)
    return {"description": section.doc, "$ref": f"#/$defs/{section.shape}"}


def _object(keys: Mapping[str, Key], schema_of: Callable[[Key], Schema]) -> Schema:
    return _closed({name: schema_of(key) for name, key in keys.items()})


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _one_key(name: str) -> Schema:
    return _closed({name: {"type": "string"}}) | {"required": [name]}


def _described(key: Key, schema: Schema) -> Schema:
    said: Schema = {"description": key.doc}
    if key.default is not None:
        said["default"] = key.default
    if key.secret:
        said["writeOnly"] = True
    return said | schema


def _in_file(key: Key) -> Schema:
    """Return the schema of a key as a file may have it."""
    if key.kind == "text" and not key.choices and not key.many:
        return _described(key, {"$ref": "#/$defs/text"})
    several = [{"type": "array", "items": {"type": ["string", "integer"]}}] if key.many else []
    schemas = [*_READ[key.kind](key), *several, _REFERENCE_IN_TEXT, *_OTHERWISE]
    return _described(key, {"anyOf": schemas})


def _text(key: Key) -> list[Schema]:
    return [{"enum": list(key.choices)}] if key.choices else [_TEXT]


def _integer(key: Key) -> list[Schema]:
    return [{"type": "integer", **_range(key)}, {"type": "string", "pattern": "^[+-]?[0-9]+$"}]


def _number(key: Key) -> list[Schema]:
    pattern = r"^[+-]?[0-9]+(\.[0-9]+)?$"
    return [{"type": "number", **_range(key)}, {"type": "string", "pattern": pattern}]


def _boolean(_key: Key) -> list[Schema]:
    words = "|".join(_any_case(word) for word in ("true", "false", "yes", "no", "on", "off"))
    return [
        {"type": "boolean"},
        {"enum": [0, 1]},
        {"type": "string", "pattern": f"^({words}|0|1)$"},
    ]


def _ports(_key: Key) -> list[Schema]:
    return [
        {"type": "integer", "minimum": 1, "maximum": 65535},
        {"type": "string", "pattern": "^ *[0-9]+ *(, *[0-9]+ *)*$"},
    ]


def _memory(_key: Key) -> list[Schema]:
    return [{"type": "string", "pattern": "^[0-9.]+ *(kB|MB|GB|TB)$"}]


_READ: dict[str, Callable[[Key], list[Schema]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "flag": _boolean,
    "ports": _ports,
    "memory": _memory,
}


def _effective(key: Key) -> Schema:
    """Return the schema of a key's decoded value; of a secret, as text or as where it is."""
    if key.secret:
        return _described(key, {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/reference"}]})
    kinds: dict[str, Schema] = {
        "text": {"enum": list(key.choices)} if key.choices else {"type": "string"},
        "integer": {"type": "integer", **_range(key)},
        "number": {"type": "number", **_range(key)},
        "boolean": {"type": "boolean"},
        "flag": {"enum": [0, 1]},
        "ports": {"anyOf": _ports(key)},
        "memory": {"type": "string"},
    }
    return _described(key, kinds[key.kind])


def _range(key: Key) -> Schema:
    limits = {"minimum": key.minimum, "maximum": key.maximum}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _parameters(schema_of: Callable[[Parameter], Schema]) -> Schema:
    """Return the schema of a section of session parameters; custom ones may have any value."""
    properties: dict[str, Schema] = {}
    for name in parameters.names():
        parameter = parameters.find(name)
        if parameter is not None and parameter.settable_by_session:
            for spelling in dict.fromkeys((name, name.lower())):
                properties[spelling] = schema_of(parameter)
    return _closed(properties) | {"patternProperties": {_CUSTOM_PARAMETER: {}}}


def _parameter_in_file(parameter: Parameter) -> Schema:
    unit = f", in {parameter.unit} where it has no unit" if parameter.unit else ""
    said = {"description": f"PostgreSQL parameter ({parameter.vartype}{unit})."}
    if parameter.vartype != "enum":
        return {**said, "$ref": "#/$defs/text"}
    return {**said, "anyOf": [*_words(parameter), _REFERENCE_IN_TEXT, *_OTHERWISE]}


def _words(parameter: Parameter) -> list[Schema]:
    """Return the schemas of an enum's values. The pattern alone would be right, but an editor
    offers what an enum lists.
    """
    words = {*parameter.values, *(word for word, _ in parameter.spellings)}
    anyhow = "|".join(_any_case(word) for word in sorted(words))
    return [
        {"enum": list(parameter.values)},
        {"type": "string", "pattern": f"^({anyhow})$"},
        {"type": ["boolean", "integer"]},  # off and 0, as YAML may read them
    ]


def _any_case(word: str) -> str:
    return "".join(
        f"[{letter.lower()}{letter.upper()}]" if letter.isalpha() else f"[{letter}]"
        for letter in word
    )
