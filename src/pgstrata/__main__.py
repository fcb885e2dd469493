"""``python -m pgstrata``."""

from pgstrata.cli import main

main()
