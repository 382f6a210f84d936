"""Against a real PostgreSQL behind a front that speaks TLS, with certificates made here.

The binaries that tests start are built without SSL, so the front answers the SSLRequest as
PostgreSQL does, shakes hands by OpenSSL, and passes on what is inside. It does not imitate
pg_hba.conf (hostssl, cert) nor the errors that PostgreSQL itself sends about client certificates.
"""

import asyncio
import ipaddress
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dev.postgres import Postgres
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.secrets import Secret
from servicekit.status import InvalidField
from services.pg_connector import errors
from services.pg_connector.connecting import connect
from services.pg_connector.places import Place
from services.pg_connector.securing import Client, Login, client_of
from services.pg_connector.settings import Settings
from tests.pg_connector.conftest import Platform, body

_SETTINGS = Settings(connect_attempts=1)
# SSLRequest in the manual, "Message Formats"
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Signed:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        form = serialization.PrivateFormat.PKCS8
        none = serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, form, none).decode()


def made(
    name: str, by: Signed | None = None, *, days: int = 2, at: tuple[x509.GeneralName, ...] = ()
) -> Signed:
    """Without `by` it is a CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - timedelta(days=9))
        .not_valid_after(_NOW + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if at:
        builder = builder.add_extension(x509.SubjectAlternativeName(at), critical=False)
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)


@dataclass
class Front:
    server: Postgres
    ca: Signed
    folder: Path
    port: int = 0
    context: ssl.SSLContext | None = None
    # who came with TLS: the name in the certificate that was shown, or ""
    came: list[str] = field(default_factory=list)

    def show(self, signed: Signed, *, demand: bool = False) -> None:
        """Makes new connections see this certificate, and show one of their own on demand."""
        whole = self.folder / "server.pem"
        whole.write_text(signed.pem + signed.key_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(whole)
        self.context.load_verify_locations(cadata=self.ca.pem)
        self.context.verify_mode = ssl.CERT_REQUIRED if demand else ssl.CERT_OPTIONAL

    def place(self, **changes: Any) -> Place:
        return replace(Place("127.0.0.1", self.port, "postgres", self.server.user), **changes)

    async def secured(self, place: Place, client: Client | None = None) -> bool:
        """Connects, asks something, and tells whether it was with TLS."""
        self.came.clear()
        login = Login(Secret(self.server.password), client)
        connection = await connect(place, login, _SETTINGS)
        try:
            assert await connection.fetchval("SELECT 1") == 1
        finally:
            await connection.close()
        return bool(self.came)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass_on(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # a refused handshake
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        if first == _SSL_REQUEST and self.context is not None:
            writer.write(b"S")
            await writer.start_tls(self.context)
            shown = writer.get_extra_info("peercert") or {}
            names = dict(pair for group in shown.get("subject", ()) for pair in group)
            self.came.append(names.get("commonName", ""))
            first = b""
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server.port)
        try:
            to_server.write(first)
            async with asyncio.TaskGroup() as both:
                both.create_task(_copied(reader, to_server))
                both.create_task(_copied(from_server, writer))
        finally:
            to_server.close()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
    writer.close()


def address(text: str = "127.0.0.1") -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(text))


@pytest.fixture
async def secured(postgres: Postgres, tmp_path: Path) -> AsyncIterator[Front]:
    front = Front(postgres, made("our CA"), tmp_path)
    front.show(made("server", front.ca, at=(address(),)))
    async with await asyncio.start_server(front.serve, "127.0.0.1", 0) as listening:
        front.port = listening.sockets[0].getsockname()[1]
        yield front


@pytest.mark.req("P1")
async def test_modes_with_a_server_that_speaks_tls(secured: Front) -> None:
    expected = {"disable": False, "allow": False, "prefer": True, "require": True}
    for mode, encrypted in expected.items():
        assert await secured.secured(secured.place(sslmode=mode)) is encrypted, mode
    for mode in ("require", "verify-ca", "verify-full"):
        place = secured.place(sslmode=mode, ca_certificate=secured.ca.pem)
        assert await secured.secured(place), mode


@pytest.mark.req("P1")
@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_server_of_another_ca_is_refused(secured: Front, mode: str) -> None:
    place = secured.place(sslmode=mode, ca_certificate=made("another CA").pem)
    with pytest.raises(errors.TlsFailed, match="not signed by a CA that is trusted") as caught:
        await secured.secured(place)
    assert "ca_certificate" in caught.value.remedy


@pytest.mark.req("P1")
async def test_public_cas_do_not_vouch_for_a_private_one(secured: Front) -> None:
    with pytest.raises(errors.TlsFailed, match="not signed by a CA that is trusted"):
        await secured.secured(secured.place(sslmode="verify-ca"))


@pytest.mark.req("P1")
@pytest.mark.parametrize(
    ("host", "named", "what"),
    [
        ("127.0.0.1", address("10.9.8.7"), "is for another address"),
        ("localhost", x509.DNSName("db.example.com"), "is for another host name"),
    ],
)
async def test_certificate_for_another_host(
    secured: Front, host: str, named: x509.GeneralName, what: str
) -> None:
    secured.show(made("server", secured.ca, at=(named,)))
    place = secured.place(host=host, ca_certificate=secured.ca.pem)
    with pytest.raises(errors.TlsFailed, match=what):
        await secured.secured(replace(place, sslmode="verify-full"))
    assert await secured.secured(replace(place, sslmode="verify-ca"))


@pytest.mark.req("P1")
async def test_expired_certificate(secured: Front) -> None:
    secured.show(made("server", secured.ca, days=-1, at=(address(),)))
    place = secured.place(sslmode="verify-ca", ca_certificate=secured.ca.pem)
    with pytest.raises(errors.TlsFailed, match="has expired"):
        await secured.secured(place)


@pytest.mark.req("P1")
async def test_server_without_tls(postgres: Postgres) -> None:
    place = Place(postgres.host, postgres.port, "postgres", postgres.user)
    for mode in ("require", "verify-ca", "verify-full"):
        with pytest.raises(errors.TlsFailed, match="the server does not speak TLS"):
            await connect(replace(place, sslmode=mode), Login(Secret(postgres.password)), _SETTINGS)
    for mode in ("disable", "allow", "prefer"):
        place = replace(place, sslmode=mode)
        connection = await connect(place, Login(Secret(postgres.password)), _SETTINGS)
        await connection.close()


@pytest.mark.req("P1")
async def test_client_certificate_is_shown(secured: Front) -> None:
    place = secured.place(sslmode="verify-full", ca_certificate=secured.ca.pem)
    assert await secured.secured(place)
    assert secured.came == [""]
    assert await secured.secured(place, _client(made("holder", secured.ca)))
    assert secured.came == ["holder"]
    with pytest.raises(errors.PgFault):
        await secured.secured(place, _client(made("holder", made("another CA"))))


@contextmanager
def shaking_hands(ca: Signed, folder: Path, version: ssl.TLSVersion) -> Iterator[int]:
    """A port where a client certificate is demanded, once, and nothing follows. In a thread:
    asyncio's own server closes before the alert is sent that says why."""
    whole = folder / "demanding.pem"
    signed = made("server", ca, at=(address(),))
    whole.write_text(signed.pem + signed.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    context.load_cert_chain(whole)
    context.load_verify_locations(cadata=ca.pem)
    context.verify_mode = ssl.CERT_REQUIRED

    def shake(listening: socket.socket) -> None:
        client, _ = listening.accept()
        with client:
            client.recv(len(_SSL_REQUEST))
            client.sendall(b"S")
            with context.wrap_socket(
                client, server_side=True, do_handshake_on_connect=False
            ) as inner:
                with suppress(ssl.SSLError):
                    inner.do_handshake()
                # closing with something unread would reset what the alert goes through
                while socket.socket.recv(inner, 65536):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as threads:
        shaken = threads.submit(shake, listening)
        yield listening.getsockname()[1]
        shaken.result()


@pytest.mark.req("P1")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_refused_client_certificate_is_told(tmp_path: Path, version: ssl.TLSVersion) -> None:
    ca = made("our CA")
    stranger, old = made("x", made("another CA")), made("x", ca, days=-1)
    for client, what, remedy in (
        (None, "asks for a client certificate", "client_certificate and client_key"),
        (_client(stranger), "does not take the client certificate", "a CA that the server trusts"),
        (_client(old), "does not take the client certificate", "in force"),
    ):
        with shaking_hands(ca, tmp_path, version) as port:
            place = Place("127.0.0.1", port, "d", "u", "verify-full", ca_certificate=ca.pem)
            with pytest.raises(errors.TlsFailed, match=what) as caught:
                await connect(place, Login(client=client), _SETTINGS)
            assert remedy in caught.value.remedy


@pytest.mark.req("P1")
async def test_client_certificate_is_kept_with_the_secrets_of_a_source(
    secured: Front, platform: Platform
) -> None:
    secured.show(made("server", secured.ca, at=(address(),)), demand=True)
    holder = made("holder", secured.ca)
    secrets = {"client_certificate": holder.pem, "client_key": holder.key_pem}
    config = {"port": secured.port, "sslmode": "verify-full", "ca_certificate": secured.ca.pem}
    grant = await platform.grant(config=config, secrets=secrets)
    told = await platform.call("Check", pb.CheckRequest(grant=grant))
    assert all(step.passed for step in told.steps) and len(told.steps) == 3
    assert body(await platform.fetch("SELECT count(*) FROM orders", grant=grant))
    assert set(secured.came) == {"holder"}


def _client(signed: Signed) -> Client:
    return Client(Secret(signed.pem), Secret(signed.key_pem))


async def test_certificates_that_cannot_be_read_are_told_by_field() -> None:
    place = Place("127.0.0.1", 1, "d", "u", sslmode="verify-ca", ca_certificate="no PEM")
    with pytest.raises(InvalidField, match="ca_certificate"):
        await connect(place, Login(), _SETTINGS)
    broken = Client(Secret("no PEM at all"), Secret("nor this one"))
    with pytest.raises(InvalidField, match="client_key"):
        await connect(replace(place, sslmode="require", ca_certificate=""),
                      Login(client=broken), _SETTINGS)  # fmt: skip
    with pytest.raises(InvalidField, match="go together"):
        client_of({"client_key": Secret("a key alone")})
