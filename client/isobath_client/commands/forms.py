"""A form on the terminal: field by field, checked as it is filled in, secrets unseen."""

from collections.abc import Mapping, Sequence
from getpass import getpass
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.markup import escape

from isobath_client.commands.printing import console
from isobath_client.forms import Field, Form, shown

T = TypeVar("T")
# a text that begins with it names a file to be read
FILE = "@"


def chosen(what: str, options: Sequence[tuple[str, T]]) -> T:
    """Let a person pick one of several, by its number; one alone is picked."""
    if len(options) == 1:
        return options[0][1]
    for number, (label, _) in enumerate(options, 1):
        console.print(f"  [bold]{number}[/] {escape(label)}", highlight=False)
    while True:
        answer = _line(f"{what} (1-{len(options)})", "1")
        if answer.isdecimal() and 1 <= int(answer) <= len(options):
            return options[int(answer) - 1][1]
        _wrong(f"a number of 1 to {len(options)}")


def filled(form: Form, known: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], bool]:
    """The settings, and whether the further ones were asked too. `known` are the present ones."""
    known = known or {}
    config = _asked(form.fields, known)
    more = bool(form.further) and typer.confirm(
        f"Further settings ({', '.join(each.name for each in form.further)})?", default=False
    )
    further = form.further if more else [each for each in form.further if each.name in known]
    return {**config, **(_asked(further, known) if more else _kept(further, known))}, more


def secrets(fields: Sequence[Field]) -> dict[str, str]:
    """Secrets, typed unseen; those left empty are left out."""
    return {name: str(value) for name, value in _asked(fields, {}).items()}


def again(field: Field, why: str) -> Any:
    """One field once more, since the platform did not take it. None = left out."""
    _wrong(why)
    return answered(field)


def answered(field: Field, known: Any = None) -> Any:
    """Ask for one field until its value can be taken; None = left out."""
    _explain(field)
    preset = field.default if known is None else shown(known)
    while True:
        text = _line(_label(field), preset, hidden=field.secret)
        if not text:
            if not field.required or field.secret:
                return None
            _wrong("it is needed")
            continue
        try:
            return field.read(_of_file(text))
        except (ValueError, OSError) as wrong:
            _wrong(str(wrong))


def named(text: str) -> tuple[str, str]:
    """NAME=VALUE, where a VALUE of @FILE is what the file holds."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE")
    try:
        return name, _of_file(value)
    except OSError as unread:
        raise typer.BadParameter(str(unread)) from unread


def _asked(fields: Sequence[Field], known: Mapping[str, Any]) -> dict[str, Any]:
    found = {each.name: answered(each, known.get(each.name)) for each in fields}
    return {name: value for name, value in found.items() if value is not None}


def _kept(fields: Sequence[Field], known: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: known[each.name] for each in fields}


def _explain(field: Field) -> None:
    told = [field.description] if field.description else []
    if field.choices:
        told.append(f"One of {', '.join(field.choices)}.")
    if field.example and field.example != field.default:
        told.append(f"Such as {field.example}")
    if told:
        console.print(" ".join(told), style="dim", markup=False, highlight=False)


def _label(field: Field) -> str:
    return field.title if field.required else f"{field.title} (may be left out)"


def _line(label: str, preset: str, *, hidden: bool = False) -> str:
    """One line; an empty one is the preset."""
    if hidden:
        return _unseen(label)
    given: str = typer.prompt(label, default=preset, show_default=bool(preset), type=str)
    return given.strip()


def _unseen(label: str) -> str:
    """A line that is not shown; what is typed ahead of the prompt is not taken."""
    try:
        return getpass(f"{label}: ").strip()
    except (EOFError, KeyboardInterrupt):
        raise typer.Abort from None


def _of_file(text: str) -> str:
    return Path(text[1:]).expanduser().read_text().strip("\n") if text.startswith(FILE) else text


def _wrong(why: str) -> None:
    console.print(f"  expected: {why}", style="yellow", markup=False, highlight=False)
