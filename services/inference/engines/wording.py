"""A conversation as an OpenAI-compatible server has to see it.

`native`: the model was trained on the tags and its chat template knows the role `execute`.
`taught`: any other model; a system prompt explains the tags, results come as user messages.
`tools`: a model that calls tools by itself; see `tools.py`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from services.inference.engines import tools
from services.inference.engines.stops import StopFinder
from services.inference.models import Message, Request, Role

Protocol = Literal["native", "taught", "tools"]
Wire = dict[str, Any]

# ids of `</Code>` and `<|im_end|>` in the vocabulary of DeepAnalyze-8B
CODE_END_TOKEN = 151676
TURN_END_TOKEN = 151645

RESULT_HEADING = "# Execute Result"
GO_ON = "Go on."

TEACHING = """\
You are a data analyst who works in steps. You write Python; the platform runs it and shows you \
what it printed. The user's message has the question under `# Instruction` and the files under \
`# Data`; the files lie in the current folder.

Write a sequence of blocks, each opened and closed by its tag, and nothing outside of them:
<Analyze> your plan, your reasoning, and checks of what you found </Analyze>
<Understand> what the data holds: columns, types, samples, what is missing </Understand>
<Code>
```python
one complete Python program
```
</Code>
<Answer> the final report for the user, in Markdown </Answer>

Rules:
- After </Code> stop at once. The platform runs the program and answers with a message that \
begins with `# Execute Result`. Never write such a result yourself, and never guess what a \
program will print.
- Variables are kept from one program to the next. Print what you want to see. pandas, numpy, \
matplotlib and duckdb are there; there is no network. Figures saved as files reach the user.
- If a program fails, read the traceback, correct it and run it again.
- Look at the data before you draw conclusions from it.
- When the numbers are known, write <Answer> with the numbers that were printed, what they mean, \
and their limits. </Answer> ends the work; write it only once.\
"""


def messages(request: Request, protocol: Protocol, *, execute_role: bool = True) -> list[Wire]:
    """`execute_role`: whether the chat template knows it. Of a model that was trained on the tags
    and whose template does not, only these messages change."""
    if protocol == "native":
        told = _plain if execute_role else _taught_one
        return [told(message) for message in request.messages]
    if calls_tools(request, protocol):
        return tools.messages(request.messages)
    return [{"role": "system", "content": _system(request.messages)}, *_taught(request.messages)]


def calls_tools(request: Request, protocol: Protocol) -> bool:
    """Whether the turn comes as calls: not that of plain talk."""
    return protocol == "tools" and request.stop_after_code


def _plain(message: Message) -> Wire:
    return {"role": message.role.value, "content": message.content}


def _system(given: Sequence[Message]) -> str:
    own = [message.content for message in given if message.role is Role.SYSTEM]
    return "\n\n".join((TEACHING, *own))


def _taught(given: Sequence[Message]) -> list[Wire]:
    wire = [_taught_one(message) for message in given if message.role is not Role.SYSTEM]
    if wire and wire[-1]["role"] == Role.ASSISTANT.value:
        # general chat models want a user's message to answer
        wire.append({"role": Role.USER.value, "content": GO_ON})
    return wire


def _taught_one(message: Message) -> Wire:
    if message.role is Role.EXECUTE:
        return {"role": Role.USER.value, "content": f"{RESULT_HEADING}\n{message.content}"}
    return _plain(message)


def parameters(request: Request, protocol: Protocol, finder: StopFinder) -> dict[str, Any]:
    sampling = request.sampling
    calls = calls_tools(request, protocol)
    wanted: Mapping[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": None if calls else list(finder.stops) or None,
        "tools": tools.definitions() if calls else None,
        "extra_body": _native_extras(request) if protocol == "native" else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _native_extras(request: Request) -> dict[str, Any]:
    """The tags are special tokens there, and would be left out of the text by default."""
    ends = [TURN_END_TOKEN] + ([CODE_END_TOKEN] if request.stop_after_code else [])
    return {
        "add_generation_prompt": False,
        "skip_special_tokens": False,
        "stop_token_ids": ends,
    }
