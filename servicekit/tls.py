"""Mutual TLS between services: who each is stands in its certificate, and files may change while it
runs.

A certificate names its service by a URI as SPIFFE has it: spiffe://DOMAIN/IDENTITY. A new one is
taken up by the next handshake of a server, and by the next call of a client."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from servicekit import logs, metrics
from servicekit.context import LOCAL
from servicekit.settings import SettingsError
from servicekit.status import Unauthenticated

_log = logs.get(__name__)
_NAMES = "x509_subject_alternative_name"
_SCHEME = "spiffe://"


@dataclass(frozen=True)
class TlsSettings:
    """All three files, or none."""

    # PEM: this service's certificate, then those between it and the authority
    cert_file: Path | None = None
    # PEM: its private key
    key_file: Path | None = None
    # PEM: the authorities whose certificates are believed; several while one is replaced
    ca_file: Path | None = None
    # of the names in certificates: spiffe://DOMAIN/IDENTITY
    trust_domain: str = "isobath"

    def __post_init__(self) -> None:
        given = [self.cert_file, self.key_file, self.ca_file]
        if any(given) and not all(given):
            raise ValueError("CERT_FILE, KEY_FILE and CA_FILE are set together or not at all")
        if not self.trust_domain or "/" in self.trust_domain:
            raise ValueError("TRUST_DOMAIN expects a name without a slash")


@dataclass(frozen=True)
class Material:
    """What the three files hold, checked."""

    cert: bytes
    key: bytes
    ca: bytes
    identity: str
    ends: datetime

    def __repr__(self) -> str:
        return f"Material({self.identity!r}, until {self.ends:%Y-%m-%d})"


class Tls:
    """The certificate of this process, read again when its files change. What is wrong then leaves
    the last good one in force, and is logged once."""

    def __init__(
        self, settings: TlsSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Raises SettingsError."""
        cert, key, ca = settings.cert_file, settings.key_file, settings.ca_file
        assert cert and key and ca, "all three files are set"
        self._paths = (cert, key, ca)
        self._domain = settings.trust_domain
        self._now = now
        self._refused = ""
        try:
            self._stamps, self._material = self._read()
        except (OSError, ValueError) as exc:
            raise SettingsError([f"TLS: {exc}"]) from exc
        self._tell(self._material)

    def material(self) -> Material:
        """What holds now."""
        try:
            if self._stamped() != self._stamps:
                self._stamps, self._material = self._read()
                self._refused = ""
                self._tell(self._material)
        except (OSError, ValueError) as exc:
            if self._refused != (why := str(exc)):
                _log.error("certificate_not_taken", why=why)
            self._refused = why
        return self._material

    def server_credentials(self) -> grpc.ServerCredentials:
        """Only clients with a certificate of a believed authority get in."""
        served = self._material

        def fetch() -> Any:
            nonlocal served
            if (found := self.material()) is served:
                return None
            served = found
            return _configured(found)

        return grpc.dynamic_ssl_server_credentials(
            _configured(served), fetch, require_client_authentication=True
        )

    def identity(self, peer: Mapping[str, Sequence[bytes]]) -> str:
        """Whose certificate the caller has shown. Raises Unauthenticated."""
        names = [bytes(name).decode(errors="replace") for name in peer.get(_NAMES) or ()]
        found = {_identity(name, self._domain) for name in names} - {""}
        if len(found) != 1:
            raise Unauthenticated("the call's certificate names no service of this platform")
        return found.pop()

    def _read(self) -> tuple[object, Material]:
        stamps = self._stamped()
        cert, key, ca = (path.read_bytes() for path in self._paths)
        return stamps, checked(cert, key, ca, self._domain, self._now())

    def _stamped(self) -> object:
        found = [path.stat() for path in self._paths]
        return [(each.st_mtime_ns, each.st_size, each.st_ino) for each in found]

    def _tell(self, material: Material) -> None:
        metrics.CERTIFICATE_ENDS.set(material.ends.timestamp())
        _log.info("certificate", identity=material.identity, ends=material.ends.isoformat())


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """What a client shows, and whom it believes."""
    return grpc.ssl_channel_credentials(material.ca, material.key, material.cert)


def checked(cert: bytes, key: bytes, ca: bytes, domain: str, now: datetime) -> Material:
    """Raises ValueError, which names what is wrong with which of the three."""
    try:
        own = x509.load_pem_x509_certificates(cert)[0]
    except ValueError as exc:
        raise ValueError("CERT_FILE holds no certificate in PEM") from exc
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError) as exc:
        raise ValueError("KEY_FILE holds no private key in PEM, or one with a passphrase") from exc
    try:
        authorities = x509.load_pem_x509_certificates(ca)
    except ValueError as exc:
        raise ValueError("CA_FILE holds no certificate in PEM") from exc
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own.public_key().public_bytes(*form) != private.public_key().public_bytes(*form):
        raise ValueError("KEY_FILE is not the key of CERT_FILE")
    if not own.not_valid_before_utc <= now < own.not_valid_after_utc:
        span = (
            f"{own.not_valid_before_utc:%Y-%m-%d %H:%M} to {own.not_valid_after_utc:%Y-%m-%d %H:%M}"
        )
        raise ValueError(f"CERT_FILE is valid from {span} UTC, which is not now")
    if not _is_of(x509.load_pem_x509_certificates(cert), authorities):
        raise ValueError("CERT_FILE is of none of the authorities in CA_FILE: nobody would take it")
    names = {_identity(name, domain) for name in _uris(own)} - {""}
    if len(names) != 1:
        raise ValueError(f"CERT_FILE names no service: a URI {_SCHEME}{domain}/IDENTITY is missing")
    return Material(cert, key, ca, names.pop(), own.not_valid_after_utc)


def _is_of(chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]) -> bool:
    """Whether the chain, in its order, ends at an authority."""
    if not all(_signed(lower, upper) for lower, upper in pairwise(chain)):
        return False
    return any(_signed(chain[-1], each) or chain[-1] == each for each in authorities)


def _signed(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)


def _identity(name: str, domain: str) -> str:
    """Of spiffe://DOMAIN/IDENTITY; "" for another name."""
    found = name.removeprefix(f"{_SCHEME}{domain}/")
    return "" if found in (name, LOCAL) else found


def _configured(material: Material) -> Any:
    pair = (material.key, material.cert)
    return grpc.ssl_server_certificate_configuration([pair], material.ca)
