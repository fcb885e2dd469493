"""What is read from the text of a metrics page, whatever it holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pgstrata.observe.exposition import pools

TEXT = r"""
# HELP pgstrata_pool_connections Open connections by state.
# TYPE pgstrata_pool_connections gauge
pgstrata_pool_connections{pool="a/\"b\"\\",type="pool",state="idle"} 3.0
pgstrata_pool_connections{pool="a/\"b\"\\",type="pool",state="used"} 2.0
pgstrata_pool_max_size{pool="a/\"b\"\\",type="pool"} 8.0
pgstrata_pool_errors_total{pool="a/\"b\"\\",type="pool",kind="busy"} 1.0
pgstrata_pool_errors_total{pool="a/\"b\"\\",type="pool",kind="lost"} 2.0
pgstrata_pool_use_seconds_count{pool="a/\"b\"\\",type="pool"} 4.0
pgstrata_pool_use_seconds_sum{pool="a/\"b\"\\",type="pool"} 1.0
pgstrata_pool_waiting{pool="z",type="async_pool"} 7.0 1700000000000
pgstrata_pool_leaked{pool="z",type="async_pool"} NaN
process_open_fds 12
"""


def test_pools_are_put_together_from_their_lines() -> None:
    """Counts by kind are added up, means made of sums; names are unescaped."""
    one, other = pools(TEXT)
    assert (one.name, one.idle, one.used, one.max_size, one.errors) == ('a/"b"\\', 3, 2, 8, 3)
    assert (one.use, one.wait) == (0.25, 0.0)
    assert (other.connection_type, other.waiting, other.leaked) == ("async_pool", 7, 0)


@given(st.text() | st.from_regex(r'pgstrata_pool_\w+\{pool="[^"]*"\} .*'))
def test_any_text_can_be_read(text: str) -> None:
    """A broken page is no error of this program."""
    assert isinstance(pools(text), tuple)
