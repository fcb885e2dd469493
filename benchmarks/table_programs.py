"""The programs of benchmarks/tables.py, to be formatted and handed to ``python -c``."""

CONNECT = """
import sys, psycopg
from pgstrata.tables import *
def c(database="one"): return psycopg.connect(sys.argv[1] + " dbname=" + database)
"""
# What a program that runs already waits for: without the start of Python, imports and log-ins.
RUNNING = """
import time
from pgstrata.tables import copying, exporting, importing, parallel  # noqa
connections = [c(name) for name in {databases!r}]
start = time.perf_counter()
{what}
print(time.perf_counter() - start)
"""
IMPORT = CONNECT + "import_csv(c(), '{table}', {file!r}, ImportOptions({options}))"
PARALLEL = (
    CONNECT
    + "cs = [c() for _ in range({jobs})]; import_csv(cs[0], '{table}', {file!r}, workers=cs[1:])"
)
EXPORT = CONNECT + "export_csv(c(), 'full_m', {file!r}, ExportOptions(overwrite=True))"
COPY = CONNECT + "copy_table(c(), c('two'), {table!r})"
EARLY = (
    CONNECT
    + """
import time
connection, source = c(), open({file!r}, "rb")
start = time.perf_counter()
try:
    import_csv(connection, "m", source)
except RowError:
    print(time.perf_counter() - start, source.tell())
"""
)
# The least that a Python program does for it, with nothing found out, counted or undone.
BARE = """
import sys, psycopg
def c(database="one"): return psycopg.connect(sys.argv[1] + " dbname=" + database)
"""
BARE_IMPORT = (
    BARE
    + """
with c() as one, open({file!r}, "rb") as file:
    with one.cursor().copy("COPY m FROM STDIN (FORMAT csv, HEADER)") as copy:
        while data := file.read(2**18):
            copy.write(data)
"""
)
BARE_EXPORT = (
    BARE
    + """
with c() as one, open({file!r}, "wb") as file:
    with one.cursor().copy("COPY full_m TO STDOUT (FORMAT csv, HEADER)") as copy:
        for data in copy:
            file.write(data)
"""
)
BARE_COPY = (
    BARE
    + """
with c() as one, c("two") as two:
    with (
        one.cursor().copy("COPY full_m TO STDOUT (FORMAT binary)") as source,
        two.cursor().copy("COPY full_m FROM STDIN (FORMAT binary)") as target,
    ):
        for data in source:
            target.write(data)
"""
)
