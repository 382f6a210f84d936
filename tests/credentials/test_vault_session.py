"""Signing in to Vault, staying signed in, and what is told when it does not work."""

import asyncio
import datetime
import ipaddress
import ssl
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from servicekit.secrets import Secret
from services.credentials import store
from services.credentials.app import keys_of, login_of
from services.credentials.errors import (
    SecretNotFound,
    StoreUnusable,
    VaultRefused,
    VaultUnavailable,
)
from services.credentials.home import Home
from services.credentials.settings import Settings
from services.credentials.vaults import hashicorp
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.vaults.login import GivenToken, Login
from services.credentials.vaults.port import Vault
from tests.credentials import kv_double
from tests.credentials.kv_double import Kept
from tests.credentials.test_vaults import NOW, change

JWT = "planted-jwt-4711"
SECRET_ID = "planted-secret-id-4711"


@pytest.fixture
def double() -> Iterator[tuple[str, Kept]]:
    with kv_double.running() as (url, kept):
        kept.jwts, kept.secret_ids = {JWT}, {SECRET_ID}
        yield url, kept


def login(folder: Path, **given: Any) -> Login:
    (folder / "jwt").write_text(JWT + "\n")
    defaults = {"vault": "hashicorp", "vault_role": "isobath", "vault_jwt_file": folder / "jwt"}
    return login_of(Settings(**{**defaults, **given}))


WAYS: dict[str, dict[str, Any]] = {
    "token": {"vault_token": Secret(kv_double.TOKEN)},
    "approle": {"vault_auth": "approle", "vault_secret_id": Secret(SECRET_ID)},
    "wrapped": {"vault_auth": "approle", "vault_wrapped_secret_id": Secret("hvs.wrapping")},
    "kubernetes": {"vault_auth": "kubernetes"},
    "jwt": {"vault_auth": "jwt", "vault_auth_mount": "oidc"},
}


@asynccontextmanager
async def vault_of(url: str, way: Login, **changes: Any) -> AsyncIterator[Vault]:
    place = hashicorp.Place(url, way, "secret", "isobath", "", 5.0)
    async with hashicorp.opened(replace(place, **changes)) as vault:
        yield vault


@pytest.mark.req("S1")
@pytest.mark.parametrize("way", WAYS)
async def test_service_signs_in_once_for_many(
    double: tuple[str, Kept], tmp_path: Path, way: str
) -> None:
    url, kept = double
    kept.wrapped = {"hvs.wrapping": SECRET_ID}
    async with vault_of(url, login(tmp_path, **WAYS[way])) as vault:
        puts = [vault.put(replace(change(a="x"), source_id=f"ds-{n}"), NOW) for n in range(6)]
        await asyncio.gather(*puts)
    mounts = {"wrapped": "approle", "jwt": "oidc"}
    assert kept.logins == ([] if way == "token" else [mounts.get(way, way)])


@pytest.mark.req("S1")
async def test_token_is_renewed_at_two_thirds_and_replaced_at_its_end(
    double: tuple[str, Kept], tmp_path: Path
) -> None:
    url, kept = double
    kept.ttl_s = 0.3
    async with vault_of(url, login(tmp_path, **WAYS["approle"])) as vault:
        await vault.put(change(a="x"), NOW)
        while kept.renewed < 2 or len(kept.logins) < 2:
            await asyncio.sleep(0.02)
            assert (await vault.get("ds-1")).version == 1


@pytest.mark.req("S1")
async def test_token_that_was_revoked_is_replaced_under_a_call(
    double: tuple[str, Kept], tmp_path: Path
) -> None:
    url, kept = double
    kept.wrapped = {"hvs.wrapping": SECRET_ID}
    async with vault_of(url, login(tmp_path, **WAYS["wrapped"])) as vault:
        await vault.put(change(a="x"), NOW)
        kept.tokens.clear()
        assert (await vault.get("ds-1")).version == 1
        assert kept.logins == ["approle"] * 2
        kept.secret_ids.clear()
        kept.tokens.clear()
        with pytest.raises(VaultRefused):
            await vault.get("ds-1")


async def test_wrapped_secret_id_that_was_opened_before_is_told(
    double: tuple[str, Kept], tmp_path: Path
) -> None:
    async with vault_of(double[0], login(tmp_path, **WAYS["wrapped"])) as vault:
        with pytest.raises(VaultRefused, match="unwrapped before") as failed:
            await vault.get("ds-1")
    assert "destroy the old one" in failed.value.remedy


