"""The facts that an audit reads: one query each, who may run it, and what to grant who may not.

Every query only selects, uses what is in ``pg_catalog``, and is sent inside ``WRAPPED``, so
that its answer is JSON: plain data that can be saved, and in which no type of PostgreSQL needs a
loader. Which of them may be asked is asked first (``CAPS``): a refused query would leave an error
in the server's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pgstrata.audit.hba.rule import redacted
from pgstrata.audit.model import Gap, Row
from pgstrata.schema import parameters
from pgstrata.secrets.redact import REDACTED, redact_text

APPLICATION = "pgstrata_audit"  # how auditors are told from programs
OLDEST = 13  # the oldest major version that is looked at
WRAPPED = "SELECT coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(q)), '[]') FROM ({query}) q"
MONITOR = "GRANT pg_monitor TO {viewer};"

# The parameters of free text that checks look into. Of others the value is not kept.
CLEAR_TEXTS = frozenset(
    ("search_path", "datestyle", "timezone", "shared_preload_libraries", "ssl_ca_file")
)
_VALUES = ("setting", "value", "reset_val", "boot_val")


@dataclass(frozen=True, slots=True)
class Fact:
    """One query. ``since`` is the first major version that has what it reads.

    ``needs`` are columns of ``CAPS`` that must be true, ``grant`` are the statements that make them
    so, with ``{viewer}`` for the role; without any, only a superuser may look. ``reads`` names what
    is read to who may not. The parameters are
    the client's own ``user`` and ``db``, and ``auditor``, the application that auditors are.
    """

    name: str
    query: str
    since: int = OLDEST
    needs: tuple[str, ...] = ()
    grant: tuple[str, ...] = ()
    reads: str = ""

    def gap(self, caps: Row, viewer: str) -> Gap | None:
        """Return why this server or viewer cannot answer, or None. ``viewer`` is a quoted name."""
        version = int(caps["version_num"]) // 10000
        if version < self.since:
            return Gap(f"PostgreSQL {version} cannot say it; {self.since} is the first that can")
        if all(caps[need] for need in self.needs):
            return None
        grant = " ".join(self.grant).format(viewer=viewer)
        why = f"{caps['session_user']} may not read {self.reads}"
        return Gap(why if grant else f"{why}; a superuser may", grant)


_HBA = (
    "GRANT SELECT ON pg_hba_file_rules TO {viewer};",
    "GRANT EXECUTE ON FUNCTION pg_hba_file_rules() TO {viewer};",
)


def wrapped(query: str) -> str:
    """Return the statement that asks for the rows of a query as one JSON list."""
    return WRAPPED.format(query=query)


def scrubbed(row: Mapping[str, Any]) -> Row:
    """Return a row without the secrets that servers keep in their configuration.

    Such are parameters of extensions (``app.key``), commands and ``primary_conninfo``: of all that
    may hold any text, the name alone is kept. And options of lines of pg_hba.conf, which the view
    shows in clear, and quotes in its errors.
    """
    safe = {key: _text(value) if isinstance(value, str) else value for key, value in row.items()}
    if not _is_clear(row):
        safe |= {key: REDACTED for key in _VALUES if row.get(key)}
    return redacted(safe) if "auth_method" in row else safe


def _is_clear(row: Mapping[str, Any]) -> bool:
    """Tell whether a row is of a parameter that can hold no secret, or of none at all."""
    name = row.get("name")
    if name is None or name.lower() in CLEAR_TEXTS:
        return True
    parameter = parameters.find(name)
    known = parameter.vartype if parameter else "string"
    return str(row.get("vartype", known)) != "string"


def _text(text: str) -> str:
    """Return a text without passwords; most of the thousands have no place for one."""
    return redact_text(text) if "=" in text or "://" in text else text


CAPS = """
SELECT current_setting('server_version_num')::int AS version_num,
  current_setting('server_version') AS version,
  session_user::text AS session_user, current_database()::text AS dbname,
  (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) AS superuser,
  pg_has_role('pg_read_all_settings', 'USAGE') AS all_settings,
  pg_has_role('pg_read_all_stats', 'USAGE') AS all_stats,
  has_table_privilege('pg_hba_file_rules', 'SELECT')
    AND has_function_privilege('pg_hba_file_rules()', 'EXECUTE') AS hba,
  has_table_privilege('pg_file_settings', 'SELECT')
    AND has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AS file_settings,
  coalesce(has_table_privilege(to_regclass('pg_ident_file_mappings'), 'SELECT')
    AND has_function_privilege(to_regprocedure('pg_ident_file_mappings()'), 'EXECUTE'), false)
    AS ident,
  has_function_privilege('pg_stat_file(text)', 'EXECUTE') AS stat_file,
  has_function_privilege('pg_control_system()', 'EXECUTE')
    AND has_function_privilege('pg_control_checkpoint()', 'EXECUTE') AS control,
  has_column_privilege('pg_authid', 'rolpassword', 'SELECT') AS authid
