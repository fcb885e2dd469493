"""Make ``src/pgstrata/schema/parameters.tsv`` from the servers in the given folders of programs.

Run by hand when a new major version of PostgreSQL is out, with one folder (that of ``initdb`` and
``postgres``) for every major version that the table shall cover::

    python tests/schema/collect_parameters.py BINDIR...

Each server is asked in single-user mode: nothing listens, and nothing is left running.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Row: TypeAlias = "dict[str, str]"

TABLE = Path(__file__).parents[2] / "src" / "pgstrata" / "schema" / "parameters.tsv"
COLUMNS = (
    *("name", "vartype", "unit", "context", "minimum", "maximum"),
    *("values", "spellings", "since", "until"),
)

# PostgreSQL refuses to run as root; these accounts are where a system keeps its unprivileged work.
ACCOUNTS = ("postgres", "nobody")

# pg_settings leaves these out, although SET and SHOW know them.
UNLISTED = """
    ('role', 'string', 'user', '', null, null),
    ('session_authorization', 'string', 'user', '', null, null),
    ('seed', 'real', 'user', '', '-1', '1'),
    ('is_superuser', 'bool', 'internal', '', null, null),
    ('default_with_oids', 'bool', 'user', '', null, null),
    ('ssl_renegotiation_limit', 'integer', 'user', 'kB', '0', '0')
"""

# Distributions patch these in; a table of PostgreSQL's own would date them by the wrong versions.
FOREIGN = "('extension_destdir')"

# Enums take spellings that enumvals does not list; which, and what they mean, only trying tells.
SPELLINGS = """
CREATE TABLE spelling (name text, word text, reading text);

DO $$ DECLARE tried record; BEGIN
  FOR tried IN
    SELECT name, enumvals, word FROM pg_settings, unnest(enumvals || array['true', 'false', 'yes',
      'no', 'on', 'off', '1', '0', 't', 'f', 'debug', 'info', 'none', 'default']) AS word
    WHERE vartype = 'enum' AND context IN ('user', 'superuser')
  LOOP
    BEGIN
      PERFORM set_config(tried.name, tried.word, true);
      IF tried.word <> ALL (tried.enumvals) OR current_setting(tried.name) <> tried.word THEN
        INSERT INTO spelling VALUES (tried.name, tried.word, current_setting(tried.name));
      END IF;
    EXCEPTION WHEN invalid_parameter_value OR active_sql_transaction THEN NULL;
    END;
  END LOOP;
END $$;
"""

LISTING = f"""
COPY (
  SELECT current_setting('server_version_num')::int / 10000 AS major, name, vartype, context, unit,
    min_val AS minimum, max_val AS maximum, array_to_string(enumvals, ',') AS values,
    (SELECT string_agg(DISTINCT word || '=' || reading, ',') FROM spelling
      WHERE spelling.name = p.name) AS spellings
  FROM (
    SELECT name, vartype, context, unit, min_val, max_val, enumvals FROM pg_settings
      WHERE name NOT LIKE '%.%' AND name NOT IN {FOREIGN}
    UNION ALL
    SELECT name, vartype, context, unit, min_val, max_val, null
      FROM (VALUES {UNLISTED}) AS unlisted (name, vartype, context, unit, min_val, max_val)
      WHERE name NOT IN (SELECT name FROM pg_settings) AND current_setting(name, true) IS NOT NULL
  ) AS p
) TO '%(listing)s' WITH (FORMAT csv, HEADER);
"""


def main(folders: list[str]) -> None:
    """Write the table from the servers in ``folders``; says on stderr what it found."""
    if not folders:
        sys.exit(__doc__)
    by_name: defaultdict[str, list[Row]] = defaultdict(list)
    majors: set[int] = set()
    for folder in folders:
        rows = collect(Path(folder))
        majors.add(int(rows[0]["major"]))
        sys.stderr.write(f"{folder}: PostgreSQL {rows[0]['major']}, {len(rows)} parameters\n")
        for row in rows:
            by_name[row["name"].lower()].append(row)
    with TABLE.open("w", encoding="utf-8", newline="\n") as table:
        writer = csv.DictWriter(table, COLUMNS, dialect="excel-tab", lineterminator="\n")
        writer.writeheader()
        writer.writerows(merge(by_name[name], majors) for name in sorted(by_name))


def collect(folder: Path) -> list[Row]:
    """Return the parameters of the server whose programs are in ``folder``, one row for each.

    Raises ``RuntimeError`` where a program fails, ``FileNotFoundError`` where the query did: the
    server exits with 0 all the same. What it says on the way is dropped; it says very much, since
    the query tries every level of its messages.
    """
    account = _account()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if account:
            shutil.chown(work, account)

        def run(program: str, *arguments: str, stdin: str = "") -> None:
            command: list[str | Path] = [folder / program, "-D", work / "data", *arguments]
            if program == "postgres":
                command.insert(1, "--single")  # the server wants it before everything else
            result = subprocess.run(
                command,
                input=stdin,
                text=True,
                check=False,
                user=account,
                cwd=work,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            if result.returncode != 0:
                raise RuntimeError(f"{command[0]} failed:\n{result.stderr}")

        run("initdb", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8", "-U", "postgres")
        listing = work / "listing.csv"
        # With -j a statement ends at a semicolon and an empty line, so it may span lines.
        query = SPELLINGS + LISTING.replace("%(listing)s", listing.as_posix())
        run("postgres", "-j", "postgres", stdin=f"{query}\n")
        with listing.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def merge(rows: list[Row], majors: set[int]) -> Row:
    """Return the line of one parameter: the newest version's, with the widest range and all values.

    ``since`` and ``until`` are the first and last major version that has it; ``until`` is empty
    while the newest of ``majors`` does.
    """
    rows = sorted(rows, key=lambda row: int(row["major"]))
    newest = rows[-1]
    # A parameter that changed its type or unit has ranges that cannot be compared.
    alike = [
        row for row in rows if (row["vartype"], row["unit"]) == (newest["vartype"], newest["unit"])
    ]
    last = int(newest["major"])
    return {
        **{column: newest[column] for column in ("name", "vartype", "unit", "context")},
        "minimum": min((row["minimum"] for row in alike), key=_number),
        "maximum": max((row["maximum"] for row in alike), key=_number),
        "values": _union(row["values"] for row in reversed(alike)),
        "spellings": _union(row["spellings"] for row in reversed(alike)),
        "since": rows[0]["major"],
        "until": "" if last == max(majors) else str(last),
    }


def _account() -> str | None:
    """Return the account to run a server under, None for the present one."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None
    import pwd  # only POSIX has it, and only POSIX comes here

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(account for account in ACCOUNTS if account in known)


def _number(text: str) -> float:
    return float(text or 0)  # an empty range is empty in every version


def _union(lists: Iterable[str]) -> str:
    """Return the comma-separated words of all ``lists``, each once, in order of first sight."""
    return ",".join(dict.fromkeys(word for words in lists if words for word in words.split(",")))


if __name__ == "__main__":
    main(sys.argv[1:])