@pytest.mark.req("S5")
async def test_sealed_throttled_and_lost_vaults_are_told_apart(
    double: tuple[str, Kept], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashicorp._RETRY, "total", 0)
    url, kept = double
    async with vault_of(url, login(tmp_path, **WAYS["approle"])) as vault:
        await vault.put(change(a="x"), NOW)
        kept.sealed = True
        with pytest.raises(VaultUnavailable, match="sealed"):
            await vault.get("ds-1")
        kept.sealed, kept.failures = False, [429]
        with pytest.raises(VaultUnavailable, match="quota"):
            await vault.put(change(a="y"), NOW)
        assert (await vault.get("ds-1")).version == 1
    with pytest.raises(VaultUnavailable, match="cannot be reached"):
        async with vault_of("http://127.0.0.1:1", login(tmp_path, **WAYS["jwt"])) as vault:
            await vault.get("ds-1")


async def test_namespaces_are_kept_apart(double: tuple[str, Kept], tmp_path: Path) -> None:
    url, kept = double
    kept.namespace = "team-a"
    way = login(tmp_path, **WAYS["kubernetes"])
    async with vault_of(url, way, namespace="team-a") as vault:
        await vault.put(change(a="x"), NOW)
    async with vault_of(url, way, namespace="team-b") as vault:
        with pytest.raises(VaultRefused):
            await vault.get("ds-1")


@pytest.mark.req("D2")
@pytest.mark.parametrize("way", ["approle", "wrapped", "kubernetes"])
async def test_login_that_fails_shows_no_secret(
    double: tuple[str, Kept], tmp_path: Path, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    url, kept = double
    kept.wrapped = {"hvs.wrapping": SECRET_ID}
    kept.jwts, kept.secret_ids = set(), set()
    given = login(tmp_path, **WAYS[way])
    async with vault_of(url, given) as vault:
        with pytest.raises(VaultRefused) as failed:
            await vault.get("ds-1")
    shown = "".join(traceback.format_exception(failed.value)) + caplog.text + repr(given)
    for secret in (JWT, SECRET_ID, "hvs."):
        assert secret not in shown


def authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signs itself, for 127.0.0.1."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "ca.pem").write_bytes(made.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return folder / "ca.pem", context


@pytest.mark.req("S1")
async def test_certificate_of_vault_is_checked(tmp_path: Path) -> None:
    ca_file, context = authority(tmp_path)
    way = GivenToken(Secret(kv_double.TOKEN))
    with kv_double.running(context) as (url, _):
        async with vault_of(url, way, ca_file=ca_file) as vault:
            with pytest.raises(SecretNotFound):
                await vault.get("ds-1")
        async with vault_of(url, way) as vault:
            with pytest.raises(VaultRefused, match="not trusted"):
                await vault.get("ds-1")


@pytest.mark.req("S1")
async def test_store_under_a_transit_key_opens_only_through_vault(
    double: tuple[str, Kept], tmp_path: Path
) -> None:
    url, kept = double
    home = Home(tmp_path / "home")
    settings = Settings(
        home=home.folder, vault_url=url, vault_transit_key="isobath", vault_timeout_s=5.0,
        vault_auth="approle", vault_role="isobath", vault_secret_id=Secret(SECRET_ID),
    )  # fmt: skip
    async with store.opened(home, keys_of(settings, home)) as embedded:
        await EmbeddedVault(embedded).put(change(password="planted-4711"), NOW)
        wrapped = (home.folder / "store.wrapped").read_text()
        assert await embedded.reseal() == 1
    assert wrapped not in (home.folder / "store.wrapped").read_text()
    content = b"".join(path.read_bytes() for path in home.folder.iterdir())
    assert not [key for key in kept.transit.values() if key.encode() in content]
    async with store.opened(home, keys_of(settings, home)) as embedded:
        record = await EmbeddedVault(embedded).get("ds-1")
    assert record.fields == {"password": Secret("planted-4711")}
    kept.sealed = True
    with pytest.raises(StoreUnusable, match="sealed"):
        async with store.opened(home, keys_of(settings, home)):
            pass
