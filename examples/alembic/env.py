"""Alembic's env.py: migrations run on a pgstrata environment, or are written as SQL."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool

from pgstrata import PGConnectionManager

target_metadata = None  # that of your models, for --autogenerate


def write_sql() -> None:
    """Write statements, for ``--sql``; nothing connects."""
    context.configure(dialect_name="postgresql", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def migrate() -> None:
    """Run the migrations in one transaction."""
    manager = PGConnectionManager()
    engine = create_engine(
        "postgresql+psycopg://", creator=manager.connect, poolclass=pool.NullPool
    )
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    write_sql()
else:
    migrate()
