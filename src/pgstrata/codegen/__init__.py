"""Complete programs that connect to an environment, as a start for a user's own."""

from __future__ import annotations

from pgstrata.codegen.program import FRAMEWORKS, LIBRARIES, Program, program

__all__ = ["FRAMEWORKS", "LIBRARIES", "Program", "program"]
