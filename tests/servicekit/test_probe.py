"""What an image's health check says: with and without certificates, over gRPC and HTTP."""

import argparse
import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from dev.certs import Certificates, authority, certificate
from servicekit.ports import free_port
from servicekit.probe import NotServing, dialled, main
from servicekit.server import ServerSettings
from servicekit.settings import SettingsError
from servicekit.testing import running
from servicekit.tls import TlsSettings
from tests.servicekit.probe import Probe, mount

pytestmark = [pytest.mark.req("K2", "S7"), pytest.mark.usefixtures("no_leaks")]


async def probed(environ: dict[str, str], *, public: bool = False, http: str = "") -> None:
    """As the health check does it: in a process that has no loop yet."""
    given = argparse.Namespace(service="pg-connector", public=public, http=http)
    await asyncio.to_thread(main, given, environ)


def environment(bind: str, **more: str) -> dict[str, str]:
    named = {"SERVER_BIND": bind, **more}
    return {f"ISOBATH_PG_CONNECTOR_{name}": value for name, value in named.items()}


async def test_a_service_that_serves_is_told_from_one_that_drains_or_is_not_there() -> None:
    bind = f"127.0.0.1:{free_port()}"
    with pytest.raises(NotServing, match="UNREACHABLE"):
        await probed(environment(bind))
    async with running((mount, Probe()), server_settings=ServerSettings(bind=bind)) as server:
        await probed(environment(bind))
        server._health.set_all(False)
        with pytest.raises(NotServing, match="NOT_SERVING"):
            await probed(environment(bind))


async def test_with_certificates_it_shows_the_services_own(tmp_path: Path) -> None:
    """One whose names are those of the cluster, not of the loopback address."""
    files, now = Certificates(tmp_path), datetime.now(UTC)
    by = authority(now)
    hosts = ["pg-connector.isobath.svc"]
    cert, key = certificate(by, "pg_connector", hosts, now, timedelta(days=1))
    files.cert("own").write_bytes(cert)
    files.key("own").write_bytes(key)
    files.ca.write_bytes(by.certificate.public_bytes(Encoding.PEM))
    bind = f"127.0.0.1:{free_port()}"
    tls = TlsSettings(files.cert("own"), files.key("own"), files.ca)
    paths = {"CERT_FILE": tls.cert_file, "KEY_FILE": tls.key_file, "CA_FILE": tls.ca_file}
    named = {f"SERVER_TLS_{name}": str(path) for name, path in paths.items()}
    settings = ServerSettings(bind=bind, tls=tls)
    async with running((mount, Probe()), server_settings=settings):
        await probed(environment(bind, **named))
        with pytest.raises(NotServing, match="UNREACHABLE"):
            await probed(environment(bind))
        # what a service that is open to everybody would be asked
        with pytest.raises(NotServing, match="UNREACHABLE"):
            await probed(environment(bind, **named), public=True)


async def test_a_port_for_probes_is_asked_where_there_is_one() -> None:
    bind, health = (f"127.0.0.1:{free_port()}" for _ in range(2))
    settings = ServerSettings(bind=bind, health_bind=health)
    async with running((mount, Probe()), server_settings=settings):
        await probed(environment("127.0.0.1:1", SERVER_HEALTH_BIND=health))


@contextmanager
def http_server(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("status", "well"), [(200, True), (503, True), (404, False), (500, False)])
async def test_http_answers_as_well(status: int, well: bool) -> None:
    bind = f"127.0.0.1:{free_port()}"
    async with running((mount, Probe()), server_settings=ServerSettings(bind=bind)):
        with http_server(status) as http:
            asked = probed(environment(bind, HTTP_BIND=http), http="/health")
            if well:
                await asked
            else:
                with pytest.raises(NotServing, match=f"HTTP {status}"):
                    await asked
        with pytest.raises(NotServing, match="/health"):
            await probed(environment(bind, HTTP_BIND=http), http="/health")


async def test_settings_that_say_nothing_are_told() -> None:
    bind = f"127.0.0.1:{free_port()}"
    async with running((mount, Probe()), server_settings=ServerSettings(bind=bind)):
        with pytest.raises(SettingsError, match="ISOBATH_PG_CONNECTOR_HTTP_BIND"):
            await probed(environment(bind), http="/health")
    with pytest.raises(SettingsError, match="ISOBATH_PG_CONNECTOR_SERVER"):
        await probed(environment("nowhere"))


@pytest.mark.parametrize(
    ("bind", "reached"),
    [
        ("0.0.0.0:50052", "127.0.0.1:50052"),
        ("[::]:50052", "[::1]:50052"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("unix:/run/isobath/s", "unix:/run/isobath/s"),
    ],
)
def test_an_address_of_all_is_reached_over_the_loopback(bind: str, reached: str) -> None:
    assert dialled(bind) == reached
