"""SQLAlchemy 2 on a pgstrata environment: its pool, and connections that pgstrata makes."""

from __future__ import annotations

import asyncio
import uuid

from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pgstrata import PGConnectionManager


class Base(DeclarativeBase):
    """What all tables have in common."""


class Entry(Base):
    """One line of the ledger."""

    __tablename__ = "ledger"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    amount: Mapped[int]


def make_engine(manager: PGConnectionManager) -> Engine:
    """Return an engine; ``creator`` reads the secrets anew for each connection."""
    return create_engine(
        "postgresql+psycopg://",
        creator=manager.connect,
        pool_size=int(str(manager.config["pool_settings.max_size"])),
        max_overflow=0,
        pool_pre_ping=True,
    )


def make_async_engine(manager: PGConnectionManager) -> AsyncEngine:
    """Return the same for asyncio."""
    return create_async_engine(
        "postgresql+psycopg://",
        async_creator=manager.connect_async,
        pool_size=int(str(manager.config["async_pool_settings.max_size"])),
        max_overflow=0,
        pool_pre_ping=True,
    )


async def total(engine: AsyncEngine) -> int:
    """Return the sum of all entries."""
    async with AsyncSession(engine) as session:
        found = await session.scalar(select(func.sum(Entry.amount)))
    await engine.dispose()
    return found or 0


def main() -> None:
    """Make the table and an entry, and ask for the sum in asyncio."""
    manager = PGConnectionManager()
    engine = make_engine(manager)
    Base.metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        session.add(Entry(amount=5))
    print("total:", asyncio.run(total(make_async_engine(manager))))
    engine.dispose()


if __name__ == "__main__":
    main()
