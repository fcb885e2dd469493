"""A report without the IP addresses in it, for readers outside."""

from __future__ import annotations

import re
from ipaddress import ip_address

# Four numbers, or hexadecimal ones with at least two colons; ip_address says which is an address.
_CANDIDATE = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)(?![\w])"
)


def without_addresses(text: str) -> str:
    """Return the text with each IP address as ``address-1``, the same one always by the same
    number.
    """
    numbers: dict[str, int] = {}

    def stand_in(match: re.Match[str]) -> str:
        found = match[0]
        tail = ":" if found.endswith(":") and not found.endswith("::") else ""
        try:
            address = str(ip_address(found.removesuffix(tail) if tail else found))
        except ValueError:
            return found
        return f"address-{numbers.setdefault(address, len(numbers) + 1)}{tail}"

    return _CANDIDATE.sub(stand_in, text)
