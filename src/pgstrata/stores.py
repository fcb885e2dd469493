"""Where the secret stores become layers: between the files and the variables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pgstrata.errors import InvalidConfigError
from pgstrata.layers import stores
from pgstrata.layers.files import Reader
from pgstrata.layers.project import FOLDER
from pgstrata.model import Finding, Layer, Origin, Secret
from pgstrata.schema.keys import SECRET_STORES
from pgstrata.secrets.stores import from_keyring, from_sealed, is_still, not_opened


def named(layers: Sequence[Layer]) -> Iterable[str]:
    """Return the stores to look in, weakest first: what ``secret_stores`` says, or sealed."""
    said = [layer.tree["secret_stores"] for layer in layers if "secret_stores" in layer.tree]
    value = said[-1].value if said else None
    named = value if isinstance(value, tuple) else ("sealed",)
    # A store of another name is reported by the layer that names it.
    return dict.fromkeys(name for name in named if name in SECRET_STORES)


def read(
    names: Iterable[str], reader: Reader, environment: str, below: Sequence[Layer]
) -> Iterator[tuple[Layer, list[Finding]]]:
    """Yield the layer of each store, weakest first, and what is wrong with it."""
    weaker = list(below)
    for name in names:
        layer, found = STORES[name](reader, environment, weaker)
        weaker.append(layer)
        yield layer, found


def _sealed(
    reader: Reader, environment: str, below: Sequence[Layer]
) -> tuple[Layer, list[Finding]]:
    """Return the layer of the environment's own sealed file. Those of its ancestors are not
    inherited: each is sealed under a key that the environment's readers need not have.
    """
    name, folder = f"{environment}.sealed.yaml", reader.folder
    source = folder.source(name)
    if name not in folder.names:
        return Layer("sealed", source, {}), []
    try:
        content = folder.read(f"{FOLDER}/{name}") if folder.revision else None
        if content is None or is_still(content, folder.project, environment):
            entries = from_sealed(folder.project, environment, reader.environ)
        else:
            entries = not_opened(content, environment, source)
    except InvalidConfigError as error:
        return Layer("sealed", source, {}), list(error.findings)
    stored = [
        stores.Stored(key, secret, Origin("sealed", source, line, column))
        for key, secret, line, column in entries
    ]
    return stores.layer("sealed", source, stored, below)


def _keyring(
    reader: Reader, environment: str, below: Sequence[Layer]
) -> tuple[Layer, list[Finding]]:
    def ask(key: str, otherwise: Secret | None) -> Secret:
        return from_keyring(reader.folder.project, environment, key, otherwise)

    return stores.layer("keyring", "", stores.unlisted(below, ask), below)


# One function for each of schema.keys.SECRET_STORES.
STORES = {"sealed": _sealed, "keyring": _keyring}
