"""Mutual TLS: who gets in, whom a certificate makes of a caller, and new ones without a restart."""

import asyncio
import hashlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from structlog.testing import capture_logs

from dev.certs import Certificates, authority, certificate, issue
from servicekit import metrics
from servicekit.channels import calling, channel
from servicekit.health import state
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.server import Server, ServerSettings
from servicekit.settings import SettingsError, load
from servicekit.status import RemoteFault
from servicekit.testing import open_channel, running
from servicekit.tls import Tls, TlsSettings, checked
from tests.servicekit.probe import NAME, Probe, method, mount

pytestmark = [pytest.mark.req("S3"), pytest.mark.usefixtures("no_leaks")]
NOW = datetime.now(UTC)
WHO = ("gateway", "sandbox", "credentials")


def settings(files: Certificates, identity: str, **changes: Any) -> TlsSettings:
    made = TlsSettings(files.cert(identity), files.key(identity), files.ca)
    return replace(made, **changes)


def shown(files: Certificates, identity: str) -> Tls:
    return Tls(settings(files, identity))


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    return issue(tmp_path / "certs", WHO)


@asynccontextmanager
async def served(files: Certificates, **changes: Any) -> AsyncIterator[Server]:
    own = ServerSettings(tls=settings(files, "credentials"), drain_s=2.0, **changes)
    async with running((mount, Probe()), server_settings=own) as server:
        yield server


async def said(server: Server, tls: Tls | None, name: str = "Unary", token: str = "") -> str:
    secret = Secret(token) if token else None
    async with open_channel(server, tls=tls, token=secret, default_timeout_s=5.0) as opened:
        return str((await calling(method(opened, name)(b"context"))).decode().split()[1])


async def test_caller_is_who_its_certificate_names(files: Certificates) -> None:
    async with served(files) as server:
        assert await said(server, shown(files, "gateway")) == "gateway"
        assert await said(server, shown(files, "sandbox")) == "sandbox"
        with pytest.raises(RemoteFault) as refused:
            await said(server, shown(files, "sandbox"), "Aborts")
        assert refused.value.reason == "CALLER_NOT_ALLOWED"
        with pytest.raises(RemoteFault) as own_words:
            await said(server, shown(files, "gateway"), "Aborts")
        assert own_words.value.code is grpc.StatusCode.DATA_LOSS


async def test_who_shows_no_certificate_of_the_authority_gets_nowhere(
    files: Certificates, tmp_path: Path
) -> None:
    foreign = issue(tmp_path / "foreign", ("gateway",))
    # believes this server, and shows a certificate that it does not believe
    mixed = Certificates(tmp_path / "mixed")
    mixed.folder.mkdir()
    mixed.ca.write_bytes(files.ca.read_bytes() + foreign.ca.read_bytes())
    for kind in ("cert", "key"):
        getattr(mixed, kind)("gateway").write_bytes(getattr(foreign, kind)("gateway").read_bytes())
    async with served(files) as server:
        for tls in (None, shown(foreign, "gateway"), shown(mixed, "gateway")):
            with pytest.raises(RemoteFault) as refused:
                await said(server, tls)
            assert refused.value.code is grpc.StatusCode.UNAVAILABLE
        # nor with TLS alone
        host, _, port = server.address.rpartition(":")
        context = ssl.create_default_context(cafile=str(files.ca))
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            while True:
                await reader.readexactly(1)
        writer.transport.abort()


@pytest.mark.req("S7", "K1")
async def test_probes_without_a_certificate_are_told_health_and_nothing_else(
    files: Certificates,
) -> None:
    probes = f"127.0.0.1:{free_port()}"
    async with served(files, health_bind=probes) as server:
        async with channel(probes) as opened:
            assert await state(opened) == "SERVING"
            assert await state(opened, NAME) == "SERVING"
        async with channel(server.address) as bare:
            assert await state(bare) == "UNREACHABLE"


async def test_server_that_the_client_does_not_believe_is_told_nothing(
    files: Certificates, tmp_path: Path
) -> None:
    """Neither one of another authority, nor one that is called by a name that is not its own."""
    async with served(issue(tmp_path / "foreign", WHO)) as server:
        with pytest.raises(RemoteFault) as refused:
            await said(server, shown(files, "gateway"), token="never-seen")
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE
    by = authority(NOW)
    other = Certificates(tmp_path / "other")
    other.folder.mkdir()
    other.ca.write_bytes(by.certificate.public_bytes(Encoding.PEM))
    for identity, hosts in (("credentials", ["elsewhere.example"]), ("gateway", ["127.0.0.1"])):
        cert, key = certificate(by, identity, hosts, NOW, timedelta(days=1))
        other.cert(identity).write_bytes(cert)
        other.key(identity).write_bytes(key)
    async with served(other) as server:
        with pytest.raises(RemoteFault) as refused:
            await said(server, shown(other, "gateway"))
        assert refused.value.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.req("K3")
