"""Microsoft Entra: azure-identity itself, against a token endpoint and an Azurite that takes tokens."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.blob.aio import BlobServiceClient
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from dev.azurite import Azurite
from dev.azurite import azurite as start_azurite
from isobath.connector.v1 import connector_pb2 as pb
from servicekit.ports import free_port
from servicekit.secrets import Secret
from services.blob_connector import entra
from services.blob_connector.settings import Settings
from tests.blob_connector.conftest import Lake, fault_of, joined, open_lake
from tests.blob_connector.directory import (
    APPLICATION,
    TENANT,
    Directory,
    directory,
    federated,
    self_signed,
)

CONTAINER = "tokens"
APP = {"tenant_id": TENANT, "client_id": APPLICATION}


@dataclass(frozen=True)
class Secured:
    """An Azurite over TLS, with one blob, and the certificate that it shows."""

    azurite: Azurite
    pem: Path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def secured() -> AsyncIterator[Secured]:
    with TemporaryDirectory(prefix="isobath-tls-") as folder:
        pem = self_signed(Path(folder) / "tls.pem")
        async with start_azurite(Path(folder) / "azurite", pem=pem) as made:
            async with BlobServiceClient.from_connection_string(
                made.connection_string, connection_verify=str(pem)
            ) as service:
                client = await service.create_container(CONTAINER)
                await client.upload_blob("a.csv", b"a\n1\n")
            yield Secured(made, pem)


@dataclass
class World:
    lake: Lake
    entra: Directory
    secured: Secured

    async def grant(self, secret: dict[str, str], **config: str) -> str:
        where = {"account_url": self.secured.azurite.account_url, "container": CONTAINER}
        # another secret than that of the lake; none where the connector's own identity signs in
        self.lake.fields = secret
        return await self.lake.grant(config={**where, **config})

    async def check(self, grant: str) -> pb.CheckResponse:
        told: pb.CheckResponse = await self.lake.stub.Check(pb.CheckRequest(grant=grant))
        return told


@asynccontextmanager
async def world(
    azurite: Azurite, secured: Secured, folder: Path, **settings: Any
) -> AsyncIterator[World]:
    async with directory(secured.pem) as entra:
        known = {
            "authority": entra.host,
            "ca_file": str(secured.pem),
            "identity_hosts": ("127.0.0.*",),
            "retries": 1,
            **settings,
        }
        async with open_lake(azurite, folder, **known) as lake:
            yield World(lake, entra, secured)


@pytest.fixture
async def own(
    azurite: Azurite, secured: Secured, tmp_path: Path, no_leaks: Any
) -> AsyncIterator[World]:
    async with world(azurite, secured, tmp_path) as made:
        yield made


def pfx(pem: Path) -> str:
    """The same certificate and key as Azure's key vault gives them."""
    data = pem.read_bytes()
    key = serialization.load_pem_private_key(data, None)
    certificate = x509.load_pem_x509_certificate(data[data.index(b"-----BEGIN CERT") :])
    plain = serialization.NoEncryption()
    made = pkcs12.serialize_key_and_certificates(b"app", key, certificate, None, plain)  # type: ignore[arg-type]
    return base64.b64encode(made).decode()


@pytest.mark.req("B1")
@pytest.mark.parametrize("form", ["secret", "pem", "pfx"])
async def test_application_signs_in(own: World, form: str) -> None:
    pem = own.secured.pem
    secret = {
        "secret": {"client_secret": f"{own.entra.secret}\n"},
        "pem": {"client_certificate": pem.read_text()},
        "pfx": {"client_certificate": pfx(pem)},
    }[form]
    grant = await own.grant(secret, **APP)
    assert joined(await own.lake.fetch("a.csv", grant=grant)) == b"a\n1\n"
    assert own.entra.given == ["client_secret" if form == "secret" else "assertion"]
    told = await own.check(grant)
    assert [step.passed for step in told.steps] == [True] * 3
    assert told.identity == f"{next(iter(secret)).replace('_', ' ')} of application {APPLICATION}"
    # one token for all of it
    assert len(own.entra.given) == 1


@pytest.mark.req("B1")
async def test_workload_identity_signs_in(
    own: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(federated(tmp_path / "token")))
    monkeypatch.setenv("AZURE_CLIENT_ID", APPLICATION)
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    # the default chain hands it no other
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://{own.entra.host}")
    grant = await own.grant({}, identity="workload_identity")
    assert await own.lake.browse(grant=grant) == ["a.csv"]
    assert own.entra.given == ["federated"]
    default = await own.grant({}, identity="default")
    assert (await own.check(default)).identity == "default credential (workload identity)"


@pytest.mark.req("B1")
async def test_managed_identity_signs_in(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"https://{own.entra.host}")
    grant = await own.grant({}, identity="managed_identity")
    assert await own.lake.browse(grant=grant) == ["a.csv"]
    assert own.entra.given == ["machine"]
    assert (await own.check(grant)).identity == "managed identity"
    default = await own.grant({}, identity="default")
    assert (await own.check(default)).identity == "default credential (managed identity)"


