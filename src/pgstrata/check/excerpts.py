"""The files behind findings: their text, and single lines of it with every secret masked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pgstrata.errors import InvalidConfigError
from pgstrata.layers.document import Document, parse
from pgstrata.layers.project import FOLDER
from pgstrata.layers.shape import attach_lines
from pgstrata.model import Finding, Origin

_ENDINGS = (".yaml", ".yml")


@dataclass
class Sources:
    """The files of a project by the names that origins have for them, each read once."""

    project: Path
    _texts: dict[str, str] = field(default_factory=dict)

    def all(self) -> list[str]:
        """Return every file of the project's environments, and those that look like one."""
        paths = (self.project / FOLDER).glob("*")
        return sorted(f"{FOLDER}/{path.name}" for path in paths if path.suffix in _ENDINGS)

    @staticmethod
    def of(environment: str) -> str:
        """Return an environment's own file."""
        return f"{FOLDER}/{environment}.yaml"

    def text(self, source: str) -> str:
        """Return the text of a file, or nothing where there is none."""
        if source not in self._texts:
            try:
                text = (self.project / source).read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError):
                text = ""
            self._texts[source] = text
        return self._texts[source]

    def with_excerpts(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return findings with their source lines, where they have a place in a file and no line
        yet.
        """
        return attach_lines(findings, self._document)

    def _document(self, origin: Origin) -> Document | None:
        if not origin.source.startswith(f"{FOLDER}/"):
            return None
        try:
            return parse(self.text(origin.source).encode(), origin.layer, origin.source)
        except InvalidConfigError:  # a file that is not read need not be YAML
            return None
