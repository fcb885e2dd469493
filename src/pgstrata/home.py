"""The home folder of the account that a program runs under."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder that ``HOME`` names, or else the account's own; None where there is
    neither, as in a container whose user is only a number.
    """
    if named := environ.get("HOME"):
        return Path(named)
    try:
        return Path.home()
    except RuntimeError:
        return None