async def test_each_replica_shows_a_certificate_with_its_own_name(files: Certificates) -> None:
    async with served(files) as one, served(files) as other:
        ports = [one.port, other.port]
        listed = f"127.0.0.1:{ports[0]},localhost:{ports[1]},dns:///localhost:{ports[0]}"
        async with channel(listed, tls=shown(files, "gateway")) as opened:
            for _ in range(12):
                said = await calling(method(opened, "Unary")(b"context"))
                assert said.decode().split()[1] == "gateway"


async def test_token_and_certificate_are_of_one(files: Certificates, tmp_path: Path) -> None:
    digests = {each: hashlib.sha256(f"{each}-token".encode()).hexdigest() for each in WHO}
    callers = tmp_path / "callers.json"
    callers.write_text(json.dumps(digests))
    async with served(files, callers_file=callers) as server:
        gateway = shown(files, "gateway")
        assert await said(server, gateway, token="gateway-token") == "gateway"
        for token in ("", "sandbox-token", "unknown"):
            with pytest.raises(RemoteFault) as refused:
                await said(server, gateway, token=token)
            assert refused.value.reason == "UNAUTHENTICATED"


async def test_certificate_that_names_no_service_is_nobody(
    files: Certificates, tmp_path: Path
) -> None:
    async with served(files) as server:
        key = (files.folder / "ca.key").read_bytes()
        assert b"PRIVATE" in key
        elsewhere = Tls(settings(files, "gateway"))
        with pytest.raises(RemoteFault) as refused:
            # the same authority, for services of another platform
            await said(server, renamed(files, elsewhere, "spiffe://other/gateway"))
        assert refused.value.reason == "UNAUTHENTICATED"
        with pytest.raises(RemoteFault) as refused:
            await said(server, renamed(files, elsewhere, "spiffe://isobath/local"))
        assert refused.value.reason == "UNAUTHENTICATED"


def renamed(files: Certificates, tls: Tls, name: str) -> Tls:
    """As if the certificate of `tls` had another name: the authority signs it."""
    before = x509.load_pem_x509_certificate(files.cert("gateway").read_bytes())
    by: Any = load_pem_private_key((files.folder / "ca.key").read_bytes(), None)
    made = (
        x509.CertificateBuilder()
        .subject_name(before.subject)
        .issuer_name(before.issuer)
        .public_key(before.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(before.not_valid_before_utc)
        .not_valid_after(before.not_valid_after_utc)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(name)]), critical=False
        )
        .sign(by, hashes.SHA256())
    )
    other = Tls(settings(files, "gateway"))
    other._material = replace(tls.material(), cert=made.public_bytes(Encoding.PEM))
    return other


async def test_new_certificates_are_taken_up_while_calls_go_on(files: Certificates) -> None:
    probe = Probe()
    own = ServerSettings(tls=settings(files, "credentials"), drain_s=2.0)
    async with (
        running((mount, probe), server_settings=own) as server,
        channel(server.address, tls=shown(files, "gateway")) as opened,
    ):
        unary = method(opened, "Unary")
        assert b"gateway" in await unary(b"context")
        going = unary(b"wait")
        await probe.started.wait()
        before = dict(serials(server, files))
        # another authority, and of it new certificates for both: nothing old is believed any more
        (files.folder / "ca.key").unlink()
        files.ca.unlink()
        issue(files.folder, WHO)
        assert b"gateway" in await unary(b"context")
        assert b"gateway" in await method(opened, "Unary")(b"context")
        assert serials(server, files) != before
        probe.finish.set()
        assert await going == b"wait"


