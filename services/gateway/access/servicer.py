"""isobath.analyst.v1.AccessService: keys, and what was used."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from isobath.analyst.v1 import access_pb2 as pb
from isobath.analyst.v1 import access_pb2_grpc as rpc
from services.gateway.access.keys import Key, KeyChange, KeyDraft
from services.gateway.access.quotas import Quota
from services.gateway.access.scopes import Scope
from services.gateway.access.usage import Line, Used, total
from services.gateway.authenticated import Authenticated, Context


class AccessServicer(Authenticated, rpc.AccessServiceServicer):
    """Decode, one call, encode."""

    async def GetCaller(
        self, request: pb.GetCallerRequest, context: Context
    ) -> pb.GetCallerResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        return pb.GetCallerResponse(
            owner=caller.owner,
            key_id=caller.key_id,
            scope=_scope(caller.scope),
            teams=caller.teams,
            quota=pb.Quota(**caller.quota.as_dict()),
            today=_usage(await self.gateway.usage.of_today(caller)),
        )

    async def CreateKey(
        self, request: pb.CreateKeyRequest, context: Context
    ) -> pb.CreateKeyResponse:
        caller = await self.caller(context, Scope.ADMIN)
        lifetime = request.lifetime.ToTimedelta().total_seconds()
        draft = KeyDraft(
            owner=request.owner or caller.owner,
            name=request.name,
            scope=Scope(request.scope or Scope.ANALYST),
            teams=tuple(request.teams),
            quota=_quota(request.quota),
            lifetime_s=lifetime if request.HasField("lifetime") else None,
        )
        made, secret = await self.gateway.keys.create(draft)
        return pb.CreateKeyResponse(key=_key(made), secret=secret)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        page = await self.gateway.keys.page(
            None if caller.is_admin else caller.owner,
            request.page_size,
            request.page_token,
            ended=request.include_ended,
        )
        keys = [_key(each) for each in page.items]
        return pb.ListKeysResponse(keys=keys, next_page_token=page.next_page_token)

    async def UpdateKey(
        self, request: pb.UpdateKeyRequest, context: Context
    ) -> pb.UpdateKeyResponse:
        await self.caller(context, Scope.ADMIN)
        change = KeyChange(
            name=request.name if request.HasField("name") else None,
            teams=tuple(request.teams.names) if request.HasField("teams") else None,
            quota=_quota(request.quota) if request.HasField("quota") else None,
        )
        return pb.UpdateKeyResponse(key=_key(await self.gateway.keys.update(request.id, change)))

    async def RevokeKey(
        self, request: pb.RevokeKeyRequest, context: Context
    ) -> pb.RevokeKeyResponse:
        caller = await self.caller(context, Scope.READ_ONLY)
        return pb.RevokeKeyResponse(key=_key(await self.gateway.revoke_key(caller, request.id)))

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        caller = await self.caller(context, Scope.ADMIN if request.everybody else Scope.READ_ONLY)
        owner = None if request.everybody else caller.owner
        since = getattr(request, "from")
        lines = await self.gateway.usage.lines(owner, since, request.to)
        return pb.GetUsageResponse(
            lines=[_line(each) for each in lines], total=_usage(total(lines))
        )


def _scope(scope: Scope) -> str:
    return f"SCOPE_{scope.name}"


def _quota(given: pb.Quota) -> Quota:
    return Quota(**{field.name: getattr(given, field.name) for field in pb.Quota.DESCRIPTOR.fields})


def _usage(used: Used) -> pb.Usage:
    run_time = Duration()
    run_time.FromMilliseconds(used.run_ms)
    return pb.Usage(
        requests=used.requests,
        runs=used.runs,
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        rows=used.rows,
        bytes=used.bytes,
        run_time=run_time,
    )


def _line(line: Line) -> pb.UsageLine:
    return pb.UsageLine(day=line.day, owner=line.owner, key_id=line.key_id, usage=_usage(line.used))


def _key(key: Key) -> pb.ApiKey:
    return pb.ApiKey(
        id=key.id,
        owner=key.owner,
        name=key.name,
        scope=_scope(key.scope),
        teams=key.teams,
        quota=pb.Quota(**key.quota.as_dict()),
        created_at=_time(key.created_ms),
        last_used_at=_time(key.last_used_ms),
        expires_at=_time(key.expires_ms),
        revoked_at=_time(key.revoked_ms),
    )


def _time(ms: int | None) -> Timestamp | None:
    if ms is None:
        return None
    stamp = Timestamp()
    stamp.FromMilliseconds(ms)
    return stamp
