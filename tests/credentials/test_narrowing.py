"""Handing on less of a grant than one holds."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.duration_pb2 import Duration

from grants import tokens
from grants.claims import MAX_PARENTS, Grant
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.channels import calling
from servicekit.status import RemoteFault
from services.credentials.clock import Clock
from tests.credentials.conftest import mint_request, put_request

Stub = rpc.CredentialServiceStub
pytestmark = pytest.mark.req("S1")


async def wide(stub: Stub, **changes: Any) -> str:
    await calling(stub.PutSecret(put_request()))
    return str((await calling(stub.MintGrant(mint_request(**changes)))).grant)


async def narrow(stub: Stub, grant: str, **changes: Any) -> str:
    answer = await calling(stub.NarrowGrant(pb.NarrowGrantRequest(grant=grant, **changes)))
    return str(answer.grant)


async def claims(stub: Stub, token: str) -> Grant:
    keys = (await calling(stub.GrantKeys(pb.GrantKeysRequest()))).keys
    known = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in keys}
    return tokens.verify(token, known, Clock().now())


async def spend(stub: Stub, token: str, rows: int = 0) -> int:
    return int((await calling(stub.SpendGrant(pb.SpendGrantRequest(grant=token, rows=rows)))).rows)


async def refusal(stub: Stub, token: str) -> str:
    with pytest.raises(RemoteFault) as refused:
        await calling(stub.RedeemGrant(pb.RedeemGrantRequest(grant=token)))
    return refused.value.reason


async def test_narrower_grant_is_another_one_that_reaches_less(stub: Stub) -> None:
    whole = await wide(stub, scopes=["sales/*"])
    less = await narrow(
        stub,
        whole,
        operations=["read"],
        scopes=["sales/orders"],
        max_rows=5,
        max_time=Duration(seconds=3),
        lifetime=Duration(seconds=30),
    )
    before, after = await claims(stub, whole), await claims(stub, less)
    assert after.parents == (before.grant_id,)
    assert after.grant_id != before.grant_id
    assert (after.operations, after.scopes) == (frozenset({"read"}), ("sales/orders",))
    assert (after.max_rows, after.max_seconds) == (5, 3.0)
    assert after.issued_at == before.issued_at
    assert after.expires_at < before.expires_at
    assert after.config == before.config
    secret = await calling(stub.RedeemGrant(pb.RedeemGrantRequest(grant=less)))
    assert secret.fields["password"] == "pass-word-1"


@pytest.mark.parametrize(
    "asked",
    [{"operations": ["read", "write"]}, {"scopes": ["other/x"]}, {"scopes": ["**"]}],
    ids=["operation", "scope", "every scope"],
)
async def test_wider_is_refused(stub: Stub, asked: dict[str, Any]) -> None:
    whole = await wide(stub, operations=["read"], scopes=["sales/*"])
    with pytest.raises(RemoteFault) as refused:
        await narrow(stub, whole, **asked)
    assert refused.value.reason == "BEYOND_GRANT"


async def test_longer_and_more_are_cut_to_what_the_wider_has(stub: Stub) -> None:
    whole = await wide(stub, max_rows=10, max_bytes=1000, lifetime=Duration(seconds=60))
    less = await narrow(stub, whole, max_rows=99, max_bytes=9999, lifetime=Duration(seconds=86_400))
    before, after = await claims(stub, whole), await claims(stub, less)
    assert (after.max_rows, after.max_bytes) == (10, 1000)
    assert after.expires_at == before.expires_at


async def test_many_narrower_ones_read_no_more_together_than_the_wider(stub: Stub) -> None:
    whole = await wide(stub, max_rows=10)
    assert await spend(stub, whole, 3) == 3
    first = await narrow(stub, whole, max_rows=5)
    second = await narrow(stub, whole, max_rows=5)
    assert await spend(stub, first) + await spend(stub, second) == 7
    for empty in (first, second, whole):
        with pytest.raises(RemoteFault, match="used up"):
            await spend(stub, empty)
    with pytest.raises(RemoteFault, match="used up"):
        await narrow(stub, whole, max_rows=1)


async def test_narrower_grant_is_void_with_any_of_those_before_it(stub: Stub) -> None:
    whole = await wide(stub)
    middle = await narrow(stub, whole)
    last = await narrow(stub, middle)
    beside = await narrow(stub, whole)
    named = (await claims(stub, middle)).grant_id
    await calling(stub.RevokeGrant(pb.RevokeGrantRequest(grant_id=named)))
    assert [await refusal(stub, each) for each in (middle, last)] == ["GRANT_REVOKED"] * 2
    with pytest.raises(RemoteFault, match="revoked"):
        await narrow(stub, last)
    await calling(stub.RedeemGrant(pb.RedeemGrantRequest(grant=beside)))
    await calling(stub.RevokeGrant(pb.RevokeGrantRequest(run_id="run-1")))
    assert await refusal(stub, beside) == "GRANT_REVOKED"


async def test_narrowing_after_a_revocation_does_not_make_it_newer(stub: Stub) -> None:
    """Grants issued before a revocation are void; one that is narrowed keeps when it was issued."""
    whole = await wide(stub)
    less = await narrow(stub, whole)
    await calling(stub.RevokeGrant(pb.RevokeGrantRequest(source_id="ds-1")))
    assert await refusal(stub, less) == "GRANT_REVOKED"
    assert (await claims(stub, less)).issued_at == (await claims(stub, whole)).issued_at


async def test_narrowing_has_an_end(stub: Stub) -> None:
    grant = await wide(stub)
    for _ in range(MAX_PARENTS):
        grant = await narrow(stub, grant)
    with pytest.raises(RemoteFault, match="at most"):
        await narrow(stub, grant)


@pytest.mark.parametrize(
    "changes",
    [{"max_rows": -1}, {"lifetime": Duration(seconds=-1)}, {"scopes": ["\0"]}],
    ids=["rows", "lifetime", "scope"],
)
async def test_nonsense_is_told(stub: Stub, changes: dict[str, Any]) -> None:
    whole = await wide(stub)
    with pytest.raises(RemoteFault) as refused:
        await narrow(stub, whole, **changes)
    assert refused.value.reason == "INVALID_FIELD"


async def test_forged_grant_is_not_narrowed(stub: Stub) -> None:
    whole = await wide(stub)
    head, body, signature = whole.split(".")
    with pytest.raises(RemoteFault) as refused:
        await narrow(stub, f"{head}.{body}.{signature[::-1]}")
    assert refused.value.reason == "GRANT_INVALID"