def serials(server: Server, files: Certificates) -> dict[str, int]:
    """What a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(files.cert("gateway"), files.key("gateway"))
    host, _, port = server.address.rpartition(":")
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain) as link:
        der = link.getpeercert(binary_form=True)
    assert der is not None
    return {"serial": x509.load_der_x509_certificate(der).serial_number}


async def test_broken_files_leave_the_last_good_ones_in_force(files: Certificates) -> None:
    tls = shown(files, "gateway")
    good = tls.material()
    files.cert("gateway").write_text("not a certificate")
    with capture_logs() as logged:
        for _ in range(3):
            assert tls.material() is good
    told = [each for each in logged if each["event"] == "certificate_not_taken"]
    assert len(told) == 1 and "CERT_FILE holds no certificate" in told[0]["why"]
    async with served(files) as server:
        assert await said(server, tls) == "gateway"
    issue(files.folder, WHO)
    assert tls.material() is not good
    assert metrics.CERTIFICATE_ENDS._value.get() == tls.material().ends.timestamp()


def test_each_fault_of_the_files_is_named(files: Certificates) -> None:
    cert, key, ca = (
        path.read_bytes() for path in (files.cert("gateway"), files.key("gateway"), files.ca)
    )
    other = files.key("sandbox").read_bytes()
    now = datetime.now(UTC)
    foreign = authority(now).certificate.public_bytes(Encoding.PEM)
    assert checked(cert, key, ca, "isobath", now).identity == "gateway"
    for files_of, domain, at, fault in (
        ((b"", key, ca), "isobath", now, "CERT_FILE holds no certificate"),
        ((cert, b"x", ca), "isobath", now, "KEY_FILE holds no private key"),
        ((cert, key, b"x"), "isobath", now, "CA_FILE holds no certificate"),
        ((cert, other, ca), "isobath", now, "KEY_FILE is not the key of CERT_FILE"),
        ((cert, key, foreign), "isobath", now, "none of the authorities"),
        ((cert, key, ca), "other", now, "spiffe://other/IDENTITY is missing"),
        ((cert, key, ca), "isobath", now + timedelta(days=91), "which is not now"),
        ((cert, key, ca), "isobath", now - timedelta(days=1), "which is not now"),
    ):
        with pytest.raises(ValueError, match=fault):
            checked(*files_of, domain, at)
    assert "PRIVATE" not in repr(checked(cert, key, ca, "isobath", now))


def test_settings_name_all_three_files_or_none(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set together or not at all"):
        load(TlsSettings, {"X_CERT_FILE": "a"}, prefix="X_")
    gone = {f"X_{name}_FILE": str(tmp_path / "gone") for name in ("CERT", "KEY", "CA")}
    with pytest.raises(SettingsError, match="No such file"):
        Tls(load(TlsSettings, gone, prefix="X_"))


@pytest.mark.parametrize("plaintext", [False, True])
async def test_without_tls_no_other_machine_is_served(tmp_path: Path, *, plaintext: bool) -> None:
    """A mesh that encrypts is said in so many words; and then callers still need their tokens."""
    callers = tmp_path / "callers.json"
    callers.write_text("{}")
    missing = "SERVER_CALLERS_FILE is not set" if plaintext else "SERVER_TLS_CERT_FILE"
    with pytest.raises(SettingsError, match=missing):
        Server(ServerSettings(bind="0.0.0.0:0", plaintext=plaintext, callers_file=None))
    if plaintext:
        Server(ServerSettings(bind="0.0.0.0:0", plaintext=True, callers_file=callers))
    else:
        with pytest.raises(SettingsError, match="SERVER_TLS_CERT_FILE"):
            Server(ServerSettings(bind="0.0.0.0:0", callers_file=callers))


async def test_unix_socket_needs_no_certificate(files: Certificates, tmp_path: Path) -> None:
    bind = f"unix:{tmp_path}/s"
    async with served(files, bind=bind) as server:
        assert await said(server, shown(files, "gateway")) == "local"


def test_renewal_keeps_the_authority_until_it_is_old(tmp_path: Path) -> None:
    files = issue(tmp_path, WHO, now=NOW)
    first = files.ca.read_bytes()
    serial = x509.load_pem_x509_certificate(files.cert("gateway").read_bytes()).serial_number
    issue(tmp_path, WHO, now=NOW + timedelta(days=60))
    again = x509.load_pem_x509_certificate(files.cert("gateway").read_bytes())
    assert files.ca.read_bytes() == first and again.serial_number != serial
    late = NOW + timedelta(days=3650 - 300)
    issue(tmp_path, WHO, now=late)
    both = x509.load_pem_x509_certificates(files.ca.read_bytes())
    assert len(both) == 2 and files.ca.read_bytes().endswith(first)
    checked(
        files.cert("gateway").read_bytes(),
        files.key("gateway").read_bytes(),
        files.ca.read_bytes(),
        "isobath",
        late,
    )
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    (tmp_path / "ca.key").write_bytes(files.key("gateway").read_bytes())
    with pytest.raises(ValueError, match="not the key of the first certificate"):
        issue(tmp_path, WHO, now=late)
