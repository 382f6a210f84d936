"""isobath.inference.v1 over an engine: decode, one call, encode."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc

from isobath.inference.v1 import inference_pb2 as pb
from isobath.inference.v1 import inference_pb2_grpc as rpc
from servicekit import context
from servicekit.interceptors import Allow
from servicekit.status import Outcome, Status, StatusTable, outcome
from services.inference import errors, wire
from services.inference.engines.port import Adapters, Engine
from services.inference.models import Event, Request
from services.inference.multiplex import Cancelled, Multiplexer

_METHODS = pb.DESCRIPTOR.services_by_name["InferenceService"].methods_by_name
# who serves adapters, and looks at what they answer
_OPERATORS = dict.fromkeys(
    ("Generate", "ListModels", "LoadAdapter", "UnloadAdapter"), frozenset({"gateway", "operator"})
)
ALLOW: Allow = dict.fromkeys(_METHODS, frozenset({"gateway"})) | _OPERATORS
SERVICE = str(pb.DESCRIPTOR.services_by_name["InferenceService"].full_name)

_Code = grpc.StatusCode
STATUSES: StatusTable = {
    errors.ModelNotFound: Status(_Code.NOT_FOUND, "NOT_FOUND"),
    errors.ModelUnavailable: Status(_Code.UNAVAILABLE, "MODEL_UNAVAILABLE"),
    errors.ModelRefused: Status(_Code.FAILED_PRECONDITION, "MODEL_REFUSED"),
    errors.ContextTooLong: Status(_Code.INVALID_ARGUMENT, "CONTEXT_TOO_LONG"),
    errors.TooBusy: Status(_Code.RESOURCE_EXHAUSTED, "TOO_BUSY"),
    errors.AdapterNotFound: Status(_Code.NOT_FOUND, "PATH_NOT_FOUND"),
    errors.AdapterUnfit: Status(_Code.FAILED_PRECONDITION, "ADAPTER_UNFIT"),
    errors.AdapterConflict: Status(_Code.ABORTED, "CONFLICT"),
    Cancelled: Status(_Code.CANCELLED, "CANCELLED"),
}


def explain(error: BaseException) -> Outcome:
    return outcome(error, STATUSES, context.request_id())


class InferenceServicer(rpc.InferenceServiceServicer):
    """`adapters` is the engine again, where it can serve adapters. `draining`: streams of many
    answers end with those that run."""

    def __init__(
        self, engine: Engine, draining: asyncio.Event, adapters: Adapters | None = None
    ) -> None:
        self._engine = engine
        self._draining = draining
        self._adapters = adapters

    async def Generate(self, request: pb.GenerateRequest, _: Any) -> AsyncIterator[Any]:
        async with aclosing(self._generate(wire.request(request))) as events:
            async for event in events:
                yield wire.response(event)

    async def GenerateMany(
        self, requests: AsyncIterator[pb.GenerateManyRequest], _: Any
    ) -> AsyncIterator[pb.GenerateManyResponse]:
        answers = Multiplexer(self._generate, explain, self._draining).responses(requests)
        async with aclosing(answers) as responses:
            async for response in responses:
                yield response

    async def CountTokens(self, request: pb.CountTokensRequest, _: Any) -> pb.CountTokensResponse:
        self._check_model(request.model)
        messages = wire.conversation(request.messages)
        found = await self._engine.count_tokens(request.model, messages)
        return pb.CountTokensResponse(tokens=found.tokens, estimated=found.estimated)

    async def ListModels(self, request: pb.ListModelsRequest, _: Any) -> pb.ListModelsResponse:
        found = self._engine.models()
        models = [wire.model(model, is_default=n == 0) for n, model in enumerate(found)]
        return pb.ListModelsResponse(models=models)

    async def LoadAdapter(self, request: pb.LoadAdapterRequest, _: Any) -> pb.LoadAdapterResponse:
        model = await self._able().load_adapter(request.name, Path(request.path))
        return pb.LoadAdapterResponse(model=wire.model(model))

    async def UnloadAdapter(
        self, request: pb.UnloadAdapterRequest, _: Any
    ) -> pb.UnloadAdapterResponse:
        existed = await self._able().unload_adapter(request.name)
        return pb.UnloadAdapterResponse(existed=existed)

    async def Load(self, request: pb.LoadRequest, _: Any) -> pb.LoadResponse:
        return wire.load(self._engine.load())

    def _generate(self, request: Request) -> AsyncGenerator[Event, None]:
        self._check_model(request.model)
        return self._engine.generate(request)

    def _check_model(self, name: str) -> None:
        if name and name not in {model.id for model in self._engine.models()}:
            raise errors.ModelNotFound(name)

    def _able(self) -> Adapters:
        if self._adapters is None:
            raise errors.AdaptersUnsupported(self._engine.models()[0].engine)
        return self._adapters
