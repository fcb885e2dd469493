"""The layers that are files: which make an environment, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from pgstrata.errors import EnvironmentNotFoundError
from pgstrata.layers.document import Document, parse
from pgstrata.layers.folder import LOCAL, Folder
from pgstrata.layers.project import BASE, FOLDER, name_problem
from pgstrata.layers.references import References
from pgstrata.layers.shape import attach_lines, shape
from pgstrata.model import Finding, Layer, LayerName, Leaf, Origin
from pgstrata.schema.suggest import closest

Read: TypeAlias = tuple[Layer, list[Finding]]


@dataclass
class Reader:
    """Reads the files of one project. Each file is read once, however many environments it is part
    of. ``documents`` stand in for files on disk.
    """

    folder: Folder
    environ: Mapping[str, str]
    _read: dict[str, Read] = field(default_factory=dict)

    def layers(self, environment: str) -> tuple[list[Layer], list[Finding]]:
        """Return the file layers of an environment, weakest first, and what is wrong with them.

        Raises ``EnvironmentNotFoundError``.
        """
        self.require(environment)
        results = [self._file(f"{BASE}.yaml", "base")]
        chain, findings = self._chain(environment)
        results += chain
        local = f"{environment}{LOCAL}"
        if local in self.folder.names:
            results.append(self._file(local, "local"))
        findings += [finding for _, found in results for finding in found]
        return [layer for layer, _ in results], findings

    def _chain(self, environment: str) -> tuple[list[Read], list[Finding]]:
        """Return the overlays from the first ancestor down to ``environment`` itself."""
        chain: list[Read] = []
        seen: list[str] = []
        name = environment
        while True:
            seen.append(name)
            overlay = self._file(f"{name}.yaml", "overlay")
            chain.insert(0, overlay)
            parent = overlay[0].tree.get("extends")
            if not isinstance(parent, Leaf) or not isinstance(parent.value, str):
                return chain, []
            if problem := self._parent_problem(parent.value, seen):
                finding = Finding("extends", f"extends: {problem}", parent.origin, key="extends")
                return chain, [finding]
            name = parent.value

    def _parent_problem(self, parent: str, seen: list[str]) -> str:
        if parent in seen:
            return f"goes round in a circle: {' -> '.join((*seen, parent))}"
        if parent == BASE:
            return "base.yaml is below every environment already; leave this out"
        if parent not in self._names:
            guess = closest(parent, self._names)
            meant = f"; did you mean {guess!r}?" if guess else ""
            return f"there is no environment {parent!r}{meant}"
        return ""

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return self.folder.environments

    def require(self, environment: str) -> None:
        """Raise ``EnvironmentNotFoundError`` unless there is such an environment."""
        if environment in self._names:
            return
        if problem := name_problem(environment):
            raise EnvironmentNotFoundError(
                f"no environment can be called {environment!r}: {problem}", hint=self._there()
            )
        looked = self.folder.source(f"{environment}.yaml")
        if not self.folder.revision:
            looked = str(self.folder.project / looked)
        raise EnvironmentNotFoundError(
            f"no environment {environment!r}: {looked} does not exist; {self._there()}",
            hint=self._advice(environment),
        )

    def _there(self) -> str:
        return f"there are: {', '.join(self._names) or 'none'}"

    def _advice(self, environment: str) -> str:
        if f"{environment}.yml" in self.folder.names:
            return f"rename {environment}.yml to {environment}.yaml"
        guess = closest(environment, self._names)
        return f"did you mean {guess!r}?" if guess else "an environment is made by adding its file"

    def with_lines(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return findings about the effective settings with the lines that those stand in."""
        return attach_lines(findings, self._document)

    def _document(self, origin: Origin) -> Document | None:
        """Return the file of a place again: few loads have findings that need it."""
        names = {self.folder.source(name): name for name in self.folder.names}
        if origin.source not in names:
            return None
        try:
            content = self.folder.read(f"{FOLDER}/{names[origin.source]}")
        except OSError:
            return None
        return parse(content, origin.layer, origin.source)

    def _file(self, name: str, layer: LayerName) -> Read:
        if name not in self._read:
            self._read[name] = read_file(self.folder, name, layer, self.environ)
        return self._read[name]


def read_file(folder: Folder, name: str, layer: LayerName, environ: Mapping[str, str]) -> Read:
    """Return one file as a layer, and what is wrong with it. An unreadable one is an empty layer
    and findings.
    """
    source = folder.source(name)
    try:
        document = parse(folder.read(f"{FOLDER}/{name}"), layer, source)
    except OSError as error:
        finding = Finding("unreadable", f"cannot be read: {error.strerror}", Origin(layer, source))
        return Layer(layer, source, {}), [finding]
    return shape(document, References(environ, folder.project, read=folder.read))
