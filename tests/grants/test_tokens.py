import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from grants import tokens
from grants.claims import Grant
from grants.errors import GrantError, GrantExpired, GrantForged, GrantMalformed, KeyUnknown
from tests.grants.samples import GRANT, KEY, KEYS, NOW, grant

TOKEN = tokens.mint(GRANT, KEY)
words = st.text(max_size=20)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC)
)
settings = st.dictionaries(words, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words)
grants = st.builds(
    Grant,
    grant_id=words,
    owner=words,
    caller=words,
    source_id=words,
    source_type=words,
    source_version=st.integers(0, 2**53),
    config=settings,
    operations=st.frozensets(st.sampled_from(["list", "read", "write"])),
    scopes=st.lists(words, max_size=4).map(tuple),
    max_rows=st.integers(0, 2**53),
    max_bytes=st.integers(0, 2**53),
    max_seconds=st.floats(0, 1e6),
    run_id=words,
    thread_id=words,
    issued_at=moments,
    expires_at=moments,
).map(lambda g: grant(**{**vars(g), "expires_at": g.issued_at + timedelta(minutes=10)}))


def signed(header: dict[str, Any], claims: dict[str, Any] | None = None) -> str:
    """A token whose signature is right and whose header is as given."""
    body = tokens._claims(GRANT) if claims is None else claims
    text = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(body).encode())}"
    return f"{text}.{_b64(KEY.private.sign(text.encode()))}"


def claiming(**changes: Any) -> str:
    return signed({"alg": "EdDSA", "typ": "JWT", "kid": "key-1"}, _claims(**changes))


def _claims(**changes: Any) -> dict[str, Any]:
    return {**tokens._claims(GRANT), **changes}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(grants)
def test_minted_grant_verifies_to_itself(minted: Grant) -> None:
    assert tokens.verify(tokens.mint(minted, KEY), KEYS, minted.issued_at) == minted


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 255))
def test_token_with_any_character_changed_is_refused(place: int, code: int) -> None:
    changed = TOKEN[:place] + chr(code) + TOKEN[place + 1 :]
    if changed != TOKEN:
        with pytest.raises((GrantForged, GrantMalformed)):
            tokens.verify(changed, KEYS, NOW)


@given(st.integers(0, len(TOKEN)), st.sampled_from(["A", "=", " ", "\n", ".", "é"]))
def test_token_with_a_character_put_in_is_refused(place: int, character: str) -> None:
    with pytest.raises((GrantForged, GrantMalformed)):
        tokens.verify(TOKEN[:place] + character + TOKEN[place:], KEYS, NOW)


@given(st.text())
def test_text_that_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(GrantError):
        tokens.verify(text, KEYS, NOW)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_token_without_signature_is_refused(algorithm: str) -> None:
    head = _b64(json.dumps({"alg": algorithm, "kid": "key-1"}).encode())
    body = TOKEN.split(".")[1]
    for torn in (f"{head}.{body}.", f"{head}.{body}.{TOKEN.split('.')[2]}"):
        with pytest.raises((GrantForged, GrantMalformed)):
            tokens.verify(torn, KEYS, NOW)


@pytest.mark.parametrize("encoding", ["raw", "pem"])
def test_hmac_keyed_with_the_public_key_is_refused(encoding: str) -> None:
    public = KEYS["key-1"]
    secret = public.public_bytes_raw()
    if encoding == "pem":
        secret = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    head = _b64(b'{"alg":"HS256","typ":"JWT","kid":"key-1"}')
    text = f"{head}.{TOKEN.split('.')[1]}"
    digest = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    with pytest.raises(GrantForged):
        tokens.verify(f"{text}.{_b64(digest)}", KEYS, NOW)


def test_other_asymmetric_algorithms_are_refused() -> None:
    for algorithm, key in (
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
        ("RS256", rsa.generate_private_key(65537, 2048)),
    ):
        forged = jwt.encode(_claims(), key, algorithm=algorithm, headers={"kid": "key-1"})
        with pytest.raises(GrantForged):
            tokens.verify(forged, KEYS, NOW)