"""

# Is read before the audit sets anything, and so before its search_path: all of it is qualified, and
# it uses no operator.
SETTINGS = Fact(
    "settings",
    """
SELECT name, setting, unit, vartype, context, source, boot_val, reset_val, sourcefile, sourceline,
  pending_restart
FROM pg_catalog.pg_settings
""",
)

FACTS = (
    Fact(
        "identity",
        """
SELECT pg_is_in_recovery() AS in_recovery,
  current_setting('default_transaction_read_only') AS default_ro,
  pg_backend_pid() AS backend_pid, host(inet_client_addr()) AS client_addr,
  inet_client_port() AS client_port, host(inet_server_addr()) AS server_addr,
  inet_server_port() AS server_port, pg_postmaster_start_time() AS started,
  pg_conf_load_time() AS conf_loaded, now() AS now
""",
    ),
    Fact(
        "control",
        """
SELECT s.system_identifier::text, c.timeline_id
FROM pg_control_system() s, pg_control_checkpoint() c
""",
        reads="pg_control_system()",
        needs=("control",),
        grant=(
            "GRANT EXECUTE ON FUNCTION pg_control_system(), pg_control_checkpoint() TO {viewer};",
        ),
    ),
    Fact(
        "role_settings",
        """
SELECT coalesce(d.datname::text, '') AS datname, coalesce(r.rolname::text, '') AS rolname,
  split_part(x.kv, '=', 1) AS name, substr(x.kv, strpos(x.kv, '=') + 1) AS value
FROM pg_db_role_setting s
  LEFT JOIN pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_roles r ON r.oid = s.setrole
  CROSS JOIN LATERAL unnest(s.setconfig) AS x(kv)
WHERE (s.setdatabase = 0 OR d.datname = %(db)s) AND (s.setrole = 0 OR r.rolname = %(user)s)
""",
    ),
    Fact(
        "role",
        """
SELECT r.rolname::text, r.rolcanlogin, r.rolsuper, r.rolcreaterole, r.rolcreatedb,
  r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil,
  has_database_privilege(r.oid, d.oid, 'CONNECT') AS can_connect,
  has_database_privilege(r.oid, d.oid, 'TEMP') AS can_temp,
  has_database_privilege(r.oid, d.oid, 'CREATE') AS can_create,
  d.datallowconn, d.datconnlimit
FROM pg_roles r, pg_database d WHERE r.rolname = %(user)s AND d.datname = %(db)s
""",
    ),
    Fact(
        "memberships",
        """
WITH RECURSIVE m(member, roleid) AS (
  SELECT r.oid, r.oid FROM pg_roles r WHERE r.rolname = %(user)s
  UNION SELECT m.member, a.roleid FROM m JOIN pg_auth_members a ON a.member = m.roleid)
SELECT pg_get_userbyid(roleid)::text AS role FROM m
""",
    ),
    # Attributes are never inherited: they count after SET ROLE, for which from 16 on every grant on
    # the way needs its set_option. ``via`` is the role that the program itself is a member of.
    Fact(
        "reachable_roles",
        """
WITH RECURSIVE grants AS (SELECT a.roleid, a.member,
    coalesce((to_jsonb(a) ->> 'set_option')::boolean, true) AS settable FROM pg_auth_members a),
m(via, roleid, settable) AS (
  SELECT g.roleid, g.roleid, g.settable
  FROM grants g JOIN pg_roles r ON r.oid = g.member WHERE r.rolname = %(user)s
  UNION SELECT m.via, g.roleid, m.settable AND g.settable
  FROM m JOIN grants g ON g.member = m.roleid)
SELECT r.rolname::text AS role, pg_get_userbyid(m.via)::text AS via,
  bool_or(m.settable) AS settable, r.rolsuper, r.rolcreaterole, r.rolcreatedb,
  r.rolreplication, r.rolbypassrls
