"""What the server asks of a client after a rule has been chosen, as its auth.c does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pgstrata.audit.hba.answer import Answer, any_of
from pgstrata.audit.hba.attempt import Attempt, Known, Mapped
from pgstrata.audit.hba.match import is_member
from pgstrata.audit.hba.rule import Rule

# "nothing": let in; "no_entry" and "reject": the two refusals by pg_hba.conf; "refused": by the
# method itself, without a question.
Request: TypeAlias = Literal[
    "nothing",
    "password",
    "md5",
    "scram",
    "gss",
    "sspi",
    "oauth",
    "no_entry",
    "reject",
    "no_certificate",
    "no_client_ca",
    "refused",
]


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next.

    ``requests`` are the requests or refusals that the server may answer with: more than one where
    it depends on what is not known. ``possible`` tells whether the client can get in as far as
    pg_hba.conf is concerned, given the right password: True, False, or why that cannot be told.
    ``needs_certificate`` tells whether the server demands one of the client. ``problem`` says why
    nobody gets in.
    """

    requests: tuple[Request, ...]
    possible: Answer = True
    needs_certificate: bool = False
    problem: str = ""


_FOREIGN = "whether {method} lets the client in is decided outside of the server"
_REQUESTS: Mapping[str, Request] = {
    "password": "password",
    "scram-sha-256": "scram",
    "ldap": "password",
    "pam": "password",
    "radius": "password",
    "bsd": "password",
    "gss": "gss",
    "sspi": "sspi",
    "oauth": "oauth",
}
_BY_KIND: Mapping[str, tuple[Request, ...]] = {"md5": ("md5",), "scram-sha-256": ("scram",)}


def next_step(rule: Rule | None, attempt: Attempt, known: Known) -> Step:
    """Return what the server does when ``rule`` decides; None is the refusal for want of one."""
    if rule is None:
        return _refused("no_entry", "no line of pg_hba.conf matches")
    if rule.method == "reject":
        return _refused("reject", f"{rule.place} rejects the connection")
    demand = certificate_demand(rule)
    if demand and (refusal := _without_certificate(attempt, known)):
        return refusal
    step = _METHODS.get(rule.method, _outside)(rule, attempt, known)
    return _certified(step, rule, attempt, known) if demand else step


def certificate_demand(rule: Rule) -> str:
    """Return ``verify-ca``, ``verify-full``, or empty: what the rule wants of a certificate."""
    return "verify-full" if rule.method == "cert" else rule.option("clientcert")


def _without_certificate(attempt: Attempt, known: Known) -> Step | None:
    """Return the refusal that comes before any method; with one doubt, both cases of it."""
    if known.client_ca is False:
        return _refused(
            "no_client_ca", "the rule demands a client certificate, and ssl_ca_file is not set"
        )
    if attempt.certificate is not None:
        return None
    refusal = _refused("no_certificate", "the rule demands a client certificate")
    if known.client_ca:
        return refusal
    return Step(("no_certificate", "no_client_ca"), False, True, refusal.problem)


def _certified(step: Step, rule: Rule, attempt: Attempt, known: Known) -> Step:
    """Add what the certificate itself decides, which comes after the method."""
    fits: Answer = True
    if certificate_demand(rule) == "verify-full":
        fits = _named_by_certificate(rule, attempt, known)
    unsure: tuple[Request, ...] = () if known.client_ca else ("no_client_ca",)
    letting = step.requests != ("nothing",)  # a question comes first, whatever the certificate says
    requests = step.requests if letting or fits is True else _refusable(fits)
    possible = False if step.possible is False else fits if fits is not True else step.possible
    problem = (
        "" if fits is not False else f"the certificate of {attempt.certificate!r} does not fit"
    )
    return Step((*requests, *unsure), possible, True, step.problem or problem)


def _named_by_certificate(rule: Rule, attempt: Attempt, known: Known) -> Answer:
    if rule.option("clientname") == "DN":
        return "the distinguished name in the client's certificate is not known"
    return _mapped(rule.option("map"), attempt.certificate or "", attempt, known)


