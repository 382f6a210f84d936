"""Whether the service of this container serves: what an image's HEALTHCHECK runs.

    python -m servicekit.probe SERVICE [--public] [--http PATH]

reads the service's own settings and asks its gRPC health: at the port for probes where it has one,
else at its own, showing the service's own certificate. Ends with 0 where it serves; else with 1 and
the reason."""

import argparse
import asyncio
import http.client
import sys
from collections.abc import Mapping
from dataclasses import replace
from os import environ

from cryptography import x509

from servicekit import logs
from servicekit.addresses import is_unix, split_host_port
from servicekit.channels import channel
from servicekit.health import state
from servicekit.server import ServerSettings
from servicekit.settings import SettingsError, load
from servicekit.tls import Material, Tls

_HTTP_S = 5.0
# it answers, and says that another service does not
_DEGRADED = 503
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


class NotServing(Exception):
    """The text says what was heard instead."""


async def grpc_serves(settings: ServerSettings) -> None:
    """Raises NotServing."""
    plain = settings.tls.cert_file is None or settings.public or bool(settings.health_bind)
    shown = None if plain else Tls(settings.tls)
    name = name_in(shown.material()) if shown else ""
    address = dialled(settings.health_bind or settings.bind)
    async with channel(address, tls=shown, tls_name=name) as opened:
        heard = await state(opened)
    if heard != "SERVING":
        raise NotServing(f"{address}: {heard}")


def http_answers(bind: str, path: str) -> None:
    """Raises NotServing."""
    host, port = split_host_port(dialled(bind))
    connection = http.client.HTTPConnection(host, port, timeout=_HTTP_S)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        raise NotServing(f"{bind}{path}: {exc or type(exc).__name__}") from exc
    finally:
        connection.close()
    if status >= 400 and status != _DEGRADED:
        raise NotServing(f"{bind}{path}: HTTP {status}")


def dialled(bind: str) -> str:
    """Where a service that listens there is reached from its own container."""
    if is_unix(bind):
        return bind
    host, port = bind.rpartition(":")[::2]
    return f"{_EVERYWHERE.get(host, host)}:{port}"


def name_in(material: Material) -> str:
    """A host's name that stands in the certificate, which need not have the loopback address; ""
    where there is none."""
    own = x509.load_pem_x509_certificates(material.cert)[0]
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return next(iter(names.get_values_for_type(x509.DNSName)), "")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m servicekit.probe", description="Whether a service of this machine serves."
    )
    parser.add_argument("service", help="such as pg_connector; its settings say where it listens")
    parser.add_argument(
        "--public", action="store_true", help="its port takes callers without a certificate"
    )
    parser.add_argument("--http", metavar="PATH", help="and whether its HTTP_BIND answers this")
    return parser.parse_args()


def main(given: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """Raises NotServing, SettingsError."""
    # none of its own lines, unless something is wrong
    prefix = f"ISOBATH_{given.service.upper().replace('-', '_')}_"
    logs.configure("probe", level="ERROR")
    settings = load(ServerSettings, environ, prefix=f"{prefix}SERVER_")
    asyncio.run(grpc_serves(replace(settings, public=settings.public or given.public)))
    if given.http:
        http_answers(_http_bind(environ, f"{prefix}HTTP_BIND"), given.http)


def _http_bind(environ: Mapping[str, str], name: str) -> str:
    bind = environ.get(name, "")
    try:
        split_host_port(bind)
    except ValueError as exc:
        raise SettingsError([f"{name}: {exc}"]) from exc
    return bind


if __name__ == "__main__":
    try:
        main(_arguments(), environ)
    except (NotServing, SettingsError) as why:
        sys.exit(str(why))
