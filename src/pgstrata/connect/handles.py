"""The four handles: what the manager gives out.

A handle is safe to share between threads and tasks. Each ``with`` block on it has a connection of
its own, which it commits on success and rolls back on an exception; so blocks may nest, and may end
in another thread.

========== =============================== ==========================================
type       a block                         kept between blocks
========== =============================== ==========================================
normal     connects and closes             nothing
async      the same                        nothing
pool       borrows and gives back          a ConnectionPool
async_pool the same                        an AsyncConnectionPool for each event loop
========== =============================== ==========================================
"""

from __future__ import annotations

from typing import TypeAlias

from pgstrata.connect.async_pooled import AsyncPoolHandle
from pgstrata.connect.pooled import PoolHandle
from pgstrata.connect.single import AsyncHandle, NormalHandle

Handle: TypeAlias = NormalHandle | PoolHandle | AsyncHandle | AsyncPoolHandle

__all__ = ["AsyncHandle", "AsyncPoolHandle", "Handle", "NormalHandle", "PoolHandle"]
