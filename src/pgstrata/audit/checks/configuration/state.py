"""Settings that wait for a restart, and settings that lose data."""

from __future__ import annotations

from collections.abc import Iterator

from pgstrata.audit.model import Check, Fix, Gap, Outcome, Status, UnreadError
from pgstrata.audit.reading import place
from pgstrata.audit.remedy import for_server
from pgstrata.audit.view import ALL_SETTINGS, View


def pending_restart(view: View) -> Iterator[Outcome]:
    """Find settings whose file says something else than the server does."""
    waiting = [row for row in view.rows("settings") if row["pending_restart"]]
    for row in waiting:
        name = row["name"]
        yield Outcome(
            "warn",
            f"the files give {name} another value than {row['setting']}, which the next restart"
            " brings",
            object=name,
            observed=str(row["setting"]),
            expected="the value of the files",
            fix=(
                Fix(
                    "-- restart the server, or take the change back",
                    "restart",
                    f"SELECT pending_restart FROM pg_settings WHERE name = '{name}';",  # noqa: S608  # is printed, never run
                ),
            ),
            evidence=(f"{name} = {row['setting']} ({place(row)})",),
        )
    if waiting:
        return
    if not view.row("caps")["all_settings"]:
        gap = Gap(
            "some parameters are shown to members of pg_read_all_settings only",
            ALL_SETTINGS.format(viewer=view.viewer),
        )
        raise UnreadError(gap, "none of the visible ones waits for a restart")
    yield Outcome("ok", "nothing waits for a restart")


def durability(view: View) -> Iterator[Outcome]:
    """Find a server that loses data in a crash."""
    if view.client.local:
        return
    for name in ("fsync", "full_page_writes"):
        said = view.server(name)
        bad: Status = "fail" if view.client.protected else "warn"
        yield Outcome(
            "ok" if said.value else bad,
            f"{name} is {said.text}" + ("" if said.value else ": a crash may cost the cluster"),
            object=name,
            observed=said.text,
            expected="on",
            key="protected",
            fix=() if said.value else for_server(view, name, "on"),
            evidence=(str(said),),
        )


CHECKS = (
    Check(
        "conf.pending_restart",
        "warn",
        what="Parameters that were changed in the files, read again, and that only a restart"
        " brings into effect.",
        why="The change is believed to be done. It comes with the next restart, which may be an"
        " incident at night.",
        verify="SELECT name, setting, sourcefile, sourceline FROM pg_settings WHERE"
        " pending_restart;",
        fix="Restart the server at a time of your own choice, or take the change back.",
        ignore="When a restart is planned: with an expiry date.",
        cannot_see="The waiting value; it stands in the file.",
        source="PostgreSQL documentation, pg_settings: pending_restart.",
        find=pending_restart,
    ),
    Check(
        "conf.durability",
        "fail",
        what="fsync or full_page_writes is off. A warning where the environment is not protected.",
        why="After a crash of the machine the cluster may be corrupt, and not start.",
        verify="SHOW fsync; SHOW full_page_writes;",
        fix="ALTER SYSTEM SET … = on, and reload.",
        ignore="For servers whose data can be made again, such as those of tests.",
        cannot_see="Disks that lie about what they have written.",
        source="PostgreSQL documentation, Write Ahead Log: Settings.",
        find=durability,
    ),
)
