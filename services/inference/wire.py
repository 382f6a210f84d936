"""Contract messages to our nouns and back."""

from collections.abc import Iterable, Sequence

from google.protobuf import duration_pb2

from isobath.inference.v1 import inference_pb2 as pb
from servicekit.status import InvalidField, Outcome
from servicekit.tracing import TRACEPARENT, TRACESTATE
from services.inference.models import (
    Completion,
    Delta,
    Event,
    Finish,
    Load,
    Message,
    Model,
    Request,
    Role,
    Sampling,
)

_ROLES = {
    pb.ROLE_SYSTEM: Role.SYSTEM,
    pb.ROLE_USER: Role.USER,
    pb.ROLE_ASSISTANT: Role.ASSISTANT,
    pb.ROLE_EXECUTE: Role.EXECUTE,
}
_DEFAULT = Sampling()
_FINISHES = {
    Finish.STOP: pb.FINISH_REASON_STOP,
    Finish.LENGTH: pb.FINISH_REASON_LENGTH,
    Finish.ABORT: pb.FINISH_REASON_ABORT,
}


def request(message: pb.GenerateRequest) -> Request:
    """Raises InvalidField."""
    return Request(
        messages=conversation(message.messages),
        model=message.model,
        sampling=_sampling(message.sampling),
        stop_after_code=message.stop_after_code,
        stop=tuple(stop for stop in message.stop if stop),
        owner=message.owner,
        priority=message.priority,
    )


def trace(message: pb.GenerateManyRequest) -> dict[str, str]:
    """Headers of the trace that a start belongs to; none where it has none."""
    if not message.traceparent:
        return {}
    return {TRACEPARENT: message.traceparent, TRACESTATE: message.tracestate}


def conversation(messages: Iterable[pb.Message]) -> Sequence[Message]:
    found = tuple(_message(index, message) for index, message in enumerate(messages))
    if not found:
        raise InvalidField("messages", "the conversation has no message")
    return found


def _message(index: int, message: pb.Message) -> Message:
    role = _ROLES.get(message.role)
    if role is None:
        raise InvalidField(f"messages[{index}].role", "the message does not say who wrote it")
    return Message(role, message.content)


def _sampling(given: pb.Sampling) -> Sampling:
    temperature = given.temperature if given.HasField("temperature") else _DEFAULT.temperature
    top_p = given.top_p if given.HasField("top_p") else _DEFAULT.top_p
    max_tokens = given.max_tokens if given.HasField("max_tokens") else None
    if not 0 <= temperature <= 2:
        raise InvalidField("sampling.temperature", "the temperature is from 0 to 2")
    if not 0 < top_p <= 1:
        raise InvalidField("sampling.top_p", "top_p is above 0 and at most 1")
    if max_tokens is not None and max_tokens < 1:
        raise InvalidField("sampling.max_tokens", "max_tokens is at least 1")
    seed = given.seed if given.HasField("seed") else None
    return Sampling(temperature, top_p, max_tokens, seed)


def delta(event: Delta) -> pb.Delta:
    return pb.Delta(text=event.text, tokens=event.tokens)


def completion(event: Completion) -> pb.Completion:
    usage = event.usage
    return pb.Completion(
        finish_reason=_FINISHES[event.finish],
        matched_stop=event.matched_stop,
        usage=pb.Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            estimated=usage.estimated,
        ),
    )


def response(event: Event) -> pb.GenerateResponse:
    if isinstance(event, Delta):
        return pb.GenerateResponse(delta=delta(event))
    return pb.GenerateResponse(completion=completion(event))


def failure(shown: Outcome) -> pb.Failure:
    wait = shown.retry_after_s
    return pb.Failure(
        code=shown.code.value[0],
        reason=shown.reason,
        message=shown.message,
        metadata=dict(shown.fields),
        retry_after=None if wait is None else _duration(wait),
    )


def _duration(seconds: float) -> duration_pb2.Duration:
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))


def model(found: Model, *, is_default: bool = False) -> pb.Model:
    return pb.Model(
        id=found.id,
        engine=found.engine,
        is_default=is_default,
        context_tokens=found.context_tokens,
        is_adapter=found.is_adapter,
        base_model=found.base_model,
        description=found.description,
    )


def load(found: Load) -> pb.LoadResponse:
    return pb.LoadResponse(
        running=found.running,
        waiting=found.waiting,
        cache_used_fraction=found.cache_used_fraction,
        slots=found.slots,
    )
