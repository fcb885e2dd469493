"""The dependency rule: a module imports only from the left of itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "pgstrata"

# Weakest first. Packages of one row may not import each other.
ROWS = (
    ("_version", "errors", "home", "rules"),
    ("model",),
    ("schema",),
    ("layers", "secrets"),
    ("capacity", "client_addresses", "effective", "sizing", "statements", "stores", "validation"),
    ("loading", "local"),
    ("diff", "check", "connect"),
    ("impact", "pgmonkey"),
    ("audit", "tables", "codegen", "observe", "promotion", "pytest_plugin"),
    ("adoption", "recommend"),
    ("render",),
    ("cli",),
    ("__init__", "__main__"),
)
RANKS = {name: rank for rank, row in enumerate(ROWS) for name in row}
CONFINED = {
    "click": ("cli",),
    "dynaconf": ("layers",),
    "keyring": ("secrets",),
    "cryptography": ("secrets", "audit"),  # an audit reads certificates
    "ruamel": ("promotion",),
    "opentelemetry": ("observe",),
    "prometheus_client": ("observe",),
    "pytest": ("pytest_plugin",),
    "rich": ("cli",),
}
SLOW = ("keyring", "cryptography", "rich")
MODULES = sorted(SOURCE.rglob("*.py"))


def _package(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node
            yield from ((f"{node.module}.{alias.name}", node) for alias in node.names)


def _for_types_only(tree: ast.Module) -> set[ast.AST]:
    """Return what stands below ``if TYPE_CHECKING:``."""
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If))
    named = (b for b in blocks if isinstance(b.test, ast.Name) and b.test.id == "TYPE_CHECKING")
    return {inner for block in named for inner in ast.walk(block)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_from_the_left(path: Path) -> None:
    """No module imports from its own row's other packages, nor from its right."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = _for_types_only(tree)
    own = _package(path)
    for name, node in _imports(tree):
        parts = name.split(".")
        if parts[0] != "pgstrata" or len(parts) == 1 or node in skipped:
            continue
        other = parts[1]
        if other in RANKS and other != own:
            assert RANKS[other] < RANKS[own], f"{own} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_libraries_stay_where_they_belong(path: Path) -> None:
    """Each confined library is imported where it belongs, a slow one only inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = _for_types_only(tree)
    for name, node in _imports(tree):
        library = name.partition(".")[0]
        if library in CONFINED and node not in skipped:
            assert _package(path) in CONFINED[library], f"{path.name} imports {name}"
            assert library not in SLOW or node not in tree.body, f"{name} at the top"


def test_every_package_has_a_place() -> None:
    """A new package must be put into the rule."""
    there = {_package(path) for path in MODULES}
    assert there <= RANKS.keys()


ROOT = SOURCE.parents[1]
QUICK = {
    "import": "import pgstrata",
    "files": "import pgstrata.layers.files",
    "completion": f"from pgstrata.layers.project import *; environments(Path({str(ROOT)!r}))",
    "envs": f"from pgstrata.layers.outline import *; outline(Path({str(ROOT)!r}))",
}


@pytest.mark.parametrize("program", QUICK.values(), ids=QUICK)
def test_what_must_be_quick_imports_nothing_slow(program: str) -> None:
    """Completion and ``envs`` need neither the merge nor psycopg, nor any store of secrets."""
    program += "; import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    modules = {name.partition(".")[0] for name in done.stdout.split()}
    assert not modules & {"dynaconf", "psycopg", "psycopg_pool", "keyring", "cryptography"}


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/design.md"])
def test_the_rule_is_written_as_it_is_held(page: str) -> None:
    """Row by row; the ends, which everybody or nobody may import, go without saying."""
    unsaid = {"_version", "home", "rules", "__init__", "__main__"}
    rows = [", ".join(name for name in row if name not in unsaid) for row in ROWS]
    text = (SOURCE.parents[1] / page).read_text(encoding="utf-8")
    assert f"\n{' < '.join(filter(None, rows))}\n" in text
