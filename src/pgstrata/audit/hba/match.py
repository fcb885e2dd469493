"""Whether a rule matches an attempt, column by column, as the server's hba.c decides it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from pgstrata.audit.hba.answer import Answer, all_of, any_of
from pgstrata.audit.hba.attempt import Address, Attempt, Known, Transport
from pgstrata.audit.hba.regex import search
from pgstrata.audit.hba.rule import Network, Rule

# TLS and GSS encryption exclude each other, so to a line about one the other is as good as none.
TYPES: Mapping[Transport, frozenset[str]] = {
    "plain": frozenset(("host", "hostnossl", "hostnogssenc")),
    "tls": frozenset(("host", "hostssl", "hostnogssenc")),
    "gss": frozenset(("host", "hostnossl", "hostgssenc")),
}


def matches(rule: Rule, attempt: Attempt, known: Known) -> Answer:
    """Tell whether the rule decides about the attempt, if no earlier one does."""
    return all_of(_columns(rule, attempt, known))


def type_matches(rule: Rule, attempt: Attempt) -> bool:
    """Tell whether the line is about this kind of connection."""
    if attempt.client is None:
        return rule.type == "local"
    return rule.type in TYPES[attempt.transport]


def address_matches(rule: Rule, client: Network | None, known: Known) -> Answer:
    """Tell whether the line is about this client, or about all clients of this network."""
    if client is None or rule.address == "all":
        return True
    if rule.netmask:
        return _masked(rule, client)
    if client.num_addresses > 1:
        return f"{rule.address} in {rule.place} may match some of {client}"
    if rule.address in ("samehost", "samenet"):
        return _own(rule, client.network_address, known)
    return _named(rule, client.network_address, known)


def database_matches(rule: Rule, attempt: Attempt, known: Known) -> Answer:
    """Tell whether the line is about this database."""
    return any_of(_database(word, rule, attempt, known) for word in rule.databases)


def user_matches(rule: Rule, user: str, known: Known) -> Answer:
    """Tell whether the line is about this role."""
    return any_of(_user(word, rule, user, known) for word in rule.users)


def is_member(user: str, role: str, known: Known) -> Answer:
    """Tell whether ``user`` is in ``role``; every role is in itself."""
    if user not in known.memberships:
        return f"the roles that {user!r} is a member of are not known"
    return role in known.memberships[user]


def _columns(rule: Rule, attempt: Attempt, known: Known) -> Iterator[Answer]:
    yield type_matches(rule, attempt)
    yield address_matches(rule, attempt.client, known)
    yield database_matches(rule, attempt, known)
    yield user_matches(rule, attempt.user, known)


def _masked(rule: Rule, client: Network) -> Answer:
    """Compare what mask and prefix have in common; the rest of the mask only some clients match."""
    address, mask = ip_address(rule.address), int(ip_address(rule.netmask))
    if address.version != client.version:
        return False
    fixed = int(client.netmask)
    if (int(address) ^ int(client.network_address)) & mask & fixed:
        return False
    return f"{rule.place} matches some of {client}" if mask & ~fixed else True


def _own(rule: Rule, address: Address, known: Known) -> Answer:
    if address in known.server_addresses or str(address) in ("127.0.0.1", "::1"):
        return True
    if address.is_loopback:  # 127.0.0.0/8 is a network of the machine, but one address of it is set
        return rule.address == "samenet"
    return f"which addresses {rule.address} means depends on the server's interfaces"


def _named(rule: Rule, address: Address, known: Known) -> Answer:
    if address not in known.host_names:
        return f"what name the server finds for {address} is not known ({rule.place} wants one)"
    name, wanted = known.host_names[address].lower(), rule.address.lower()
    return name.endswith(wanted) if wanted.startswith(".") else name == wanted


def _database(word: str, rule: Rule, attempt: Attempt, known: Known) -> Answer:
    name = attempt.database
    if attempt.replication:
        return word == "replication"
    if word == "all":
        return True
    if word in ("sameuser", "samerole", "samegroup"):
        same = attempt.user == name if word == "sameuser" else is_member(attempt.user, name, known)
        return same or _perhaps_quoted(word, name, rule)
    if word == "replication":
        return _perhaps_quoted(word, name, rule)
    return _name(word, name, rule, known)


def _user(word: str, rule: Rule, user: str, known: Known) -> Answer:
    if word.startswith("+"):
        return is_member(user, word[1:], known) or _perhaps_quoted(word, user, rule)
    return word == "all" or _name(word, user, rule, known)


def _name(word: str, name: str, rule: Rule, known: Known) -> Answer:
    if not (rule.regexes and word.startswith("/")):
        return word == name
    answer = known.regexes.get((word[1:], name))
    return search(word[1:], name) if answer is None else answer


def _perhaps_quoted(word: str, name: str, rule: Rule) -> Answer:
    """Doubt a keyword that may be a name: the view drops the quotes that would tell."""
    return name == word and f"{word} in {rule.place} may be a keyword, or a name in quotes"