def _trust(_rule: Rule, _attempt: Attempt, _known: Known) -> Step:
    return Step(("nothing",))


def _md5(_rule: Rule, attempt: Attempt, known: Known) -> Step:
    """Ask by the kind of password: under md5, one that is kept for SCRAM is asked for by SCRAM."""
    kind = known.password_kinds.get(attempt.user)
    no_role = known.memberships.get(attempt.user) == frozenset()
    asked_by = known.password_encryption if kind == "none" or no_role else kind
    requests = _BY_KIND.get(asked_by or "", ("md5", "scram"))
    return _with_password(requests, attempt, kind, "md5", "scram-sha-256")


def _scram(_rule: Rule, attempt: Attempt, known: Known) -> Step:
    kind = known.password_kinds.get(attempt.user)
    return _with_password(("scram",), attempt, kind, "scram-sha-256")


def _password(_rule: Rule, attempt: Attempt, known: Known) -> Step:
    kind = known.password_kinds.get(attempt.user)
    return _with_password(("password",), attempt, kind, "md5", "scram-sha-256")


def _with_password(
    requests: tuple[Request, ...], attempt: Attempt, kind: str | None, *usable: str
) -> Step:
    if kind is None or kind in usable:
        return Step(requests)
    has = "no password" if kind == "none" else f"a password that is kept for {kind}"
    return Step(requests, possible=False, problem=f"role {attempt.user!r} has {has}")


def _peer(rule: Rule, attempt: Attempt, known: Known) -> Step:
    if not attempt.os_user:
        return Step(("nothing", "refused"), "the client's account of the system is not known")
    fits = _mapped(rule.option("map"), attempt.os_user, attempt, known)
    problem = f"{rule.place} does not let the account {attempt.os_user!r} be {attempt.user!r}"
    return Step(_refusable(fits), fits, problem=problem if fits is False else "")


def _outside(rule: Rule, _attempt: Attempt, _known: Known) -> Step:
    if rule.method in ("pam", "ldap", "radius", "bsd", "gss", "sspi", "oauth"):
        requests: tuple[Request, ...] = (_REQUESTS[rule.method],)
    else:
        requests = ("nothing", "refused")
    return Step(requests, _FOREIGN.format(method=rule.method))


_METHODS: Mapping[str, Callable[[Rule, Attempt, Known], Step]] = {
    "trust": _trust,
    "cert": _trust,
    "md5": _md5,
    "scram-sha-256": _scram,
    "password": _password,
    "peer": _peer,
}


def _mapped(name: str, system: str, attempt: Attempt, known: Known) -> Answer:
    """Tell whether the outside name may be the role: the same, or so by a map of pg_ident.conf."""
    if not name:
        return system == attempt.user
    if known.ident is None:
        return f"the map {name!r} of pg_ident.conf cannot be seen"
    lines = [line for line in known.ident if line.map == name]
    return any_of(_line_maps(line, system, attempt, known) for line in lines)


def _line_maps(line: Mapped, system: str, attempt: Attempt, known: Known) -> Answer:
    if line.system.startswith("/"):
        return f"a line of the map {line.map!r} is a regular expression"
    if line.system != system:
        return False
    role = line.database_user
    if role == attempt.user:
        return True
    # From 16 on the last column may be as in pg_hba.conf, and earlier all of it is a name.
    if role.startswith("+"):
        return is_member(attempt.user, role[1:], known) and f"{role} may be a group, or a name"
    return (role == "all" or role.startswith("/")) and f"{role} in the map may be more than a name"


def _refusable(fits: Answer) -> tuple[Request, ...]:
    return (
        ("nothing",) if fits is True else ("refused",) if fits is False else ("nothing", "refused")
    )


def _refused(request: Request, problem: str) -> Step:
    demand = request in ("no_certificate", "no_client_ca")
    return Step((request,), possible=False, needs_certificate=demand, problem=problem)