FROM m JOIN pg_roles r ON r.oid = m.roleid GROUP BY 1, 2, 4, 5, 6, 7, 8 ORDER BY 1, 2
""",
    ),
    # For the rules of pg_hba.conf, which any role and database may match.
    Fact("roles", "SELECT rolname::text, rolsuper, rolcanlogin FROM pg_roles"),
    Fact(
        "members",
        "SELECT pg_get_userbyid(roleid)::text AS role, pg_get_userbyid(member)::text AS member"
        " FROM pg_auth_members",
    ),
    Fact("databases", "SELECT datname::text, datallowconn FROM pg_database"),
    # A superuser has the rights of every role: of those, only what it owns itself is meant.
    Fact(
        "owners",
        """
SELECT o.rolname::text AS owner, o.oid = d.datdba AS of_database, coalesce(c.tables, 0) AS tables,
  o.oid = u.oid OR NOT u.rolsuper AND pg_has_role(u.oid, o.oid, 'USAGE') AS has_rights
FROM pg_roles u CROSS JOIN pg_database d CROSS JOIN pg_roles o LEFT JOIN (
    SELECT relowner, count(*) AS tables FROM pg_class
    WHERE relkind IN ('r', 'p') AND oid >= 16384 GROUP BY relowner) c ON c.relowner = o.oid
WHERE u.rolname = %(user)s AND d.datname = %(db)s AND (o.oid = d.datdba OR c.tables > 0)
ORDER BY o.oid <> u.oid, 1
""",
    ),
    Fact(
        "connections",
        """
SELECT a.datname::text, a.usename::text, a.application_name, host(a.client_addr) AS client_addr,
  a.state,
  count(*) AS n, extract(epoch FROM max(now() - a.backend_start))::float8 AS oldest,
  extract(epoch FROM max(now() - a.state_change) FILTER (WHERE a.state = 'idle'))::float8
    AS max_idle
FROM pg_stat_activity a
WHERE a.usesysid IS NOT NULL AND a.datid IS NOT NULL AND a.pid <> pg_backend_pid()
  AND coalesce(a.backend_type, 'client backend') = 'client backend'
  AND a.application_name IS DISTINCT FROM %(auditor)s
GROUP BY 1, 2, 3, 4, 5
""",
    ),
    Fact(
        "tls",
        """
SELECT s.ssl, s.version, s.cipher, s.bits, s.client_dn, s.issuer_dn, g.gss_authenticated,
  g.encrypted AS gss_encrypted
FROM pg_stat_ssl s JOIN pg_stat_gssapi g USING (pid) WHERE s.pid = pg_backend_pid()
""",
    ),
    Fact("auth", "SELECT SYSTEM_USER AS system_user", since=16),
    Fact(
        "hba",
        "SELECT r.* FROM pg_hba_file_rules() WITH ORDINALITY AS r",
        reads="pg_hba_file_rules",
        needs=("hba",),
        grant=_HBA,
    ),
    Fact(
        "ident",
        "SELECT * FROM pg_ident_file_mappings",
        since=15,
        reads="pg_ident_file_mappings",
        needs=("ident",),
        grant=(
            "GRANT SELECT ON pg_ident_file_mappings TO {viewer};",
            "GRANT EXECUTE ON FUNCTION pg_ident_file_mappings() TO {viewer};",
        ),
    ),
    Fact(
        "file_settings",
        """
SELECT sourcefile, sourceline, seqno, name, applied, error
FROM pg_file_settings WHERE error IS NOT NULL
""",
        reads="pg_file_settings",
        needs=("file_settings",),
        grant=(
            "GRANT SELECT ON pg_file_settings TO {viewer};",
            "GRANT EXECUTE ON FUNCTION pg_show_all_file_settings() TO {viewer};",
        ),
    ),
    Fact(
        "hba_mtime",
        """
SELECT (pg_stat_file(current_setting('hba_file'))).modification AS mtime,
  pg_conf_load_time() AS loaded
""",
        reads="the age of pg_hba.conf",
        needs=("stat_file", "all_settings"),
        grant=(MONITOR, "GRANT EXECUTE ON FUNCTION pg_stat_file(text) TO {viewer};"),
    ),
    # From 16 on one file may include others.
    Fact(
        "hba_files",
        """
SELECT f.file_name, (pg_stat_file(f.file_name)).modification AS mtime
FROM (SELECT DISTINCT r.file_name FROM pg_hba_file_rules() r) f
""",
        since=16,
        reads="the age of pg_hba.conf",
        needs=("stat_file", "hba"),
        grant=(*_HBA, "GRANT EXECUTE ON FUNCTION pg_stat_file(text) TO {viewer};"),
    ),
    # Only the server can tell what its regular expressions match. From 16 on rules may have some.
    Fact(
        "hba_regexes",
        """
