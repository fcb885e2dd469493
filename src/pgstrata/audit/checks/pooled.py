"""Whether what answers the client is the server itself."""

from __future__ import annotations

from pgstrata.audit.view import View


def behind_pooler(view: View) -> bool:
    """Tell whether a pooler is declared, or gives numbers of its own to the server's processes.

    What a probe or a handshake shows is then the pooler's, and what SQL shows the server's.
    """
    facts = view.snapshot.facts
    numbers = {row["backend_pid"] for fact in ("client", "identity") for row in facts.get(fact, ())}
    return bool(view.client.value("pooler")) or len(numbers) > 1


def arriving(view: View, demand: int, limit: int) -> int:
    """Return how many of the demanded connections reach the server: no more than a pooler opens.

    Raises ``UnreadError`` where that is not declared, and would have to be known to tell whether
    there are more than the limit.
    """
    if demand <= limit or not behind_pooler(view):
        return demand
    return min(demand, int(view.declared("pooler_connections")))
