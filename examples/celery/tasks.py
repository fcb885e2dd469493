"""Tasks of Celery's prefork workers: ``celery -A tasks worker``."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from celery import Celery
from celery.signals import worker_process_shutdown

from pgstrata import PGConnectionManager

app = Celery("tasks", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)
manager = PGConnectionManager()  # may be made before the fork: each process gets its own pool


def add(self: Any, entry: str, amount: int) -> None:
    """Add an entry; the same one again changes nothing, so that the task may be repeated."""
    try:
        with manager.pool() as connection:
            connection.execute(
                "INSERT INTO ledger VALUES (%s, %s) ON CONFLICT DO NOTHING", (entry, amount)
            )
    except psycopg.OperationalError as error:
        raise self.retry(exc=error, countdown=1, max_retries=60) from None


def end(**_: object) -> None:
    """Close the worker process's pool."""
    manager.shutdown()


add_task = app.task(add, bind=True, name="ledger.add")
worker_process_shutdown.connect(end)
