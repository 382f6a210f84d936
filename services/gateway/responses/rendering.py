"""Runs in the shapes of OpenAI's Responses API: events and whole responses. Pure.

Reasoning becomes items of type `reasoning`, each program a `code_interpreter_call` with what it
printed, the answer a `message` whose text ends with links to the files. What a run keeps is its
events, so that the same events give the same response later.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as analyst
from services.gateway.openai import files_json, usage_json, written_json

PREFIX = "resp_"
_REASONING = frozenset({analyst.BLOCK_KIND_ANALYZE, analyst.BLOCK_KIND_UNDERSTAND})
_STATUSES = {"ok": "completed", "interrupted": "incomplete"}


class Responding:
    """A run's events as the events of a streamed response. `response` is how it stands so far."""

    def __init__(
        self,
        run_id: str,
        model: str,
        *,
        created: int,
        echoed: Mapping[str, Any] | None = None,
    ) -> None:
        self._sequence = 0
        self._output: list[dict[str, Any]] = []
        # the item that is written to now: the last of the output
        self._open = ""
        # white space that ends the text so far: told once more text comes
        self._held = ""
        self._run_id = run_id
        self._plain = self._answered = False
        self.response: dict[str, Any] = {
            "id": PREFIX + run_id,
            "object": "response",
            "created_at": created,
            "status": "queued",
            "model": model,
            "output": self._output,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "previous_response_id": None,
            "parallel_tool_calls": False,
            "temperature": None,
            "top_p": None,
            "tool_choice": "auto",
            "tools": [],
            "text": {"format": {"type": "text"}},
            "usage": None,
            **(echoed or {}),
        }

    def of(self, event: analyst.Event) -> list[dict[str, Any]]:
        """The events that one of the run's becomes; none for what the shapes have no place for."""
        handler = getattr(self, f"_{event.WhichOneof('event')}", None)
        return list(handler(getattr(event, str(event.WhichOneof("event"))))) if handler else []

    # Each gives what happens, in order

    def _started(self, started: analyst.RunStarted) -> Iterator[dict[str, Any]]:
        self._plain = not started.thread_id
        self.response["thread_id"] = started.thread_id
        if started.thread_id:
            self.response["conversation"] = {"id": started.thread_id}
        self.response["status"] = "in_progress"
        yield self._told("response.created", response=self._snapshot())
        yield self._told("response.in_progress", response=self._snapshot())

    def _block_opened(self, block: analyst.BlockOpened) -> Iterator[dict[str, Any]]:
        # the answer's own links come at its end
        if block.kind != analyst.BLOCK_KIND_FILE:
            yield from self._close()

    def _block_text(self, block: analyst.BlockText) -> Iterator[dict[str, Any]]:
        kind = block.kind
        if kind == analyst.BLOCK_KIND_ANSWER or (self._plain and not kind):
            yield from self._write("message", block.text)
        elif kind in _REASONING or not kind:
            yield from self._write("reasoning", block.text)

    def _block_closed(self, block: analyst.BlockClosed) -> Iterator[dict[str, Any]]:
        if block.kind in _REASONING:
            yield from self._close()

    def _program_started(self, program: analyst.ProgramStarted) -> Iterator[dict[str, Any]]:
        yield from self._close()
        item = self._item(
            "code_interpreter_call",
            "ci",
            container_id=self._run_id,
            code="",
            outputs=[],
            status="in_progress",
        )
        yield self._added(item)
        call = "response.code_interpreter_call"
        yield self._at(f"{call}.in_progress")
        item["code"] = program.code
        yield self._at(f"{call}_code.delta", delta=program.code)
        yield self._at(f"{call}_code.done", code=program.code)
        item["status"] = "interpreting"
        yield self._at(f"{call}.interpreting")

    def _program_output(self, output: analyst.ProgramOutput) -> Iterator[dict[str, Any]]:
        outputs = self._output[-1]["outputs"]
        if outputs and outputs[-1]["type"] == "logs":
            outputs[-1]["logs"] += output.text
        else:
            outputs.append({"type": "logs", "logs": output.text})
        return iter(())

    def _figure(self, figure: analyst.Figure) -> Iterator[dict[str, Any]]:
        url = figure.url or f"/v1/files/{figure.file_id}/content"
        self._output[-1]["outputs"].append({"type": "image", "url": url})
        return iter(())

    def _program_finished(self, program: analyst.ProgramFinished) -> Iterator[dict[str, Any]]:
        self._output[-1]["status"] = _STATUSES.get(program.outcome, "failed")
        yield self._at("response.code_interpreter_call.completed")
        yield self._done()

    def _completed(self, completed: analyst.RunCompleted) -> Iterator[dict[str, Any]]:
        if not self._answered:
            yield from self._write("message", completed.answer)
        yield from self._linked(completed.files)
        yield from self._close()
        whole = completed.finish == "answer"
        self.response["status"] = "completed" if whole else "incomplete"
        if not whole:
            reason = "max_output_tokens"
            self.response["incomplete_details"] = {"reason": reason, "bound": completed.finish}
        self.response["generated_files"] = files_json(completed.files)
        self.response["written_files"] = written_json(completed.written)
        yield self._end(f"response.{self.response['status']}", completed.usage)

    def _failed(self, failed: analyst.RunFailed) -> Iterator[dict[str, Any]]:
        yield from self._give_up()
        self.response["status"] = "failed"
        self.response["error"] = {
            "code": "server_error",
            "message": failed.message,
            "reason": failed.reason,
            "remedy": failed.remedy,
            "details": dict(failed.metadata),
        }
        yield self._end("response.failed", failed.usage)

    def _cancelled(self, cancelled: analyst.RunCancelled) -> Iterator[dict[str, Any]]:
        yield from self._give_up()
        self.response["status"] = "cancelled"
        yield self._end("response.incomplete", cancelled.usage)

    # Items

    def _write(self, kind: str, text: str) -> Iterator[dict[str, Any]]:
        """Text of an item, which is opened by its first word."""
        if self._open != kind:
            text = text.lstrip()
            if not text:
                return
            yield from self._close()
            yield from self._begin(kind)
        text = self._held + text
        told = text.rstrip()
        self._held = text[len(told) :]
        if told:
            yield from self._say(told)

    def _begin(self, kind: str) -> Iterator[dict[str, Any]]:
        self._open = kind
        if kind == "reasoning":
            item = self._item(kind, "rs", summary=[], status="in_progress")
            yield self._added(item)
            item["summary"].append({"type": "summary_text", "text": ""})
            part = dict(item["summary"][0])
            yield self._at("response.reasoning_summary_part.added", part=part, summary_index=0)
            return
        self._answered = True
        item = self._item(kind, "msg", role="assistant", content=[], status="in_progress")
        yield self._added(item)
        item["content"].append({"type": "output_text", "text": "", "annotations": []})
        part = {**item["content"][0], "annotations": []}
        yield self._at("response.content_part.added", part=part, content_index=0)

    def _say(self, text: str) -> Iterator[dict[str, Any]]:
        item = self._output[-1]
        if self._open == "reasoning":
            item["summary"][0]["text"] += text
            delta = "response.reasoning_summary_text.delta"
            yield self._at(delta, delta=text, summary_index=0)
        else:
            item["content"][0]["text"] += text
            yield self._at("response.output_text.delta", delta=text, content_index=0, logprobs=[])

    def _linked(self, files: Sequence[analyst.FileInfo]) -> Iterator[dict[str, Any]]:
        """Files as links at the end of the answer, for clients that know nothing else of them."""
        if not files:
            return
        if self._open != "message":
            yield from self._close()
            yield from self._begin("message")
        self._held = ""
        part = self._output[-1]["content"][0]
        yield from self._say("\n\nFiles:" if part["text"] else "Files:")
        for file in files:
            yield from self._say("\n- ")
            start, link = len(part["text"]), f"[{file.name}]({file.url})"
            yield from self._say(link)
            annotation = {
                "type": "container_file_citation",
                "container_id": self._run_id,
                "file_id": file.id,
                "filename": file.name,
                "start_index": start,
                "end_index": start + len(link),
            }
            number = len(part["annotations"])
            part["annotations"].append(annotation)
            yield self._at(
                "response.output_text.annotation.added",
                annotation=annotation,
                annotation_index=number,
                content_index=0,
            )

    def _close(self, status: str = "completed") -> Iterator[dict[str, Any]]:
        """Of text; a program ends by itself."""
        kind, self._open, self._held = self._open, "", ""
        if not kind:
            return
        item = self._output[-1]
        item["status"] = status
        if kind == "reasoning":
            part = dict(item["summary"][0])
            told = {"text": part["text"], "summary_index": 0}
            yield self._at("response.reasoning_summary_text.done", **told)
            yield self._at("response.reasoning_summary_part.done", part=part, summary_index=0)
        else:
            part = dict(item["content"][0])
            told = {"text": part["text"], "content_index": 0, "logprobs": []}
            yield self._at("response.output_text.done", **told)
            yield self._at("response.content_part.done", part=part, content_index=0)
        yield self._done()

    def _give_up(self) -> Iterator[dict[str, Any]]:
        """Whatever was being written stays as it is."""
        yield from self._close("incomplete")
        if self._output and self._output[-1]["status"] in ("in_progress", "interpreting"):
            self._output[-1]["status"] = "incomplete"
            yield self._done()

    def _item(self, kind: str, short: str, **fields: Any) -> dict[str, Any]:
        id = f"{short}_{self._run_id}_{len(self._output)}"
        item = {"id": id, "type": kind, **fields}
        self._output.append(item)
        return item

    # Events

    def _added(self, item: Mapping[str, Any]) -> dict[str, Any]:
        index = len(self._output) - 1
        return self._told("response.output_item.added", item=_copy(item), output_index=index)

    def _done(self) -> dict[str, Any]:
        index = len(self._output) - 1
        item = _copy(self._output[-1])
        return self._told("response.output_item.done", item=item, output_index=index)

    def _at(self, kind: str, **fields: Any) -> dict[str, Any]:
        """About the item that is written to now."""
        index = len(self._output) - 1
        return self._told(kind, item_id=self._output[-1]["id"], output_index=index, **fields)

    def _end(self, kind: str, usage: analyst.RunUsage) -> dict[str, Any]:
        counted = usage_json(usage)
        self.response["usage"] = {
            "input_tokens": counted.pop("prompt_tokens"),
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": counted.pop("completion_tokens"),
            "output_tokens_details": {"reasoning_tokens": 0},
            **counted,
        }
        return self._told(kind, response=self._snapshot())

    def _told(self, kind: str, **fields: Any) -> dict[str, Any]:
        number, self._sequence = self._sequence, self._sequence + 1
        return {"type": kind, "sequence_number": number, **fields}

    def _snapshot(self) -> dict[str, Any]:
        return {**self.response, "output": [_copy(item) for item in self._output]}


def _copy(item: Mapping[str, Any]) -> dict[str, Any]:
    """As it is now: the item goes on changing."""
    return {
        name: [dict(each) for each in value] if isinstance(value, list) else value
        for name, value in item.items()
    }
