"""The analyst: from a transcript to the text of its next turn. Nothing else is kept or read."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from . import asking, doubts, profiling, routing, schema, suggestions, titles, transcript
from .analyses.overview import gaps, sizes
from .analyses.program import MARKER, Analysis, Result
from .faults import Fault, attempt
from .prose import SIGNATURE, capital, cell, listing, number
from .schema import Schema
from .transcript import FileEntry, Message, Transcript

_PROFILES = 2  # the second looks at less
_REPAIRS = 3
_SOURCES = "The files under # Data lie in the working directory."
_FOLLOWING = re.compile(
    r"^\s*(?:and|now|also|what about|how about|the same|same|but|only|instead|then)\b",
    re.IGNORECASE,
)

_TAG = re.compile(r"<(?=/?(?:Code|Answer|Analyze|Understand|Execute|File)\b)")


@dataclass(frozen=True)
class _State:
    """Where the work stands after the outputs read so far."""

    question: str
    files: tuple[FileEntry, ...]
    profiles: int = 0
    tables: Schema | None = None
    step: Analysis | None = None
    done: tuple[tuple[Analysis, Result], ...] = ()
    failures: tuple[str, ...] = ()
    written: "_Written | None" = None
    faults: tuple[Fault, ...] = ()
    lost: bool = False


@dataclass(frozen=True)
class _Written:
    """The step as it is shown: what it is for, and its program."""

    aim: str
    program: str


def respond(messages: Sequence[Message]) -> str:
    """The assistant's next turn: text that ends in one `<Code>` block or in an `<Answer>`.

    Never raises: a part that breaks is logged as `analysis_failed`, and the answer says so.
    """
    turn = attempt("the turn", _respond, messages)
    if isinstance(turn, Fault):
        return _final([f"**{capital(turn.told)}: there is no answer to this question.**"])
    return turn


def _respond(messages: Sequence[Message]) -> str:
    told = transcript.read(messages)
    instruction = _own_words(told.current.instruction)
    label = titles.wanted(instruction)
    if label and not told.current.files:
        earlier = told.earlier[-1].instruction if told.earlier else ""
        return f"<Answer>\n{titles.answer(label, instruction, earlier)}\n</Answer>"
    state = _State(_question(told, instruction), told.files)
    if not any(profiling.readable(entry.name) for entry in state.files):
        return _no_data(state)
    for output in told.outputs:
        state = _after(state, output)
    return _turn(state)


def _own_words(instruction: str) -> str:
    """The instruction without what the platform says of live sources."""
    return instruction.split(_SOURCES)[0].strip()


def _question(told: Transcript, instruction: str) -> str:
    """A question that leans on the one before is read together with it."""
    previous = [_own_words(asked.instruction) for asked in told.earlier]
    previous = [text for text in previous if text and not titles.wanted(text)]
    if previous and _FOLLOWING.search(instruction) and len(instruction.split()) < 14:
        return f"{instruction} {previous[-1]}"
    return instruction


# -- the steps -----------------------------------------------------------------------------------


def _after(state: _State, output: str) -> _State:
    """The state once a program has printed this."""
    if state.tables is None:
        return _profiled(state, output)
    step = state.step
    if step is None:
        return state
    result = transcript.marked(output, MARKER)
    if result is None:
        return _repaired(state, output)
    done = (*state.done, (step, result))
    state = replace(state, done=done)
    if len(done) == 3:
        return replace(state, step=None)
    following = attempt("the step after the first", step.next, result)
    return _stepped(state, following)


def _profiled(state: _State, output: str) -> _State:
    found = transcript.marked(output, profiling.MARKER)
    tables = schema.decode(found) if found else None
    if tables is None:
        failures = (*state.failures, transcript.failure(output))
        return replace(state, profiles=state.profiles + 1, failures=failures)
    if not _usable(tables).tables:
        return replace(state, tables=tables)
    state = replace(state, tables=tables)
    first = attempt("the reading of the question", _first_step, state.question, _usable(tables))
    if isinstance(first, Fault):
        return _stepped(state, first)
    step, lost = first
    return _stepped(replace(state, lost=lost), step)


def _stepped(state: _State, step: Analysis | Fault | None) -> _State:
    """The state with the step, or with the nearest to it that a program can be written for."""
    if isinstance(step, Fault):
        state, step = replace(state, faults=(*state.faults, step)), None
    elif step is None:
        return replace(state, step=None)
    for form in _forms(state, step):
        written = attempt("a program", _write, form)
        if isinstance(written, _Written):
            return replace(state, step=form, written=written)
        state = replace(state, faults=(*state.faults, written))
    return replace(state, step=None)


def _write(step: Analysis) -> _Written:
    return _Written(step.aim(), step.program())


def _overview(tables: Schema) -> Analysis:
    return routing.overview(asking.read("", tables), tables)


def _forms(state: _State, step: Analysis | None) -> Iterator[Analysis]:
    """The step, its simpler forms, and, where nothing is known yet, the overview."""
    form: Analysis | Fault | None = step
    while form is not None and not isinstance(form, Fault):
        yield form
        form = attempt("a simpler form", form.simpler)
    if state.done or state.tables is None:
        return
    tables = _usable(state.tables)
    over = attempt("the overview", _overview, tables)
    if not isinstance(over, Fault):
        yield over


def _first_step(question: str, tables: Schema) -> tuple[Analysis, bool]:
    """The analysis that the question asks for; the overview, and True, where it names nothing."""
    asked = asking.read(question, tables)
    step = routing.choose(asked, tables)
    if step is not None and not doubts.of(asked, [step]).lost:
        return step, False
    return routing.overview(asking.read("", tables), tables), True


def _usable(tables: Schema) -> Schema:
    """The tables that hold something, and the links among them."""
    kept = tuple(table for table in tables.tables if table.rows and table.columns)
    names = {table.name for table in kept}
    links = tuple(link for link in tables.links if {link.left[0], link.right[0]} <= names)
    return replace(tables, tables=kept, links=links)


def _repaired(state: _State, output: str) -> _State:
    failures = (*state.failures, transcript.failure(output))
    state, step = replace(state, failures=failures), state.step
    if step is None or len(failures) > _REPAIRS:
        return replace(state, step=None)
    return _stepped(state, attempt("a simpler form", step.simpler))


# -- the turns -----------------------------------------------------------------------------------


def _turn(state: _State) -> str:
    if state.tables is None:
        return _look(state) if state.profiles < _PROFILES else _unreadable(state)
    if state.step is not None and state.written is not None:
        return _compute(state, state.written)
    if state.done:
        return _answer(state)
    return _cannot(state, state.tables)


def _look(state: _State) -> str:
    names = [entry.name for entry in state.files]
    if state.profiles:
        why = f"The first look failed ({cell(state.failures[-1])}). I look at a smaller part."
    else:
        why = (
            f"The question: {_quoted(state.question)} First I look at what is in the "
            f"{number(len(names))} file{'s' if len(names) > 1 else ''}: "
            f"how they read, their columns, "
            "and which columns join them."
        )
    program = profiling.program(names, state.question, small=state.profiles > 0)
    return f"<Analyze>\n{_plain(why)}\n</Analyze>\n{_code(program)}"


def _compute(state: _State, written: _Written) -> str:
    parts: list[str] = []
    failed = bool(state.failures) and not state.done
    if not state.done and not failed and state.tables:
        parts.append(f"<Understand>\n{_plain(_understood(state.tables))}\n</Understand>")
    if failed or (state.failures and state.done):
        plan = f"That failed: {cell(state.failures[-1])} I try a simpler way. {written.aim}"
    else:
        plan = ("Next: " if state.done else "The plan: ") + written.aim
    parts.append(f"<Analyze>\n{_plain(plan)}\n</Analyze>")
    return "\n".join([*parts, _code(written.program)])


def _answer(state: _State) -> str:
    checked = _doubts(state)
    if isinstance(checked, Fault):
        state, checked = replace(state, faults=(*state.faults, checked)), ("", "")
    parts: list[str] = []
    for step, result in state.done:
        part = attempt("a report", step.report, result)
        if isinstance(part, Fault):
            state = replace(state, faults=(*state.faults, part))
        else:
            parts.append(part)
    opening, offer = checked
    return _final([*_broken(state), *_partial(state), opening, *parts, offer, *_caveats(state)])


def _partial(state: _State) -> list[str]:
    """What is said before any number where not all rows are here: a total would be taken for the
    whole, and a cut month for a fall."""
    noted = [
        f"`{entry.name}` ({cell(entry.facts['note'])})"
        for entry in state.files
        if entry.facts.get("note")
    ]
    if not noted:
        return []
    return [
        f"**Not all rows are here: {listing(noted)}.** Totals, shares and changes over time are of "
        f"these rows only. Ask with a higher limit, or with a query that aggregates, for all."
    ]


def _doubts(state: _State) -> tuple[str, str] | Fault:
    """How the question was read and what could be asked instead; nothing when it was clear."""
    if state.tables is None or state.faults:
        return "", ""
    tables, steps = _usable(state.tables), [step for step, _ in state.done]
    return attempt("the check of the reading", _checked, state.question, tables, steps, state.lost)


def _checked(
    question: str, tables: Schema, steps: Sequence[Analysis], lost: bool
) -> tuple[str, str]:
    doubt = doubts.of(asking.read(question, tables), steps)
    opening = doubts.nothing(doubt) if lost else doubts.reading(doubt, steps)
    return opening, doubts.offer(suggestions.questions(tables, limit=3)) if opening else ""


def _broken(state: _State) -> list[str]:
    """What is said first when a part of the analyst broke: the answer is not the one asked for."""
    told = list(dict.fromkeys(fault.told for fault in state.faults))
    if not told:
        return []
    rest = "What follows is simpler than what was asked." if state.done else "There is no answer."
    return [f"**{capital(listing(told))}. {rest}**"]


def _cannot(state: _State, tables: Schema) -> str:
    usable = [table for table in tables.tables if table.rows and table.columns]
    if not usable:
        lines = ["**The files hold no rows that could be analysed.**", *_caveats(state)]
        if tables.tables:
            lines.insert(1, sizes(tables))
        return _final(lines)
    if state.faults:
        opening = _broken(state)[0]
    elif state.failures:
        opening = (
            "**The programs for this question failed, so there is no "
            "answer to it.** What the data hold:"
        )
    else:
        opening = (
            "**I could not tell what to compute for this question**: "
            "it names nothing that I find in the data. What the data hold:"
        )
    offered = "\n".join(f"- {cell(question)}" for question in suggestions.questions(tables))
    parts = [opening, sizes(tables), gaps(tables), f"Questions that I can answer:\n\n{offered}"]
    return _final([*_partial(state), *parts, *_caveats(state)])


def _unreadable(state: _State) -> str:
    names = listing([f"`{entry.name}`" for entry in state.files[:12]])
    why = cell(state.failures[-1]) if state.failures else "nothing came back"
    return _final([f"**The files could not be read.** I tried {names}; the last error was: {why}"])


def _no_data(state: _State) -> str:
    if state.files:
        names = listing([f"`{cell(entry.name)}`" for entry in state.files[:12]])
        text = f"I find no table in {names}. I read CSV, TSV, Parquet, Excel and JSON files."
    else:
        text = (
            "There is no data in this conversation that I could read: I am rule-based, and "
            "query no source live. Name a table, a path or a query of a data source, or attach "
            "a file (CSV, Parquet, Excel or JSON), and ask about what is in it: totals, "
            "averages, shares, the top of something, a course over time, what goes together."
        )
    return _final([text])


def _caveats(state: _State) -> list[str]:
    lines: list[str] = []
    if state.tables:
        lines += [
            f"- `{file}` could not be read: {cell(error)}" for file, error in state.tables.problems
        ]
        lines += [
            f"- Only the first rows of {cell(t.name)} were profiled."
            for t in state.tables.tables
            if t.cut
        ]
    if state.failures and state.done:
        lines.append(
            f"- A program failed on the way ({cell(state.failures[-1])}); the "
            f"numbers come from the simpler one that ran."
        )
    elif state.failures:
        lines += [f"- It failed with: {cell(failure)}" for failure in state.failures]
    return ["\n".join(lines)] if lines else []


def _final(parts: Sequence[str]) -> str:
    body = "\n\n".join(part for part in (*parts, SIGNATURE) if part)
    body = "\n".join(_balanced(_TAG.sub("&lt;", line)) for line in body.split("\n"))
    return f"<Answer>\n{body}\n</Answer>"


def _balanced(line: str) -> str:
    """A line whose back-ticks pair up: one too many would hide the closing tag."""
    return line.replace("`", "'") if line.count("`") % 2 or "``" in line else line


def _understood(tables: Schema) -> str:
    lines = [
        f"- {cell(table.name)}: {number(table.rows)} rows, {_roles(table)}"
        for table in tables.tables[:20]
    ]
    lines += [
        f"- {cell('.'.join(link.left))} joins {cell('.'.join(link.right))}"
        for link in tables.links[:12]
    ]
    return "\n".join(lines)


def _roles(table: schema.Table) -> str:
    kinds = (
        ("keys", [c for c in table.columns if c.key]),
        ("dates", list(table.dates)),
        ("measures", [c for c in table.columns if c.measure and not c.binary]),
        ("groups", [c for c in table.columns if c.dimension and c.kind != "number" and not c.key]),
    )
    told = [f"{name} {', '.join(cell(c.name) for c in held[:8])}" for name, held in kinds if held]
    return "; ".join(told) or "no column that I can use"


def _quoted(question: str) -> str:
    return _plain(" ".join(question.split())[:300]) or "none was asked."


def _plain(text: str) -> str:
    """Text without anything that reads as a tag of the protocol, or that hides one."""
    return text.replace("<", "‹").replace(">", "›").replace("`", "'")


def _code(program: str) -> str:
    # A file name may hold a tag or a fence: inside a string literal its escape means the same.
    program = _TAG.sub(r"\\x3c", program).replace("```", r"\x60\x60\x60")
    return f"<Code>\n```python\n{program}\n```\n</Code>"
