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
    "url-password": "A URL holds a password, before its `@` or as a parameter. `$NAME`, `${NAME}`,"
    " `{name}` and `%(name)s` are none; a fallback, `${NAME:-text}`, is one. Where it is none, say"
    " so on the same line: `pgstrata: not a secret`.",
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
    "waiver": "waivers.yaml, which `audit` reads, is not a list of waivers, each with a reason, an"
    " owner and a date.",
    "file-missing": "A certificate, key or password file is not there or cannot be read.",
    "file-permissions": "Others may read the private key; libpq refuses it.",
}

# Why a rule matters, and what to do about it.
ADVICE = {
    "yaml-syntax": (
        "What is not plain YAML means different things to different programs.",
        "Correct the line that is named; quote a value that YAML reads as something else.",
    ),
    "unreadable": (
        "The environment would silently lack what the file holds.",
        "Give the account that runs the program read permission.",
    ),
    "duplicate-key": (
        "The reader sees one value and the program uses the other.",
        "Remove one of them.",
    ),
    "unknown-section": (
        "What it holds would have no effect.",
        "Correct the name; the finding says which one is closest.",
    ),
    "misplaced-section": (
        "In another file it would look as if it counted there.",
        "Move it to the file that is named.",
    ),
    "unknown-key": (
        "The setting would have no effect, and libpq's default would count instead.",
        "Correct the name; the finding says which one is closest.",
    ),
    "unknown-parameter": (
        "The server would refuse the connection.",
        "Correct the name. An extension's parameter has a dot in it and is accepted.",
    ),
    "server-parameter": (
        "The server would refuse the connection.",
        "Set it in the server's own configuration.",
    ),
    "unknown-variable": (
        "The value would have no effect, in this shell alone.",
        "Correct the name of the variable, or unset it.",
    ),
    "invalid-name": (
        "`PGSTRATA_CONNECTIONS__NAME__…` could not name it.",
        "Use lower-case letters, digits and single underscores.",
    ),
    "invalid-type": (
        "There is no sensible way to read it.",
        "Indent it as the finding says.",
    ),
    "invalid-value": (
        "libpq, the pool or the server would refuse it when the program connects.",
        "Write one of the values that the finding names.",
    ),
    "invalid-url": (
        "A password with an `@` in it would end up in the host name, and in a name server's log.",
        "Percent-encode special characters, e.g. `%40` for `@`.",
    ),
    "stored-key": (
        "Nothing would ask for it, and the secret that was meant would be missing.",
        "`pgstrata secret remove` it, and store it under the name that the finding proposes.",
    ),
    "sealed-file": (
        "Somebody without its key may have put in a password, or taken a recipient out.",
        "Restore the file from version control, and change it only with `pgstrata secret`.",
    ),
    "clear-secret": (
        "Everybody who can read the repository, now or later, has it.",
        "`pgstrata secret set` or `{from_env: NAME}`, and change the secret: the old one is known.",
    ),
    "url-password": (
        "Everybody who can read the repository, now or later, has it.",
        "Leave the password out of the URL, store it with `pgstrata secret set`, and change it.",
    ),
    "private-key": (
        "Whoever has read it can open the sealed file, and every older version of it.",
        "`pgstrata secret rotate-key`, and change the secrets that the file held.",
    ),
    "interpolation": (
        "The value is not there, or a fallback that is in the file is no secret.",
        "Set the variable or write the file on the machine that connects; remove the fallback.",
    ),
    "extends": (
        "The environment would lack all that it builds on.",
        "Name an environment that is there and does not build on this one.",
    ),
    "missing-setting": (
        "libpq would take the name of the operating system's user, or a socket of this machine.",
        "Add the setting to the environment's own file or to base.yaml.",
    ),
    "pool-size": ("The pool would refuse to start.", "Lower `min_size` or raise `max_size`."),
    "libpq": (
        "It would refuse in the same words when the program connects.",
        "Do what libpq's message says.",
    ),
    "pooler-session-settings": (
        "The next transaction may run on another server connection, without them.",
        "`ALTER ROLE … SET` or `ALTER DATABASE … SET` on the server.",
    ),
    "unit": (
        "Who reads `30` thinks of seconds, and PostgreSQL of milliseconds.",
        "Write the unit: `30s`.",
    ),
    "waiver": (
        "It would waive nothing, or more than was meant.",
        "Correct the line that is named.",
    ),
    "file-missing": (
        "The connection would fail.",
        "Put the file there, or correct its path. `--skip-files` is for other machines.",
    ),
    "file-permissions": ("libpq would refuse the key.", "`chmod 600` the file."),
}
