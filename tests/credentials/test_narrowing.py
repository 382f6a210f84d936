"""Handing on less of a grant than one holds."""

import asyncio
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st

from grants import tokens
from grants.claims import MAX_PARENTS, Grant
from grants.errors import GrantError
from grants.scope import permits
from grants.spending import Amount
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.channels import calling
from servicekit.status import RemoteFault
from services.credentials import revoking, signing, store
from services.credentials.clock import Clock
from services.credentials.home import Home
from services.credentials.issuer import Issuer, Terms
from services.credentials.vaults.embedded import EmbeddedVault
from services.credentials.wishes import Narrower, Wish
from tests.credentials.conftest import mint_request, put_request

Stub = rpc.CredentialServiceStub
pytestmark = pytest.mark.req("S1")
FIRST = Wish(
    owner="owner-1",
    caller="key-1",
    source_id="ds-1",
    source_type="postgresql",
    source_version=1,
    config={"host": "db"},
    operations=frozenset({"list", "read"}),
    scopes=("a/", "b/"),
    max_rows=20,
    max_bytes=20,
    max_seconds=0,
    run_id="",
    thread_id="",
    lifetime=None,
)


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


narrowers = st.builds(
    Narrower,
    operations=st.frozensets(st.sampled_from(["list", "read", "write"])),
    scopes=st.lists(st.sampled_from(["a/", "a/b/", "b/", "**"]), max_size=2).map(tuple),
    max_rows=st.integers(0, 12),
    max_bytes=st.integers(0, 12),
    max_seconds=st.floats(0, 9),
    lifetime=st.none() | st.integers(1, 900).map(lambda s: timedelta(seconds=s)),
)
acts = st.lists(
    st.tuples(st.sampled_from(["narrow", "spend", "revoke"]), st.integers(0, 20), narrowers),
    max_size=12,
)


@given(acts)
@settings(max_examples=30, deadline=None)
def test_no_sequence_of_acts_widens_what_was_granted_first(
    acts: list[tuple[str, int, Narrower]],
) -> None:
    asyncio.run(_tried(acts))


async def _tried(acts: list[tuple[str, int, Narrower]]) -> None:
    """All that is read under any grant of the tree is together no more than the first one's."""
    with TemporaryDirectory() as folder:
        async with store.opened(Home(Path(folder) / "home")) as kept:
            clock = Clock()
            issuer = Issuer(
                EmbeddedVault(kept),
                kept,
                signing.Keys(kept, await signing.load(kept, clock.now())),
                await revoking.load(kept, clock.now()),
                clock,
                Terms(timedelta(seconds=900), timedelta()),
            )
            first = (await issuer.mint(FIRST)).grant
            tree, read, void = [first], Amount(), set[str]()
            for act, place, narrower in acts:
                one = tree[place % len(tree)]
                dead = void & {one.grant_id, *one.parents}
                try:
                    if act == "revoke":
                        await issuer.revoke("grant", one.grant_id)
                        void.add(one.grant_id)
                    elif act == "narrow":
                        tree.append((await issuer.narrow(one, narrower)).grant)
                        _require_inside(tree[-1], one)
                    else:
                        took = await issuer.spend(one, Amount(3, 3))
                        read = Amount(read.rows + took.rows, read.bytes + took.bytes)
                except GrantError:
                    continue
                assert act == "revoke" or not dead
            assert read.rows <= first.max_rows
            assert read.bytes <= first.max_bytes


def _require_inside(less: Grant, more: Grant) -> None:
    assert less.operations <= more.operations
    assert 0 < less.max_rows <= more.max_rows
    assert 0 < less.max_bytes <= more.max_bytes
    assert less.expires_at <= more.expires_at
    assert less.issued_at == more.issued_at
    for operation in less.operations:
        for path in ("a/", "a/b/", "a/x", "b/", "c", "**"):
            assert permits(more, operation, path) or not permits(less, operation, path)
