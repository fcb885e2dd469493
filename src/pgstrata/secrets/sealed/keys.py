"""Keys: 32 random bytes, the seed, from which HKDF-SHA256 (RFC 5869) derives the rest.

``EnvironmentKey`` opens and signs the sealed file of one environment. ``Identity`` belongs to a
person, a CI or a safe: environment keys are sealed to it. Neither shows its seed: it sits in a
closure, so ``repr``, ``vars``, pickling and tracebacks with locals find nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from typing import TYPE_CHECKING, NoReturn

from pgstrata.secrets.sealed.document import FORMAT, PublicKey, canonical, encode

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

SEED_BYTES = 32


class _Seeded:
    """What both kinds of key share: a name, and the seed behind a closure."""

    __slots__ = ("box", "name", "reveal")

    def __init__(self, name: str, seed: bytes) -> None:
        self.name = name
        self.reveal: Callable[[], bytes] = lambda: seed
        self.box = box_key(seed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key cannot be pickled or dumped")


class EnvironmentKey(_Seeded):
    """The private key of an environment; ``name`` is the environment's.

    ``box`` is the X25519 key that opens values, ``signer`` the Ed25519 key that signs the file,
    ``public`` their public halves, and ``reveal()`` the seed.
    """

    __slots__ = ("public", "signer")

    def __init__(self, name: str, seed: bytes) -> None:
        super().__init__(name, seed)
        self.signer = _sign_key(seed)
        sign = encode("ed25519:", self.signer.public_key().public_bytes_raw())
        box = public_box(self.box)
        self.public = PublicKey(key_id(box, sign), box, sign)


class Identity(_Seeded):
    """The private key of a member; ``name`` is the member's, ``public`` its ``x25519:`` text."""

    __slots__ = ("public",)

    def __init__(self, name: str, seed: bytes) -> None:
        super().__init__(name, seed)
        self.public = public_box(self.box)


def new_environment_key(environment: str) -> EnvironmentKey:
    """Make a new random key for an environment."""
    return EnvironmentKey(environment, secrets.token_bytes(SEED_BYTES))


def new_identity(name: str) -> Identity:
    """Make a new random key for a member."""
    return Identity(name, secrets.token_bytes(SEED_BYTES))


def key_id(box: str, sign: str) -> str:
    """Return the id of a key: 128 bits of SHA-256 over its public halves, as base32."""
    digest = hashlib.sha256(canonical(FORMAT, "key", box, sign)).digest()
    return b32encode(digest[:16]).decode("ascii").rstrip("=")


def box_key(seed: bytes) -> X25519PrivateKey:
    """Return the X25519 key of a seed."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(_derive(seed, b"box"))


def public_box(box: X25519PrivateKey) -> str:
    """Return the public half of a box key as it stands in a file: ``x25519:…``."""
    return encode("x25519:", box.public_key().public_bytes_raw())


def _sign_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(_derive(seed, b"sign"))


def _derive(seed: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = FORMAT.encode("ascii") + b" " + purpose
    return HKDF(algorithm=SHA256(), length=SEED_BYTES, salt=None, info=info).derive(seed)