def test_token_of_another_key_under_a_known_name_is_forged() -> None:
    impostor = tokens.SigningKey("key-1", Ed25519PrivateKey.generate())
    with pytest.raises(GrantForged, match="signature"):
        tokens.verify(tokens.mint(GRANT, impostor), KEYS, NOW)


def test_token_of_an_unknown_key_names_it() -> None:
    with pytest.raises(KeyUnknown) as refused:
        tokens.verify(TOKEN, {}, NOW)
    assert refused.value.key_id == "key-1"


def test_header_cannot_bring_its_own_key() -> None:
    own = {"alg": "EdDSA", "kid": "other", "jwk": {"kty": "OKP", "crv": "Ed25519"}}
    with pytest.raises(KeyUnknown):
        tokens.verify(signed(own), KEYS, NOW)


@pytest.mark.parametrize("header", [{"alg": "EdDSA"}, {"alg": "EdDSA", "kid": 7}])
def test_token_without_key_id_is_malformed(header: dict[str, Any]) -> None:
    with pytest.raises(GrantMalformed):
        tokens.verify(signed(header), KEYS, NOW)


def test_grant_expires_after_the_leeway() -> None:
    end = GRANT.expires_at
    assert tokens.verify(TOKEN, KEYS, end + timedelta(seconds=4)) == GRANT
    with pytest.raises(GrantExpired) as refused:
        tokens.verify(TOKEN, KEYS, end + timedelta(seconds=5))
    assert refused.value.expired_at == end


def test_grant_from_the_future_is_refused_beyond_the_leeway() -> None:
    assert tokens.verify(TOKEN, KEYS, NOW - timedelta(seconds=4)) == GRANT
    with pytest.raises(GrantMalformed, match="clocks"):
        tokens.verify(TOKEN, KEYS, NOW - timedelta(seconds=6))


def test_grant_that_lives_too_long_is_refused() -> None:
    eternal = grant(expires_at=NOW + timedelta(hours=24, seconds=1))
    with pytest.raises(GrantMalformed, match="longer"):
        tokens.verify(tokens.mint(eternal, KEY), KEYS, NOW)


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "isobath.gateway"},
        {"aud": ["isobath.connector"]},
        {"iss": "somebody"},
        {"jti": 5},
        {"exp": "soon"},
        {"exp": 1e300},
        {"exp": float("nan")},
        {"iat": -1},
        {"iat": True},
        {"config": []},
        {"operations": "read"},
        {"operations": ["admin"]},
        {"scopes": [1]},
        {"max_rows": 1.5},
        {"max_rows": -1},
        {"max_seconds": "5"},
        {"forbidden_columns": ["salary"]},
    ],
)
def test_signed_claim_of_another_kind_is_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(GrantMalformed):
        tokens.verify(claiming(**change), KEYS, NOW)


@pytest.mark.parametrize("name", sorted(tokens._CLAIMS))
def test_token_that_lacks_a_claim_is_malformed(name: str) -> None:
    claims = _claims()
    del claims[name]
    with pytest.raises(GrantMalformed):
        tokens.verify(signed({"alg": "EdDSA", "kid": "key-1"}, claims), KEYS, NOW)


def test_refusal_never_holds_the_token() -> None:
    for torn in (TOKEN[:-2], TOKEN + "A" * tokens.MAX_TOKEN_CHARS):
        with pytest.raises(GrantError) as refused:
            tokens.verify(torn, KEYS, NOW)
        assert TOKEN[:20] not in str(refused.value)


@pytest.mark.req("S1")
def test_grants_that_it_was_made_of_travel_with_it() -> None:
    narrow = grant(parents=("grant-a", "grant-b"))
    assert tokens.verify(tokens.mint(narrow, KEY), KEYS, NOW) == narrow
