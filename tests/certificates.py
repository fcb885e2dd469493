"""Certificates for tests: made afresh, good for one run, in PEM files."""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

KEY_PASSWORD = "made up for tests"
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """Paths of a certificate and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files. Keys are 0600; the server pairs and the client's are signed by ``ca``."""

    ca: Path
    other_ca: Path  # signed nothing
    server: Pair  # for localhost and 127.0.0.1
    wrong_host: Pair  # for db.invalid
    expired: Pair  # for localhost and 127.0.0.1, until yesterday
    client: Pair  # for the user ``cert_user``
    encrypted_client: Pair  # the same, with a key that opens with KEY_PASSWORD


class Authority:
    """A private certificate authority."""

    def __init__(self, name: str, lasts: dt.timedelta = DAY) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        self.certificate = (
            _builder(self.name, self.name, self.key, -DAY, lasts)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(self.key, hashes.SHA256())
        )

    def write(self, path: Path) -> Path:
        """Write the authority's certificate."""
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(
        self,
        stem: Path,
        common_name: str,
        *,
        hosts: tuple[str, ...] = (),
        server: bool = False,
        since: dt.timedelta = -DAY,
        until: dt.timedelta = DAY,
    ) -> Pair:
        """Write ``stem``.crt and ``stem``.key: a server's if hosts are given, else a client's."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID
        role = usage.SERVER_AUTH if hosts or server else usage.CLIENT_AUTH
        builder = (
            _builder(_name(common_name), self.name, key, since, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([role]), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        pair = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"))
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        write_key(pair.key, key)
        return pair

    def revoke(self, path: Path, certificate: Path) -> Path:
        """Write a list of revoked certificates that has this one."""
        now = dt.datetime.now(dt.timezone.utc)
        serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - DAY)
        signed = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - DAY)
            .next_update(now + DAY)
            .add_revoked_certificate(revoked.build())
            .sign(self.key, hashes.SHA256())
        )
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return path


def make_certificates(directory: Path, lasts: dt.timedelta = DAY) -> Certificates:
    """Write one of each kind into the directory, good for a day or as long as ``lasts`` says."""
    ca, local = Authority("pgstrata tests", lasts), ("localhost", "127.0.0.1")
    client = ca.issue(directory / "client", "cert_user", until=lasts)
    return Certificates(
        ca=ca.write(directory / "ca.crt"),
        other_ca=Authority("somebody else", lasts).write(directory / "other_ca.crt"),
        server=ca.issue(directory / "server", "localhost", hosts=local, until=lasts),
        wrong_host=ca.issue(
            directory / "wrong_host", "db.invalid", hosts=("db.invalid",), until=lasts
        ),
        expired=ca.issue(
            directory / "expired", "localhost", hosts=local, since=-3 * DAY, until=-DAY
        ),
        client=client,
        encrypted_client=Pair(client.certificate, encrypt(client.key, directory / "encrypted.key")),
    )


def encrypt(key: Path, target: Path) -> Path:
    """Write the private key again, so that it opens only with KEY_PASSWORD."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    write_key(target, loaded, KEY_PASSWORD)
    return target


def write_key(path: Path, key: ec.EllipticCurvePrivateKey, password: str = "") -> None:
    """Write a private key that only its owner can read: libpq refuses any other."""
    encryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    since: dt.timedelta,
    until: dt.timedelta,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + since)
        .not_valid_after(now + until)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
