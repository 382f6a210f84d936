"""Certificates for mutual TLS between the services of a laptop, or of a first cluster.

    python -m dev.certs FOLDER [--days 90] [--host NAME]...

writes an authority and, for each service, its certificate and key: `ca.pem`, `SERVICE.pem`,
`SERVICE.key`. Run again, it renews those of the services, and running services take them up; the
authority stays until it has a year left, and then makes place for a new one beside it in `ca.pem`.
Whoever has `ca.key` can be any service: in production let cert-manager or SPIRE keep it.
"""

import argparse
import ipaddress
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dev.home import write_private
from dev.names import NAMES

DOMAIN = "isobath"
# whoever watches the services, and serves adapters
OPERATOR = "operator"
DAYS = 90
_AUTHORITY = timedelta(days=3650)
_RENEWED_BEFORE = timedelta(days=365)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Certificates:
    """The files of a folder."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def cert(self, identity: str) -> Path:
        return self.folder / f"{identity}.pem"

    def key(self, identity: str) -> Path:
        return self.folder / f"{identity}.key"


def authority(now: datetime) -> Authority:
    """A new one, for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Isobath {now:%Y-%m-%d %H:%M:%S}")])
    made = (
        _begun(name, name, key, now, _AUTHORITY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(made, key)


def certificate(
    by: Authority, identity: str, hosts: Iterable[str], now: datetime, valid: timedelta
) -> tuple[bytes, bytes]:
    """PEM of a service's certificate and of its new key. `hosts` = names and addresses that it is
    called by."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity)])
    names = [x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/{identity}"), *map(_host, hosts)]
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    made = (
        _begun(name, by.certificate.subject, key, now, valid)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(_issued_by(by), critical=False)
        .add_extension(x509.ExtendedKeyUsage(both), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(by.key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM), _pem(key)


def issue(
    folder: Path,
    identities: Sequence[str] = (*NAMES, OPERATOR),
    *,
    hosts: Sequence[str] = (),
    days: float = DAYS,
    now: datetime | None = None,
) -> Certificates:
    """Write or renew the files. Raises ValueError for an authority's key that is not its own."""
    now = now or datetime.now(UTC)
    files = Certificates(folder)
    by = _kept(files, now)
    for identity in identities:
        # in a cluster each service is called by its own name
        own = (identity.replace("_", "-"), "localhost", "127.0.0.1", "::1", *hosts)
        cert, key = certificate(by, identity, own, now, timedelta(days=days))
        # between the two a service has the old pair in force: they do not fit together
        write_private(files.key(identity), key.decode())
        write_private(files.cert(identity), cert.decode())
    return files


def _kept(files: Certificates, now: datetime) -> Authority:
    """The newest authority of the folder, or a new one beside it."""
    known = x509.load_pem_x509_certificates(files.ca.read_bytes()) if files.ca.exists() else []
    key_file = files.folder / "ca.key"
    if known and known[0].not_valid_after_utc - now > _RENEWED_BEFORE:
        key = load_pem_private_key(key_file.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or (
            key.public_key() != known[0].public_key()
        ):
            raise ValueError(f"{key_file} is not the key of the first certificate in {files.ca}")
        return Authority(known[0], key)
    made = authority(now)
    still = [each for each in known if each.not_valid_after_utc > now]
    pems = [each.public_bytes(Encoding.PEM).decode() for each in (made.certificate, *still)]
    write_private(key_file, _pem(made.key).decode())
    write_private(files.ca, "".join(pems))
    return made


def _begun(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    valid: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + valid)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(by: Authority) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    home = Path(os.environ.get("ISOBATH_HOME") or ".isobath")
    parser.add_argument("folder", type=Path, nargs="?", default=home / "certs")
    parser.add_argument("--days", type=float, default=DAYS, help="of a service's certificate")
    parser.add_argument("--host", action="append", default=[], help="a name that all answer to")
    asked = parser.parse_args()
    files = issue(asked.folder, hosts=asked.host, days=asked.days)
    print(
        f"{files.folder}: the authority and {len(NAMES) + 1} certificates for {asked.days:g} days"
    )


if __name__ == "__main__":
    main()
