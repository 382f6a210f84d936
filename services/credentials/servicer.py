"""isobath.credentials.v1.CredentialService."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, cast

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from connectorkit.refusals import STATUSES as REFUSALS
from connectorkit.refusals import refusing
from grants.binding import binding, whole_numbers
from grants.claims import Json
from grants.revocations import Kind, Revocation, Revocations
from grants.spending import Amount
from isobath.credentials.v1 import credentials_pb2 as pb
from isobath.credentials.v1 import credentials_pb2_grpc as rpc
from servicekit.secrets import Secret
from servicekit.status import InvalidField, Status, StatusTable
from services.credentials import errors
from services.credentials.audit import Trail, facts_of
from services.credentials.declarations import Declaration, Declarations
from services.credentials.issuer import Issuer, Redeemed
from services.credentials.model_key import ModelKey
from services.credentials.revoking import News
from services.credentials.vaults.port import Change
from services.credentials.wishes import Narrower, Wish, require_source_id

NAME = "isobath.credentials.v1.CredentialService"

STATUSES: StatusTable = {
    **REFUSALS,
    errors.CredentialsFault: Status(grpc.StatusCode.INTERNAL, "INTERNAL"),
    errors.NoModelKey: Status(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    errors.SecretNotFound: Status(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    errors.VersionConflict: Status(grpc.StatusCode.ABORTED, "CONFLICT"),
    errors.VaultUnavailable: Status(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.VaultRefused: Status(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.StoreAway: Status(grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    errors.StoreDamaged: Status(grpc.StatusCode.INTERNAL, "INTERNAL"),
    errors.WatcherTooSlow: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_BUSY"),
}

_KINDS: Mapping[str, Kind] = {
    "grant_id": "grant",
    "source_id": "source",
    "run_id": "run",
    "owner": "owner",
}
_FIELDS: Mapping[Kind, str] = {kind: field for field, kind in _KINDS.items()}


def allow(
    gateways: frozenset[str], connectors: frozenset[str], models: frozenset[str]
) -> dict[str, frozenset[str]]:
    """Method -> identities. Keys and revocations are for everybody who verifies grants, and whoever
    holds a grant may hand on less of it."""
    anyone = frozenset({"*"})
    return {
        "PutSecret": gateways,
        "DeleteSecret": gateways,
        "DescribeSecret": gateways,
        "MintGrant": gateways,
        "RevokeGrant": gateways,
        "RotateKeys": gateways,
        "ListDeclaredSources": gateways,
        "NarrowGrant": anyone,
        "RedeemGrant": connectors,
        "SpendGrant": connectors,
        "ReadModelKey": models,
        "WatchRevocations": anyone,
        "GrantKeys": anyone,
    }


class CredentialServicer(rpc.CredentialServiceServicer):
    def __init__(
        self,
        issuer: Issuer,
        trail: Trail,
        heartbeat_s: float,
        declarations: Declarations,
        model_key: ModelKey,
    ) -> None:
        self._issuer = issuer
        self._trail = trail
        self._heartbeat_s = heartbeat_s
        self._declarations = declarations
        self._model_key = model_key

    async def ReadModelKey(
        self, request: pb.ReadModelKeyRequest, context: Any
    ) -> pb.ReadModelKeyResponse:
        async with self._trail.audited("read_model_key"):
            key = await self._model_key.read()
        return pb.ReadModelKeyResponse(key=key.reveal())

    async def PutSecret(self, request: pb.PutSecretRequest, context: Any) -> pb.PutSecretResponse:
        names = sorted(request.fields)
        facts = {"source_id": request.source_id, "owner": request.owner, "names": names}
        async with self._trail.audited("put_secret", **facts) as told:
            change = _change(request)
            self._issuer.require_role(request.owner, _config(request.config))
            stored = await self._issuer.put(change)
            told["version"] = stored.version
        return pb.PutSecretResponse(version=stored.version, fields_set=stored.fields_set)

    async def DeleteSecret(
        self, request: pb.DeleteSecretRequest, context: Any
    ) -> pb.DeleteSecretResponse:
        async with self._trail.audited("delete_secret", source_id=request.source_id) as told:
            require_source_id(request.source_id)
            told["existed"] = await self._issuer.delete(request.source_id)
        return pb.DeleteSecretResponse(existed=told["existed"])

    async def DescribeSecret(
        self, request: pb.DescribeSecretRequest, context: Any
    ) -> pb.DescribeSecretResponse:
        require_source_id(request.source_id)
        stored = await self._issuer.describe(request.source_id)
        return pb.DescribeSecretResponse(
            version=stored.version,
            fields_set=stored.fields_set,
            updated_at=_timestamp(stored.updated_at),
        )

    async def MintGrant(self, request: pb.MintGrantRequest, context: Any) -> pb.MintGrantResponse:
        async with self._trail.audited(
            "mint_grant", source_id=request.source_id, owner=request.owner
        ) as told:
            minted = await self._issuer.mint(_wish(request))
            told.update(facts_of(minted.grant))
        return pb.MintGrantResponse(
            grant=minted.token,
            grant_id=minted.grant.grant_id,
            expires_at=_timestamp(minted.grant.expires_at),
        )

    async def NarrowGrant(
        self, request: pb.NarrowGrantRequest, context: Any
    ) -> pb.NarrowGrantResponse:
        async with self._trail.audited("narrow_grant") as told:
            with refusing():
                wide = await self._issuer.verify(request.grant)
                told.update(facts_of(wide), of=wide.grant_id)
                minted = await self._issuer.narrow(wide, _narrower(request))
            told.update(facts_of(minted.grant))
        return pb.NarrowGrantResponse(
            grant=minted.token,
            grant_id=minted.grant.grant_id,
            expires_at=_timestamp(minted.grant.expires_at),
        )

    async def ListDeclaredSources(
        self, request: pb.ListDeclaredSourcesRequest, context: Any
    ) -> pb.ListDeclaredSourcesResponse:
        sources = map(_declared, self._declarations.now.values())
        return pb.ListDeclaredSourcesResponse(sources=sources)

    async def RedeemGrant(
        self, request: pb.RedeemGrantRequest, context: Any
    ) -> pb.RedeemGrantResponse:
        async with self._trail.audited("redeem_grant") as told:
            with refusing():
                grant = await self._issuer.verify(request.grant)
                told.update(facts_of(grant))
                redeemed = await self._issuer.redeem(grant)
            told["version"] = redeemed.record.version
            if redeemed.lease:
                told["lease"] = redeemed.lease
        return _redeemed(redeemed)

    async def SpendGrant(
        self, request: pb.SpendGrantRequest, context: Any
    ) -> pb.SpendGrantResponse:
        unused = Amount(request.unused_rows, request.unused_bytes)
        for name in ("rows", "bytes", "unused_rows", "unused_bytes"):
            if getattr(request, name) < 0:
                raise InvalidField(name, f"{name} is below 0")
        async with self._trail.audited("spend_grant") as told:
            with refusing():
                grant = await self._issuer.verify(request.grant)
                told.update(facts_of(grant))
                if unused != Amount():
                    await self._issuer.hand_back(grant, unused)
                    told.update(unused_rows=unused.rows, unused_bytes=unused.bytes)
                    return pb.SpendGrantResponse()
                took = await self._issuer.spend(grant, Amount(request.rows, request.bytes))
            told.update(rows=took.rows, bytes=took.bytes)
        return pb.SpendGrantResponse(rows=took.rows, bytes=took.bytes)

    async def RevokeGrant(
        self, request: pb.RevokeGrantRequest, context: Any
    ) -> pb.RevokeGrantResponse:
        field = request.WhichOneof("what") or ""
        subject = getattr(request, field) if field else ""
        async with self._trail.audited(
            "revoke_grant", what=field, subject=subject, cause=request.cause
        ):
            if not subject:
                # an empty run, say, would be that of every grant without one
                raise InvalidField(field or "what", "say which grant, source, run or owner")
            await self._issuer.revoke(_KINDS[field], subject)
        return pb.RevokeGrantResponse()

    async def WatchRevocations(
        self, request: pb.WatchRevocationsRequest, context: Any
    ) -> AsyncIterator[pb.WatchRevocationsResponse]:
        async with aclosing(self._issuer.ledger.watch(self._heartbeat_s)) as watch:
            async for news in watch:
                for event in _events(news):
                    yield event

    async def GrantKeys(self, request: pb.GrantKeysRequest, context: Any) -> pb.GrantKeysResponse:
        published = await self._issuer.public_keys()
        keys = [
            pb.GrantKey(
                key_id=key.key_id,
                public_key=key.public.public_bytes_raw(),
                not_after=_timestamp(key.not_after) if key.not_after else None,
            )
            for key in published
        ]
        return pb.GrantKeysResponse(keys=keys)

    async def RotateKeys(
        self, request: pb.RotateKeysRequest, context: Any
    ) -> pb.RotateKeysResponse:
        async with self._trail.audited("rotate_keys") as told:
            key_id, resealed = await self._issuer.rotate()
            told.update(key_id=key_id, secrets_reencrypted=resealed)
        return pb.RotateKeysResponse(key_id=key_id, secrets_reencrypted=resealed)


def _redeemed(redeemed: Redeemed) -> pb.RedeemGrantResponse:
    return pb.RedeemGrantResponse(
        fields={name: value.reveal() for name, value in redeemed.fields.items()},
        lease_expires_at=_timestamp(redeemed.lease_ends_at),
        renew_after=_timestamp(redeemed.renew_at) if redeemed.renew_at else None,
        credentials_expire_at=_timestamp(redeemed.expire_at) if redeemed.expire_at else None,
    )


def _change(request: pb.PutSecretRequest) -> Change:
    require_source_id(request.source_id)
    if not request.owner:
        raise InvalidField("owner", "owner is needed")
    if "" in request.fields:
        raise InvalidField("fields", "a secret field has a name")
    if not request.source_type:
        raise InvalidField("source_type", "source_type is needed: a secret is for one of a type")
    expected = request.expected_version if request.HasField("expected_version") else None
    return Change(
        source_id=request.source_id,
        owner=request.owner,
        fields={name: Secret(value) for name, value in request.fields.items()},
        clear=frozenset(request.clear),
        expected_version=expected,
        binding=binding(request.source_type, _config(request.config)),
    )


def _wish(request: pb.MintGrantRequest) -> Wish:
    return Wish(
        owner=request.owner,
        caller=request.caller,
        source_id=request.source_id,
        source_type=request.source_type,
        source_version=request.source_version,
        config=_config(request.config),
        operations=frozenset(request.operations),
        scopes=tuple(request.scopes),
        max_rows=request.max_rows,
        max_bytes=request.max_bytes,
        max_seconds=_seconds(request.max_time),
        run_id=request.run_id,
        thread_id=request.thread_id,
        lifetime=_timedelta(request.lifetime) if request.HasField("lifetime") else None,
    )


def _narrower(request: pb.NarrowGrantRequest) -> Narrower:
    return Narrower(
        operations=frozenset(request.operations),
        scopes=tuple(request.scopes),
        max_rows=request.max_rows,
        max_bytes=request.max_bytes,
        max_seconds=_seconds(request.max_time),
        lifetime=_timedelta(request.lifetime) if request.HasField("lifetime") else None,
    )


def _declared(one: Declaration) -> pb.DeclaredSource:
    entry = one.entry
    return pb.DeclaredSource(
        source_id=entry.source_id,
        owner=entry.owner,
        name=entry.name,
        type=entry.type,
        description=entry.description,
        config=ParseDict(dict(entry.config), Struct()),
        secrets_set=sorted(entry.secrets),
        version=one.version,
        line=entry.line,
    )


def _config(struct: Struct) -> dict[str, Json]:
    return cast("dict[str, Json]", whole_numbers(MessageToDict(struct)))


def _events(news: News) -> list[pb.WatchRevocationsResponse]:
    match news:
        case None:
            return [pb.WatchRevocationsResponse(heartbeat=pb.Heartbeat())]
        case Revocation():
            return [pb.WatchRevocationsResponse(revocation=_revocation(news))]
        case Revocations():
            told = [pb.WatchRevocationsResponse(revocation=_revocation(one)) for one in news]
            return [*told, pb.WatchRevocationsResponse(caught_up=pb.CaughtUp())]


def _revocation(one: Revocation) -> pb.Revocation:
    said = pb.Revocation(at=_timestamp(one.at))
    setattr(said, _FIELDS[one.kind], one.subject)
    return said


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at)
    return stamp


def _timedelta(duration: Duration) -> timedelta:
    return timedelta(seconds=_seconds(duration))


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
