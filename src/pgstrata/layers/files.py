"""The layers that are files: which make an environment, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from pgstrata.errors import EnvironmentNotFoundError
from pgstrata.layers.document import content_of, parse
from pgstrata.layers.project import BASE, FOLDER, environments, environments_folder, name_problem
from pgstrata.layers.references import References
from pgstrata.layers.shape import shape
from pgstrata.model import Finding, Layer, LayerName, Leaf, Origin
from pgstrata.schema.suggest import closest

Read: TypeAlias = tuple[Layer, list[Finding]]


@dataclass
class Reader:
    """Reads the files of one project. Each file is read once, however many environments it is part
    of.
    """

    project: Path
    environ: Mapping[str, str]
    _read: dict[Path, Read] = field(default_factory=dict)

    def layers(self, environment: str) -> tuple[list[Layer], list[Finding]]:
        """Return the file layers of an environment, weakest first, and what is wrong with them.

        Raises ``ProjectNotFoundError`` and ``EnvironmentNotFoundError``.
        """
        folder = environments_folder(self.project)
        self.require(environment)
        results = [self._file(folder / f"{BASE}.yaml", "base")]
        chain, findings = self._chain(environment)
        results += chain
        local = folder / f"{environment}.local.yaml"
        if local.is_file():
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
            overlay = self._file(self.project / FOLDER / f"{name}.yaml", "overlay")
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
        return environments(self.project)

    def require(self, environment: str) -> None:
        """Raise ``EnvironmentNotFoundError`` unless there is such an environment."""
        if environment in self._names:
            return
        if problem := name_problem(environment):
            raise EnvironmentNotFoundError(
                f"no environment can be called {environment!r}: {problem}", hint=self._there()
            )
        looked = self.project / FOLDER / f"{environment}.yaml"
        raise EnvironmentNotFoundError(
            f"no environment {environment!r}: {looked} does not exist; {self._there()}",
            hint=_advice(looked, closest(environment, self._names)),
        )

    def _there(self) -> str:
        return f"there are: {', '.join(self._names) or 'none'}"

    def _file(self, path: Path, layer: LayerName) -> Read:
        if path not in self._read:
            references = References(self.environ, self.project)
            self._read[path] = read_file(path, layer, f"{FOLDER}/{path.name}", references)
        return self._read[path]


def _advice(looked: Path, guess: str | None) -> str:
    if looked.with_suffix(".yml").is_file():
        return f"rename {looked.with_suffix('.yml').name} to {looked.name}"
    return f"did you mean {guess!r}?" if guess else "an environment is made by adding its file"


def read_file(path: Path, layer: LayerName, source: str, references: References) -> Read:
    """Return one file as a layer, and what is wrong with it. An unreadable one is an empty layer
    and findings.
    """
    try:
        document = parse(content_of(path), layer, source)
    except OSError as error:
        finding = Finding("unreadable", f"cannot be read: {error.strerror}", Origin(layer, source))
        return Layer(layer, source, {}), [finding]
    return shape(document, references)
