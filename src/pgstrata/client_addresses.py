"""Where clients connect from, as ``client_addresses`` declares it."""

from __future__ import annotations

import ipaddress
from typing import TypeAlias

from pgstrata.errors import InvalidConfigError
from pgstrata.model import Config, Finding

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(config: Config) -> tuple[Network, ...]:
    """Return the declared networks in their order, each once; a bare address is a network of one.

    Host bits are dropped, as the server drops them. Raises ``InvalidConfigError`` with a finding
    for each entry that is no network.
    """
    setting = config.settings.get("client_addresses")
    if setting is None or not isinstance(setting.value, tuple):
        return ()
    found: list[Network] = []
    wrong: list[Finding] = []
    for text, origin in zip(map(str, setting.value), setting.items, strict=True):
        try:
            found.append(ipaddress.ip_network(text.strip(), strict=False))
        except ValueError:
            message = f"client_addresses: {text!r} is not a network, such as 10.20.0.0/16"
            wrong.append(Finding("invalid-value", message, origin, "error", config.environment))
    if wrong:
        raise InvalidConfigError(wrong)
    return tuple(dict.fromkeys(found))
