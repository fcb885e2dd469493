"""What a server's pg_hba.conf makes of an attempt to connect: a simulator without any I/O.

::

    rules(rows, version)                 rows of pg_hba_file_rules -> Rule
    verdict(rules, attempt, known)       which rule decides, or that none does, or why unknown
    verdicts(rules, attempt, known)      the same for each part of a network of clients
    next_step(rule, attempt, known)      what the server then asks, and whether one can get in
    unreachable(rules, databases, known) rules that never decide
    suggest(rules, attempt, known)       the missing line, and where it belongs
    hba_line(...), quote_hba(name)       lines that mean what was meant
"""

from pgstrata.audit.hba.attempt import (
    Attempt,
    Known,
    Mapped,
    Transport,
    client,
    is_physical,
    transports,
)
from pgstrata.audit.hba.decision import Slice, Verdict, verdict, verdicts
from pgstrata.audit.hba.line import Keyword, hba_line, quote_hba
from pgstrata.audit.hba.reach import Unreachable, unreachable
from pgstrata.audit.hba.rule import Rule, redacted, rules
from pgstrata.audit.hba.step import Request, Step, next_step
from pgstrata.audit.hba.suggestion import Suggestion, suggest

__all__ = [
    "Attempt",
    "Keyword",
    "Known",
    "Mapped",
    "Request",
    "Rule",
    "Slice",
    "Step",
    "Suggestion",
    "Transport",
    "Unreachable",
    "Verdict",
    "client",
    "hba_line",
    "is_physical",
    "next_step",
    "quote_hba",
    "redacted",
    "rules",
    "suggest",
    "transports",
    "unreachable",
    "verdict",
    "verdicts",
]
