"""A suite that must have a keyring does not pass without one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import pytest_runtest_setup

CI = Path(__file__).parents[2] / ".ci" / "run"


@pytest.mark.parametrize(
    ("required", "outcome"), [(False, pytest.skip.Exception), (True, pytest.fail.Exception)]
)
def test_a_missing_keyring_is_named(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    required: bool,  # noqa: FBT001  # an option of pytest
    outcome: type[BaseException],
) -> None:
    """The test is skipped with the reason, or fails where a keyring is required."""
    monkeypatch.setattr(request.config.option, "require_keyring", required)
    request.node.add_marker(pytest.mark.keyring("sys", "no-such-daemon"))
    with pytest.raises(outcome, match="not installed: no-such-daemon"):
        pytest_runtest_setup(request.node)


def test_ci_requires_it() -> None:
    """And a server with TLS."""
    line = CI.read_text().splitlines()[-1]
    assert "--require-tls" in line
    assert "--require-keyring" in line
