"""Certificates: what is read of a file, and whom they are for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from tests.certificates import Certificates

from pgstrata.audit.wire.certificate import Certificate, name_matches
from pgstrata.audit.wire.certificate import certificates as read


@pytest.mark.parametrize(
    ("pattern", "host", "matches"),
    [
        ("db.example.com", "DB.Example.com", True),
        ("*.example.com", "db.example.com", True),
        ("*.example.com", "a.db.example.com", False),
        ("*.example.com", "example.com", False),
        ("*.example.com", ".example.com", False),
        ("d*.example.com", "db.example.com", False),
        ("*", "db", False),
        ("", "", False),
    ],
)
def test_names(pattern: str, host: str, *, matches: bool) -> None:
    """A wildcard stands for exactly one label, at the beginning."""
    assert name_matches(pattern, host) is matches


def test_a_bundle(tmp_path: Path, certificates: Certificates) -> None:
    """All certificates of a file are read, with their times in UTC."""
    bundle = tmp_path / "bundle.crt"
    both = (certificates.ca, certificates.expired.certificate)
    bundle.write_bytes(b"".join(path.read_bytes() for path in both))
    ca, expired = read(bundle)
    now = dt.datetime.now(dt.timezone.utc)
    assert (ca.self_signed, ca.common_name) == (True, "pgstrata tests")
    assert dt.datetime.fromisoformat(expired.not_after) < now
    assert Certificate.from_json(expired.as_json()) == expired


def test_no_certificate(tmp_path: Path) -> None:
    """A file without any is an error."""
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="PEM"):
        read(tmp_path / "empty")
