"""Sign-in by OpenID Connect, against an issuer of our own."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import pytest_asyncio

from servicekit.settings import SettingsError, load
from servicekit.status import Unauthenticated
from services.gateway.access.oidc import AGAIN_S, KEYS_S, Oidc, OidcSettings, caller_of
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import Scope
from services.gateway.errors import NotAllowed, ServiceLost
from services.gateway.settings import Settings
from tests.gateway.conftest import ANSWER, platform_of, question
from tests.gateway.issuer import ALGORITHMS, Issuer, issuing


class Clock:
    """Moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as found:
        yield found


@pytest_asyncio.fixture
async def oidc(issuer: Issuer) -> AsyncIterator[Oidc]:
    async with Oidc(OidcSettings(issuer=issuer.url), monotonic=Clock()) as found:
        yield found


def clock_of(oidc: Oidc) -> Clock:
    found = oidc._monotonic
    assert isinstance(found, Clock)
    return found


@pytest.mark.req("S2")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_token_names_a_person(issuer: Issuer, oidc: Oidc, algorithm: str) -> None:
    issuer.add("second", algorithm)
    token = issuer.token("second", groups=["sales", "legal"])
    assert oidc.takes(token)
    caller = await oidc.caller(token)
    assert (caller.owner, caller.key_id, caller.scope) == ("oidc:ann", "oidc:ann", Scope.ANALYST)
    assert caller.teams == ("sales", "legal")
    await oidc.caller(token)
    assert issuer.read == 1


@pytest.mark.req("S2")
@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": int(time.time()) - 3600}, "expired"),
        ({"exp": None}, "trusted"),
        ({"sub": None}, "trusted"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "trusted"),
        ({"iss": "http://another"}, "another issuer"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
    ],
)
async def test_token_that_does_not_fit_is_refused(
    issuer: Issuer, oidc: Oidc, claims: dict[str, Any], said: str
) -> None:
    with pytest.raises(Unauthenticated, match=said):
        await oidc.caller(issuer.token(**claims))


@pytest.mark.req("S2")
async def test_token_of_another_key_under_a_known_id_is_refused(issuer: Issuer, oidc: Oidc) -> None:
    issuer.add("other")
    stolen = issuer.token(key=issuer.keys.pop("other")[1])
    with pytest.raises(Unauthenticated, match="trusted"):
        await oidc.caller(stolen)


@pytest.mark.req("S2")
async def test_token_without_a_signature_or_under_a_shared_secret_is_refused(
    issuer: Issuer, oidc: Oidc
) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    public = issuer.keys["first"][1].public_key()
    from cryptography.hazmat.primitives import serialization as form

    pem = public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    head, _, body = jwt.encode(claims, "s" * 32, "HS256", headers={"kid": "first"}).rpartition(".")
    forged = [
        jwt.encode(claims, "", "none", headers={"kid": "first"}),
        jwt.encode(claims, pem[27:60], "HS256", headers={"kid": "first"}),
        f"{head}.{body[::-1]}",
        "a.b.c",
    ]
    for token in forged:
        with pytest.raises(Unauthenticated):
            await oidc.caller(token)


@pytest.mark.req("S2")
async def test_keys_that_change_are_read_anew_but_not_for_every_stranger(
    issuer: Issuer, oidc: Oidc
) -> None:
    await oidc.caller(issuer.token())
    issuer.add("second")
    with pytest.raises(Unauthenticated, match="does not show"):
        await oidc.caller(issuer.token("second"))
    assert issuer.read == 1
    clock_of(oidc).now += AGAIN_S
    assert (await oidc.caller(issuer.token("second"))).owner == "oidc:ann"
    assert issuer.read == 2
    gone = issuer.token()
    issuer.keys.pop("first")
    assert (await oidc.caller(gone)).owner == "oidc:ann"
    clock_of(oidc).now += KEYS_S
    with pytest.raises(Unauthenticated):
        await oidc.caller(gone)


