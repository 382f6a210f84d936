"""The whole platform with certificates between its services."""

import subprocess
import sys
from collections.abc import Iterator

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dev.certs import OPERATOR, Certificates
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as credentials_rpc
from tests.e2e.conftest import ROOT, Platform, start, stop
from tests.e2e.question import body

pytestmark = pytest.mark.slow
SERVICES = (
    "credentials",
    "pg_connector",
    "blob_connector",
    "file_connector",
    "sandbox",
    "inference",
)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    running = start(tmp_path_factory.mktemp("mtls") / "home", ISOBATH_MTLS="true")
    try:
        yield running
    finally:
        stop(running)


def answered(platform: Platform) -> str:
    with platform.http() as api:
        reply = api.post("/v1/chat/completions", json=body()).raise_for_status().json()
    return str(reply["choices"][0]["message"]["content"])


def address(platform: Platform, service: str) -> str:
    """Where its process listens for gRPC; of two, the one that is not for metrics."""
    kept = psutil.Process(platform.pid(service)).environ()
    return kept[f"ISOBATH_{service.upper()}_SERVER_BIND"]


def health(channel: grpc.Channel) -> str:
    told = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(told.status))


@pytest.mark.req("S3", "C1")
def test_question_is_answered_over_certificates_also_after_a_renewal(secured: Platform) -> None:
    assert "Nordvik" in answered(secured)
    files = Certificates(secured.home / "certs")
    before = {each: files.cert(each).read_bytes() for each in SERVICES}
    renewed = subprocess.run(
        [sys.executable, "-m", "dev.certs", str(files.folder), "--days", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "for 1 days" in renewed.stdout
    assert all(files.cert(each).read_bytes() != kept for each, kept in before.items())
    pids = {each: secured.pid(each) for each in SERVICES}
    assert "Nordvik" in answered(secured)
    assert {each: secured.pid(each) for each in SERVICES} == pids
    for service in SERVICES:
        logged = (secured.home / "logs" / f"{service}.log").read_text()
        assert logged.count('"event": "certificate"') >= 2, service
        assert "certificate_not_taken" not in logged


@pytest.mark.req("S3")
@pytest.mark.parametrize("service", SERVICES)
def test_no_service_answers_who_shows_no_certificate(secured: Platform, service: str) -> None:
    where, files = address(secured, service), Certificates(secured.home / "certs")
    ca = files.ca.read_bytes()
    mine = (files.key(OPERATOR).read_bytes(), files.cert(OPERATOR).read_bytes())
    for credentials in (None, grpc.ssl_channel_credentials(ca)):
        channel = (
            grpc.secure_channel(where, credentials) if credentials else grpc.insecure_channel(where)
        )
        with channel, pytest.raises(grpc.RpcError) as refused:
            health(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    with grpc.secure_channel(where, grpc.ssl_channel_credentials(ca, *mine)) as channel:
        assert health(channel) == "SERVING"


@pytest.mark.req("S3")
def test_certificate_of_an_operator_may_call_nothing(secured: Platform) -> None:
    files = Certificates(secured.home / "certs")
    mine = (files.key(OPERATOR).read_bytes(), files.cert(OPERATOR).read_bytes())
    credentials = grpc.ssl_channel_credentials(files.ca.read_bytes(), *mine)
    with grpc.secure_channel(address(secured, "credentials"), credentials) as channel:
        stub = credentials_rpc.CredentialServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            stub.RedeemGrant(pb.RedeemGrantRequest(), timeout=5)
    # its certificate lets it in, and it has no token of a service
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_gateways_own_clients_need_none(secured: Platform) -> None:
    assert httpx.get(f"{secured.ready['http']}/health", timeout=10).status_code == 200
