"""A streaming standby of a throw-away server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import DEFAULT_HBA, PASSWORD, SUPERUSER, Server, ServerError

HBA = (*DEFAULT_HBA, f"local replication {SUPERUSER} scram-sha-256")
# A commit is acknowledged when the standby has it too: so a promotion loses none, even after the
# primary was killed.
PRIMARY = "synchronous_commit = on\nwal_level = replica\nmax_wal_senders = 8\nhot_standby = on\n"
# Commits wait for the standby, so how soon it comes back after a restart must not be measured too.
PRIMARY += "wal_retrieve_retry_interval = 100ms\n"
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '*'"


class Standby(Server):
    """A copy of a primary that follows it until ``promote``."""

    def __init__(self, primary: Server, *, port: int = 0) -> None:
        """Copy the primary's files; the standby is not started yet."""
        self._primary = primary
        super().__init__(primary.bindir, conf=PRIMARY, hba=HBA, port=port)

    def _initdb(self) -> None:
        passfile = self.directory / "passfile"
        passfile.touch(mode=0o600)
        passfile.write_text(f"*:*:*:*:{PASSWORD}\n")
        self._own(passfile)
        source = (
            f"host={self._primary.directory} port={self._primary.port} user={SUPERUSER} "
            f"passfile={passfile} application_name=standby"
        )
        self._run(
            *("pg_basebackup", "-d", source, "-D", str(self.data)),
            *("--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast"),
        )

    def follow(self) -> None:
        """Start, and make the primary's commits wait for this standby."""
        self.start()
        self._primary.sql(SYNCHRONOUS)
        self._primary.reload()
        self.wait_until_streaming()

    def wait_until_streaming(self) -> None:
        """Return when the primary's commits wait for this standby."""
        deadline = time.monotonic() + 60
        state = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        while not self._primary.sql(state):
            if time.monotonic() > deadline:
                raise ServerError(f"the standby does not follow: {self.log_text()[-2000:]}")
            time.sleep(0.02)

    def promote(self, *, wait: bool = True) -> None:
        """Make it a primary that waits for no standby."""
        self._pg_ctl("promote", *(() if wait else ("-W",)))


@contextmanager
def replicating(bindir: Path) -> Iterator[tuple[Server, Standby]]:
    """Run a primary and its synchronous standby; stop and remove both at the end."""
    with Server.running(bindir, conf=PRIMARY, hba=HBA) as primary:
        standby = Standby(primary)
        try:
            standby.follow()
            yield primary, standby
        finally:
            standby.remove()