@pytest.mark.req("S2")
async def test_issuer_that_does_not_answer_is_told_and_tried_again(issuer: Issuer) -> None:
    token = issuer.token()
    async with Oidc(OidcSettings(issuer="http://127.0.0.1:9"), monotonic=Clock()) as away:
        with pytest.raises(ServiceLost):
            await away.caller(token)
    issuer.calls_itself = "http://127.0.0.1:1"
    async with Oidc(OidcSettings(issuer=issuer.url), monotonic=Clock()) as oidc:
        with pytest.raises(ServiceLost):
            await oidc.caller(token)
        issuer.calls_itself = issuer.url
        assert (await oidc.caller(token)).owner == "oidc:ann"
        issuer.calls_itself = "http://127.0.0.1:1"
        clock_of(oidc).now += KEYS_S
        assert (await oidc.caller(token)).owner == "oidc:ann"


@pytest.mark.req("S2")
@pytest.mark.parametrize(
    ("claims", "settings", "scope"),
    [
        ({"roles": ["isobath-reader"]}, {}, Scope.READ_ONLY),
        ({"roles": ["isobath-reader", "isobath-admin"]}, {}, Scope.ADMIN),
        ({"roles": "isobath-analyst other"}, {}, Scope.ANALYST),
        ({"realm": {"roles": ["boss"]}}, {"roles_claim": "realm.roles", "admin_role": "boss"}, 3),
        ({}, {"default_scope": "read-only"}, Scope.READ_ONLY),
        ({"roles": [7, None]}, {"default_scope": "analyst"}, Scope.ANALYST),
        ({"roles": {"a": 1}}, {}, None),
        ({"roles": ["else"]}, {}, None),
        ({}, {}, None),
    ],
)
def test_roles_give_the_scope(
    claims: dict[str, Any], settings: dict[str, Any], scope: Scope | None
) -> None:
    given = OidcSettings(issuer="https://x", quota=Quota(rows_per_day=5), **settings)
    if scope is None:
        with pytest.raises(NotAllowed):
            caller_of({"sub": "ann", **claims}, given)
        return
    caller = caller_of({"sub": "ann", **claims}, given)
    assert caller.scope == scope and caller.quota.rows_per_day == 5


def test_long_subject_fits_an_owner() -> None:
    settings = OidcSettings(issuer="https://x", default_scope="analyst")
    owners = {caller_of({"sub": "x" * 255 + end}, settings).owner for end in "ab"}
    assert len(owners) == 2 and all(len(each) < 200 for each in owners)


def test_issuer_without_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="https"):
        OidcSettings(issuer="http://sign-in.example")
    OidcSettings(issuer="https://sign-in.example")


@pytest.mark.req("S2", "C3")
async def test_person_asks_with_a_token_and_has_a_thread_of_its_own(
    tmp_path: Path, issuer: Issuer
) -> None:
    async with platform_of(tmp_path, oidc=OidcSettings(issuer=issuer.url)) as platform:
        platform.models.turns = [ANSWER.format("one")]
        async with platform.caller(issuer.token()) as ann:
            answered = await ann.post("/v1/chat/completions", json=question())
            assert answered.status_code == 200, answered.text
            assert (await ann.get("/v1/caller")).json()["owner"] == "oidc:ann"
            assert len((await ann.get("/v1/threads")).json()["data"]) == 1
            assert (await ann.post("/v1/keys", json={})).status_code == 403
        async with platform.caller(issuer.token(sub="bob")) as bob:
            assert (await bob.get("/v1/threads")).json()["data"] == []
        async with platform.caller(issuer.token(exp=1)) as late:
            refused = await late.get("/v1/caller")
            assert refused.status_code == 401
            assert refused.json()["error"]["remedy"] == "Sign in again."
        assert (await platform.http.get("/v1/threads")).json()["data"] == []


def test_settings_are_read_from_the_environment() -> None:
    given = {"OIDC_ISSUER": "https://x", "OIDC_QUOTA_ROWS_PER_DAY": "5", "OIDC_DEFAULT_SCOPE": ""}
    settings = load(Settings, {f"P_{name}": value for name, value in given.items()}, prefix="P_")
    assert settings.oidc == OidcSettings(issuer="https://x", quota=Quota(rows_per_day=5))
    with pytest.raises(SettingsError, match="KEY_HASH"):
        load(Settings, {"P_DATABASE_URL": "postgresql+asyncpg://x"}, prefix="P_")
