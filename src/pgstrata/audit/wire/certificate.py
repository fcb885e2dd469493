"""What a certificate says, and whether it is one for a host by libpq's rules."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography import x509


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. Times are ISO 8601 in UTC; names are as in the certificate.

    ``common_name`` is the first one of the subject; ``dns_names`` and ``ip_addresses`` are the
    subject's alternative names. ``fingerprint`` is SHA-256, in hexadecimal.
    """

    subject: str
    issuer: str
    common_name: str
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    not_before: str
    not_after: str
    fingerprint: str

    @property
    def self_signed(self) -> bool:
        """Whether it names itself as its issuer."""
        return self.subject == self.issuer

    def is_for(self, host: str) -> bool:
        """Tell whether libpq 15 or newer takes the certificate for one of ``host``.

        The common name counts where there is no alternative name of the host's kind, DNS name or IP
        address: https://www.postgresql.org/docs/current/libpq-ssl.html#LIBQ-SSL-CERTIFICATES
        """
        address = _is_address(host)
        if any(name_matches(name, host) for name in self.dns_names):
            return True
        if address and any(ip_address(own) == ip_address(host) for own in self.ip_addresses):
            return True
        of_its_kind = self.ip_addresses if address else self.dns_names
        return not of_its_kind and name_matches(self.common_name, host)

    def as_json(self) -> dict[str, Any]:
        """Return plain data, for ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """Return the certificate of ``as_json``."""
        lists = {name: tuple(data[name]) for name in ("dns_names", "ip_addresses")}
        return cls(**{**data, **lists})


def name_matches(pattern: str, host: str) -> bool:
    """Tell whether a name of a certificate is that of the host; ``*.`` stands for one label."""
    pattern, host = pattern.lower(), host.lower()
    if pattern.startswith("*."):
        label, dot, rest = host.partition(".")
        return bool(label and dot) and rest == pattern[2:]
    return pattern == host and bool(host)


def certificates(path: str | Path) -> tuple[Certificate, ...]:
    """Return all certificates of a PEM file. Raises ``OSError``, and ``ValueError`` for no PEM."""
    from cryptography import x509

    return tuple(map(_read, x509.load_pem_x509_certificates(Path(path).read_bytes())))


def from_der(chain: Iterable[bytes]) -> tuple[Certificate, ...]:
    """Return what certificates in DER say. Raises ``ValueError``."""
    from cryptography import x509

    return tuple(_read(x509.load_der_x509_certificate(der)) for der in chain)


def chain_of(encrypted: ssl.SSLSocket) -> tuple[Certificate, ...]:
    """Return the certificates that the server sent, its own first."""
    # Public from Python 3.13 on. Before, what wraps OpenSSL has it, with certificates as objects.
    if hasattr(encrypted, "get_unverified_chain"):
        return from_der(encrypted.get_unverified_chain())
    inner: Any = getattr(encrypted, "_sslobj", None)
    if hasattr(inner, "get_unverified_chain"):
        sent = inner.get_unverified_chain() or ()
        return from_der(ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in sent)
    own = encrypted.getpeercert(binary_form=True)
    return from_der([own] if own else [])


def _read(certificate: x509.Certificate) -> Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        others = extension.value
    except x509.ExtensionNotFound:
        others = x509.SubjectAlternativeName([])
    return Certificate(
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        common_name=str(names[0].value) if names else "",
        dns_names=tuple(others.get_values_for_type(x509.DNSName)),
        ip_addresses=tuple(map(str, others.get_values_for_type(x509.IPAddress))),
        not_before=certificate.not_valid_before_utc.isoformat(),
        not_after=certificate.not_valid_after_utc.isoformat(),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
