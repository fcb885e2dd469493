"""The rules that a finding can come from: their ids, and what they mean to a reader."""

from __future__ import annotations

RULES = {
    "yaml-syntax": "The file is not YAML, or uses what is not taken: tags, several documents, very"
    " deep nesting, very many aliases.",
    "unreadable": "The file exists and cannot be read.",
    "duplicate-key": "A map has a key twice; only one of them could count.",
    "unknown-section": "No section has this name.",
    "misplaced-section": "The section belongs into another file: `policy` and"
    " `expected_differences` into base.yaml, `extends` into an environment's own.",
    "unknown-key": "The section has no key of this name.",
    "unknown-parameter": "PostgreSQL 13 to 18 have no parameter of this name.",
    "server-parameter": "The parameter is set for the whole server; a session cannot set it.",
    "unknown-variable": "A `PGSTRATA_…__…` variable names no setting, or a connection that no file"
    " has.",
    "invalid-name": "A connection's name cannot be written in a variable.",
    "invalid-type": "A map where a value belongs, or the other way round.",
    "invalid-value": "The value does not fit its key.",
    "invalid-url": "`connection_settings.url` is not a PostgreSQL URL. Nothing of it is quoted,"
    " because any part of a malformed one may be the password.",
    "stored-key": "A secret store holds something for what is no secret setting, or for a"
    " connection that no file has.",
    "sealed-file": "A sealed file is not as pgstrata wrote it, or its signature does not verify.",
    "clear-secret": "A secret setting holds its value in clear text.",
    "url-password": "A URL holds a password. Where it is none, say so on the same line:"
    " `pgstrata: not a secret`.",
    "private-key": "The text of a private key of pgstrata.",
    "interpolation": "A `${NAME}`, `{from_env: NAME}` or `{from_file: path}` leads nowhere, or is"
    " written wrongly, or gives a secret a fallback.",
    "extends": "The chain of `extends` goes round in a circle, or names no environment.",
    "missing-setting": "Host, database or user is not set, and libpq would choose one by itself.",
    "pool-size": "`min_size` is larger than `max_size`, or both would be 0.",
    "libpq": "libpq itself refuses the value, or the values together.",
    "pooler-session-settings": "A pooler that changes servers between transactions cannot keep"
    " session settings.",
    "unit": "A bare number where PostgreSQL has a unit: `statement_timeout: 30` is 30 ms.",
    "file-missing": "A certificate, key or password file is not there or cannot be read.",
    "file-permissions": "Others may read the private key; libpq refuses it.",
}
