"""What is wrong in pg_hba.conf itself."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.checks.authentication.known import changed, memberships
from pgstrata.audit.checks.authentication.simulated import file_of
from pgstrata.audit.hba import Known, Rule, unreachable
from pgstrata.audit.hba.step import certificate_demand
from pgstrata.audit.model import Check, Fix, Outcome
from pgstrata.audit.remedy import for_server
from pgstrata.audit.view import View

_WIDE = 16  # bits of a network: fewer are more addresses than one organization uses for clients
_VERIFY = "SELECT * FROM pg_hba_file_rules;"
_RELOAD = "then SELECT pg_reload_conf();"


def file_errors(view: View) -> Iterator[Outcome]:
    """Find lines for which the server refuses the whole file."""
    broken = [rule for rule in file_of(view) if rule.broken]
    for rule in broken:
        yield Outcome(
            "fail",
            f"{rule.place}: {rule.error or 'an option is not valid'}: the next restart fails, and"
            " until then the lines from before hold",
            object=rule.place,
            observed=rule.error or "a line without a type",
            expected="a line that the server can read",
            fix=(Fix(f"-- correct {rule.place}; {_RELOAD}", "reload", _VERIFY),),
            evidence=(rule.place,),
        )
    if not broken:
        yield Outcome("ok", "the server can read all lines")


def not_reloaded(view: View) -> Iterator[Outcome]:
    """Compare the file's time with that of the last reload."""
    row, newer = view.row("hba_mtime"), changed(view)
    yield Outcome(
        "warn" if newer else "ok",
        f"{', '.join(newer)} was changed after the server last read it, at {row['loaded'][:19]}"
        if newer
        else f"pg_hba.conf was changed at {row['mtime'][:19]}, and read at {row['loaded'][:19]}",
        observed=row["mtime"],
        expected=f"before {row['loaded']}",
        fix=(Fix("SELECT pg_reload_conf();", "reload", "SELECT pg_conf_load_time();"),)
        if newer
        else (),
    )


def never(view: View) -> Iterator[Outcome]:
    """Find lines that never decide."""
    lines = file_of(view)
    names = [row["datname"] for row in view.rows("databases")]
    found = unreachable(lines, names, Known(memberships=memberships(view)))
    for one in found:
        earlier = ", ".join(rule.place for rule in one.by)
        why = (
            f"earlier lines take all that it matches: {earlier}"
            if one.by
            else "no role or database of today matches it"
        )
        yield Outcome(
            "warn" if one.by else "info",
            f"{one.rule.place} never decides: {why}",
            object=one.rule.place,
            observed=str(one.rule),
            expected="a line that decides about somebody",
            fix=(Fix(f"-- move {one.rule.place} up, or remove it; {_RELOAD}", "reload", _VERIFY),),
            evidence=tuple(f"{rule.place}: {rule}" for rule in one.by),
        )
    if not found:
        yield Outcome("ok", "every line decides about somebody")


def broad(view: View) -> Iterator[Outcome]:
    """Find lines that let in more than anybody needs."""
    wide = [(rule, why) for rule in file_of(view) if (why := _broad(rule))]
    for rule, why in wide:
        yield Outcome(
            "warn",
            f"{rule.place} is for {why}",
            object=rule.place,
            observed=str(rule),
            expected="named databases, roles and networks",
            fix=(Fix(f"-- narrow {rule.place}; {_RELOAD}", "reload", _VERIFY),),
            evidence=(f"{rule.place}: {rule}",),
        )
    if not wide:
        yield Outcome("ok", "no line is for everybody")


def _broad(rule: Rule) -> str:
    if rule.broken or rule.method == "reject" or rule.type == "local":
        return ""
    network = rule.network
    if network is not None and (network.is_loopback or network.prefixlen == network.max_prefixlen):
        return ""
    if rule.address == "all" or (network is not None and network.prefixlen == 0):
        return "any address"
    if network is not None and network.version == 4 and network.prefixlen < _WIDE:  # noqa: PLR2004  # of the protocol
        return f"{network.num_addresses} addresses"
    everybody = rule.databases == ("all",) and rule.users == ("all",)
    return "all roles and all databases" if everybody else ""


def ssl_ca(view: View) -> Iterator[Outcome]:
    """Find lines that demand certificates which the server cannot verify."""
    demands = [rule for rule in file_of(view) if certificate_demand(rule)]
    if not demands:
        return
    said = view.server("ssl_ca_file")
    for rule in demands:
        yield Outcome(
            "ok" if said.text else "fail",
            f"{rule.place} demands a client certificate, and ssl_ca_file is"
            f" {said.text or 'not set: it refuses everybody'}",
            object=rule.place,
            observed=said.text or "not set",
            expected="the authority of the clients' certificates",
            fix=() if said.text else for_server(view, "ssl_ca_file", "root.crt"),
            evidence=(f"{rule.place}: {rule}", str(said)),
        )


_SOURCE = "PostgreSQL documentation, The pg_hba.conf File; pg_hba_file_rules."

CHECKS = (
    Check(
        "auth.file_errors",
        "fail",
        what="Lines of pg_hba.conf that the server cannot read, also those that the view shows"
        " without an error.",
        why="A reload keeps the lines from before, so that nobody notices; the next restart ends"
        " with `could not load pg_hba.conf`.",
        verify="SELECT * FROM pg_hba_file_rules WHERE type IS NULL OR error IS NOT NULL;",
        fix="Correct the line that is named.",
        ignore="Never.",
        cannot_see="Files that a restart finds elsewhere.",
        source=_SOURCE,
        find=file_errors,
    ),
    Check(
        "auth.not_reloaded",
        "warn",
        what="pg_hba.conf, or a file that it includes, is newer than the server's last reload.",
        why="What the file says is not what the server does.",
        verify="SELECT (pg_stat_file(current_setting('hba_file'))).modification,"
        " pg_conf_load_time();",
        fix="SELECT pg_reload_conf();",
        ignore="While somebody edits it.",
        cannot_see="Included files without a rule, and lists of names in a file (@file).",
        source="PostgreSQL documentation, pg_conf_load_time.",
        find=not_reloaded,
    ),
    Check(
        "auth.unreachable",
        "warn",
        what="Lines that never decide, because earlier ones together take all that they match;"
        " with the roles and databases of today.",
        why="Somebody wrote the line to allow or forbid something, and it does neither.",
        verify=_VERIFY,
        fix="Move it up, or remove it.",
        ignore="For a line that waits for a role that is yet to come.",
        cannot_see="Host names and the machine's own interfaces; lines that may decide are not"
        " reported.",
        source=_SOURCE,
        find=never,
    ),
    Check(
        "auth.broad",
        "warn",
        what="Lines for any address, for networks larger than /16, or for all roles and all"
        " databases of another machine.",
        why="Whoever gets hold of any password gets in from anywhere, as a superuser too.",
        verify=_VERIFY,
        fix="Name the database, the role and the network.",
        ignore="Behind a firewall that says the same more narrowly.",
        cannot_see="What lies before the server.",
        source=_SOURCE,
        find=broad,
    ),
    Check(
        "auth.ssl_ca",
        "fail",
        what="Lines with cert or clientcert, while ssl_ca_file is not set.",
        why="`client certificates can only be checked if a root certificate store is available`:"
        " nobody gets in by them.",
        verify="SHOW ssl_ca_file;",
        fix="ssl_ca_file, and reload.",
        ignore="Never.",
        cannot_see="Whether the file has the right authority: see tls.mtls.",
        source="PostgreSQL documentation, Using Client Certificates.",
        find=ssl_ca,
    ),
)
