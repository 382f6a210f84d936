"""Small pure translations between the gateway's values and the contracts."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration

from isobath.analyst.v1 import analyst_pb2 as analyst
from isobath.connector.v1 import connector_pb2 as connector
from isobath.inference.v1 import inference_pb2 as inference
from isobath.sandbox.v1 import sandbox_pb2 as sandbox
from servicekit.status import InvalidField
from services.gateway.conversation import Generate, Message, Sampling
from services.gateway.fields import LARGEST
from services.gateway.plan import Selection

ROLES = {
    "system": inference.ROLE_SYSTEM,
    "user": inference.ROLE_USER,
    "assistant": inference.ROLE_ASSISTANT,
    "execute": inference.ROLE_EXECUTE,
}


def query(sql: str, parameters: Sequence[Any]) -> connector.Query:
    """A query with its bound values. Raises `InvalidField` for a value that cannot be bound."""
    return connector.Query(sql=sql, parameters=[_parameter(each) for each in parameters])


def _parameter(value: Any) -> connector.Parameter:
    if value is None:
        return connector.Parameter()
    if isinstance(value, bool):
        return connector.Parameter(boolean=value)
    if isinstance(value, int) and abs(value) <= LARGEST:
        return connector.Parameter(integer=value)
    if isinstance(value, float):
        return connector.Parameter(number=value)
    if isinstance(value, str):
        return connector.Parameter(text=value)
    raise InvalidField("params", "params takes strings, numbers of 64 bits, booleans and null")


def values(query: connector.Query) -> list[Any]:
    """What a query is bound to, for JSON; bytes as hexadecimal digits."""
    told = (getattr(each, each.WhichOneof("value") or "", None) for each in query.parameters)
    return [each.hex() if isinstance(each, bytes) else each for each in told]


def limits(selection: Selection, *, default_rows: int) -> connector.Limits:
    """Bounds of one fetch; where the request names no row limit, the default; 0 lifts it."""
    timeout = Duration()
    if selection.timeout_s:
        timeout.FromMilliseconds(int(selection.timeout_s * 1000))
    return connector.Limits(
        max_rows=default_rows if selection.max_rows is None else selection.max_rows,
        max_bytes=selection.max_bytes,
        timeout=timeout if selection.timeout_s else None,
    )


def generate_request(
    model: str, owner: str, sampling: Sampling, action: Generate, *, stop_after_code: bool
) -> inference.GenerateRequest:
    """Ask for the next turn."""
    return inference.GenerateRequest(
        model=model,
        messages=conversation(action.messages),
        sampling=inference.Sampling(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            max_tokens=action.max_tokens,
        ),
        stop=sampling.stop,
        stop_after_code=stop_after_code,
        owner=owner,
    )


def conversation(messages: Iterable[Message]) -> list[inference.Message]:
    """As the model's service takes it."""
    return [inference.Message(role=ROLES[each.role], content=each.content) for each in messages]


_CAUSES = {
    "oom": "out of memory",
    "cpu": "out of CPU time",
    "disk": "too much in the workspace",
    "processes": "too many processes",
    "drain": "its sandbox was stopped",
}


def died_of(finished: sandbox.Finished) -> str:
    """A kernel's end in words."""
    return _CAUSES.get(finished.cause, finished.cause)


def ending(finished: sandbox.Finished, seconds: float) -> str:
    """What the model is told of a program that did not reach its end by itself."""
    if finished.outcome == sandbox.OUTCOME_TIMEOUT:
        return f"\n[Timeout]: execution exceeded {seconds:.0f} seconds\n"
    if finished.outcome == sandbox.OUTCOME_DIED:
        return (
            f"\n[Died]: the kernel ended ({died_of(finished)}); variables are lost, "
            "files are still there\n"
        )
    if finished.outcome == sandbox.OUTCOME_INTERRUPTED:
        return "\n[Interrupted]\n"
    return ""


def file_links(files: Sequence[analyst.FileInfo]) -> str:
    """Markdown links; pictures inline."""
    lines = [
        f"{'!' if file.media_type.startswith('image/') else '- '}[{file.name}]({file.url})"
        for file in files
    ]
    return "\n" + "\n".join(lines) + "\n"