@pytest.mark.req("B1", "B6")
async def test_token_that_ends_is_renewed(own: World) -> None:
    own.entra.lifetime_s = 2
    grant = await own.grant({"client_secret": own.entra.secret}, **APP)
    for _ in range(2):
        assert await own.lake.browse(grant=grant) == ["a.csv"]
        await asyncio.sleep(2.1)
    assert len(own.entra.given) == 2


@pytest.mark.req("B5", "S4")
@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AADSTS7000222", "has expired"),
        ("AADSTS700016", "client_id"),
        ("AADSTS90002", "no such tenant"),
        ("AADSTS1", "Check tenant_id"),
    ],
)
async def test_refusal_of_entra_is_told_by_cause(own: World, code: str, remedy: str) -> None:
    own.entra.refusal = code
    grant = await own.grant({"client_secret": "planted-secret"}, **APP)
    fault = await fault_of(own.lake.browse(grant=grant))
    assert fault.reason == "SOURCE_AUTHENTICATION_FAILED" and code in fault.message
    assert remedy in (fault.remedy or "") and APPLICATION in fault.message
    assert "planted" not in f"{fault} {fault.remedy} {fault.fields}"
    last = (await own.check(grant)).steps[-1]
    assert (last.name, last.passed, last.reason) == ("authenticate", False, fault.reason)


@pytest.mark.req("B5")
async def test_wrong_secret_is_told(own: World) -> None:
    grant = await own.grant({"client_secret": "planted-secret"}, **APP)
    fault = await fault_of(own.lake.browse(grant=grant))
    assert "AADSTS7000215" in fault.message and "not its id" in (fault.remedy or "")


@pytest.mark.req("B5")
@pytest.mark.parametrize("identity", ["workload_identity", "managed_identity"])
async def test_identity_that_is_not_there_is_told(
    own: World, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own.entra.refusal = "none"
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"https://{own.entra.host}")
    grant = await own.grant({}, identity=identity)
    fault = await fault_of(own.lake.browse(grant=grant))
    words = identity.replace("_", " ")
    if identity == "workload_identity":
        assert fault.reason == "INVALID_FIELD" and words in fault.message
    else:
        assert fault.reason == "SOURCE_AUTHENTICATION_FAILED" and words in fault.message
    assert fault.remedy


@pytest.mark.req("B6")
async def test_entra_out_of_reach_is_told(
    azurite: Azurite, secured: Secured, tmp_path: Path, no_leaks: Any
) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    async with world(azurite, secured, tmp_path, authority=nowhere) as made:
        grant = await made.grant({"client_secret": "x"}, **APP)
        fault = await fault_of(made.lake.browse(grant=grant))
    assert fault.reason == "SOURCE_UNREACHABLE" and fault.fields["host"] == nowhere


@pytest.mark.req("S4")
async def test_own_identity_is_only_used_where_the_operator_allows(
    azurite: Azurite, secured: Secured, tmp_path: Path, no_leaks: Any
) -> None:
    async with world(azurite, secured, tmp_path, identity_hosts=("*.example.net",)) as made:
        for identity in ("workload_identity", "managed_identity", "default"):
            grant = await made.grant({}, identity=identity)
            fault = await fault_of(made.lake.browse(grant=grant))
            assert fault.reason == "INVALID_FIELD" and fault.fields["field"] == "config.identity"
            assert "IDENTITY_HOSTS" in (fault.remedy or "")
        assert not made.entra.asked


@pytest.mark.req("B1")
@pytest.mark.parametrize(
    ("account", "cloud", "authority"),
    [
        ("https://a.blob.core.windows.net", "", "login.microsoftonline.com"),
        ("https://a.blob.core.usgovcloudapi.net", "", "login.microsoftonline.us"),
        ("https://a.blob.core.chinacloudapi.cn", "", "login.chinacloudapi.cn"),
        # a domain of one's own, or a private endpoint, says nothing of its cloud
        ("https://data.example.org", "", "login.microsoftonline.com"),
        ("https://data.example.org", "us_government", "login.microsoftonline.us"),
        ("https://data.example.org", "china", "login.chinacloudapi.cn"),
        # a host that only looks like one of a cloud
        ("https://usgovcloudapi.net.example.org", "", "login.microsoftonline.com"),
    ],
)
def test_each_cloud_is_asked_for_its_own_tokens(
    monkeypatch: pytest.MonkeyPatch, account: str, cloud: str, authority: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        entra,
        "ClientSecretCredential",
        lambda *_, **known: asked.append(known["authority"]),
    )
    config = {**APP, "account_url": account, "cloud": cloud}
    entra.signer_of("client_secret", config, {"client_secret": Secret("s")}, Settings())
    assert asked == [authority]