SELECT p.pattern, n.subject, n.subject ~ p.pattern COLLATE "C" AS matches
FROM (SELECT DISTINCT substr(word, 2) AS pattern
    FROM pg_hba_file_rules() r, unnest(r.database || r.user_name) word
    WHERE left(word, 1) = '/') p,
  (VALUES (%(user)s::text), (%(db)s::text), (session_user::text)) n(subject)
""",
        since=16,
        reads="pg_hba_file_rules",
        needs=("hba",),
        grant=_HBA,
    ),
    Fact(
        "password_kinds",
        """
SELECT rolname::text, CASE WHEN rolpassword IS NULL THEN 'none'
  WHEN rolpassword LIKE 'md5%%' THEN 'md5'
  WHEN rolpassword LIKE 'SCRAM-SHA-256$%%' THEN 'scram-sha-256' ELSE 'other' END AS kind
FROM pg_authid WHERE rolcanlogin
""",
        reads="pg_authid",
        needs=("authid",),
    ),
    Fact(
        "database",
        """
SELECT to_jsonb(d) - 'datacl' - 'datfrozenxid' - 'datminmxid' AS db,
  pg_encoding_to_char(d.encoding) AS encoding
FROM pg_database d WHERE d.datname = %(db)s
""",
    ),
    Fact(
        "db_collation",
        """
SELECT d.datcollversion, pg_database_collation_actual_version(d.oid) AS actual
FROM pg_database d WHERE d.datname = %(db)s
""",
        since=15,
    ),
    Fact(
        "collations",
        """
SELECT c.collname::text, c.collprovider::text, c.collversion,
  pg_collation_actual_version(c.oid) AS actual
FROM pg_collation c WHERE c.collversion IS NOT NULL
  AND c.collversion IS DISTINCT FROM pg_collation_actual_version(c.oid)
""",
    ),
    Fact(
        "extensions",
        """
SELECT e.extname::text, e.extversion, a.default_version
FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname
""",
    ),
    Fact(
        "public_schema",
        """
SELECT n.nspname::text,
  has_schema_privilege((SELECT r.oid FROM pg_roles r WHERE r.rolname = %(user)s), n.oid, 'CREATE')
    AS app_can_create,
  EXISTS (SELECT 1 FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
    WHERE a.grantee = 0 AND a.privilege_type = 'CREATE') AS public_can_create
FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
""",
    ),
    Fact(
        "standby",
        """
SELECT pg_last_wal_receive_lsn() AS recv, pg_last_wal_replay_lsn() AS replay,
  pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) AS replay_bytes,
  pg_last_xact_replay_timestamp() AS last_xact,
  extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 AS behind,
  CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused
""",
    ),
    Fact(
        "wal_receiver",
        "SELECT status, sender_host, latest_end_time FROM pg_stat_wal_receiver",
        reads="pg_stat_wal_receiver",
        needs=("all_stats",),
        grant=(MONITOR,),
    ),
    Fact(
        "replication",
        """
SELECT application_name, host(client_addr) AS client_addr, state, sync_state,
  CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(sent_lsn, replay_lsn) END AS lag_bytes,
  extract(epoch FROM replay_lag)::float8 AS replay_lag
FROM pg_stat_replication
""",
        reads="pg_stat_replication",
        needs=("all_stats",),
        grant=(MONITOR,),
    ),
    Fact(
        "session_stats",
        """
SELECT datname::text, numbackends, sessions, sessions_abandoned, sessions_fatal, sessions_killed,
  stats_reset
FROM pg_stat_database WHERE datname = %(db)s
""",
        since=14,
    ),
)


def role_sql(role: str) -> str:
    """Return the statements that make the role an audit can see everything with; ``role`` is a
    quoted name.
    """
    ours = [fact for fact in FACTS if fact.grant]
    old = dict.fromkeys(grant for fact in ours if fact.since == OLDEST for grant in fact.grant)
    new = dict.fromkeys(grant for fact in ours for grant in fact.grant if grant not in old)
    lines = [
        "-- In the database that the audit connects to: grants on pg_catalog hold in one database.",
        "CREATE ROLE {viewer} LOGIN;  -- and a password, which \\password of psql sets",
        MONITOR,
        *(grant for grant in old if grant != MONITOR),
        "-- PostgreSQL 15 and newer:",
        *new,
    ]
    return "\n".join(lines).format(viewer=role) + "\n"
