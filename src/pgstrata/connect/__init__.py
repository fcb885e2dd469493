"""From a Config to live connections: conninfo, the four handles, the manager."""

from pgstrata.schema.libpq import require

require()
