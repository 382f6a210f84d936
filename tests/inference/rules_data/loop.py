"""Runs the analyst's turns for real: its programs in a workspace, their output back to it."""

import contextlib
import io
import json
import os
import re
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt

from services.inference.engines.rules import respond

matplotlib.use("Agg")
MAX_TURNS = 8
_CODE = re.compile(r"<Code>\s*```python\n(.*?)\n```\s*</Code>\s*\Z", re.DOTALL)
_ANSWER = re.compile(r"<Answer>\n(.*)\n</Answer>\s*\Z", re.DOTALL)


@dataclass(frozen=True)
class Message:
    role: str
    content: str


@dataclass
class Run:
    """What a run came to: its answer, its programs, what they printed."""

    answer: str = ""
    programs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    breaks: int = 0

    @property
    def failed(self) -> list[str]:
        return [output for output in self.outputs if "Traceback" in output]


def prompt(question: str, workspace: Path) -> str:
    """The last user message as the platform writes it."""
    files = sorted(p for p in workspace.rglob("*") if p.is_file())
    names = [path.relative_to(workspace).as_posix() for path in files]
    entries = "\n\n".join(
        f"File {number}:\n{json.dumps({'name': name, 'size': '1.0KB'}, indent=4, ensure_ascii=False)}"
        for number, name in enumerate(names, 1)
    )
    return f"# Instruction\n{question}" + (f"\n\n# Data\n{entries}" if entries else "")


def code_of(turn: str) -> str | None:
    """The program of a turn, if it ends in one."""
    match = _CODE.search(turn)
    return match[1] if match else None


def execute(program: str, workspace: Path) -> str:
    """What a program prints when it runs in the workspace, its traceback included."""
    out = io.StringIO()
    before = Path.cwd()
    os.chdir(workspace)
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
    except Exception:
        out.write(traceback.format_exc())
    finally:
        os.chdir(before)
        plt.close("all")
    return out.getvalue()


def ask(
    question: str, workspace: Path, *, history: list[Message] | None = None, wreck: int = -1
) -> Run:
    """One question, to its answer. The program numbered `wreck` fails instead of running."""
    run = Run(messages=[*(history or []), Message("user", prompt(question, workspace))])
    for turn in range(MAX_TURNS):
        text = respond(run.messages)
        run.messages.append(Message("assistant", text))
        program = code_of(text)
        if program is None:
            match = _ANSWER.search(text)
            assert match, text
            run.answer = match[1]
            return run
        assert "<Answer>" not in text
        output = (
            "Traceback (most recent call last):\nValueError: wrecked"
            if turn == wreck
            else execute(program, workspace)
        )
        run.programs.append(program)
        run.outputs.append(output)
        run.messages.append(Message("execute", output))
    raise AssertionError(f"no answer within {MAX_TURNS} turns")
