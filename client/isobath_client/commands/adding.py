"""`isobath sources add`, `update` and `edit`."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands import completion, forms
from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import AsJson, complain, console, json_line, plain, say
from isobath_client.commands.troubles import suggestion
from isobath_client.commands.verdicts import tell
from isobath_client.errors import InvalidRequest
from isobath_client.forms import NAME, Field, Form, setting
from isobath_client.forms import forms as forms_of
from isobath_client.sync.client import Isobath

SourceName = Annotated[
    str, typer.Argument(help="The source's name or id.", autocompletion=completion.source_names)
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE of a setting; VALUE may be JSON, or @FILE."),
]
SecretEnv = Annotated[
    list[str] | None,
    typer.Option("--secret-env", help="NAME=VARIABLE: the secret is in the environment."),
]
SecretFile = Annotated[
    list[str] | None, typer.Option("--secret-file", help="NAME=FILE: the secret is in a file.")
]
Description = Annotated[str | None, typer.Option(help="For people, and for the model.")]
NoCheck = Annotated[bool, typer.Option("--no-check", help="Do not try it afterwards.")]


def add(
    body: Annotated[
        Path | None,
        typer.Argument(help="JSON file as `isobath sources types` shows; - reads stdin."),
    ] = None,
    type: Annotated[str, typer.Option(help="One of `isobath sources types`.")] = "",
    name: Annotated[str, typer.Option(help="Letters, digits, - and _.")] = "",
    description: Description = None,
    settings: Settings = None,
    secret_env: SecretEnv = None,
    secret_file: SecretFile = None,
    team: Annotated[
        list[str] | None, typer.Option(help="Its members see and ask it; * = everybody.")
    ] = None,
    no_check: NoCheck = False,
    as_json: AsJson = False,
) -> None:
    """Register a data source, and try it. Without a file and without --type it asks for everything.

    Secrets are typed unseen, or read from files or the environment: the command line, which others
    can see, has no place for them."""
    secrets = _secrets(secret_env, secret_file)
    with connected() as client:
        if body is not None:
            made = _from_file(client, body)
        elif type:
            if not name:
                raise typer.BadParameter("--type needs --name")
            made = client.sources.add(
                name,
                type,
                config=_settings(client, type, settings),
                secrets=secrets,
                description=description or "",
                teams=team or (),
            )
        elif sys.stdin.isatty():
            made = _wizard(client, name, description, team or ())
        else:
            raise typer.BadParameter("give a file, or --type and --name; a person is asked instead")
        _conclude(client, made, "is", no_check=no_check, as_json=as_json)


def update(
    source: SourceName,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    description: Description = None,
    settings: Settings = None,
    unset: Annotated[list[str] | None, typer.Option(help="A setting to remove.")] = None,
    secret_env: SecretEnv = None,
    secret_file: SecretFile = None,
    clear_secret: Annotated[list[str] | None, typer.Option(help="A secret to remove.")] = None,
    no_check: NoCheck = False,
    as_json: AsJson = False,
) -> None:
    """Change what is given of a data source, and try it where settings or secrets have changed.

    A changed setting needs every secret that stays once more."""
    reaches_as_before = not (settings or unset or secret_env or secret_file or clear_secret)
    with connected() as client:
        config = None
        if settings or unset:
            found = client.sources.get(source)
            present = json.loads(found.config_json)
            changed = {**present, **_settings(client, found.type, settings)}
            config = {name: held for name, held in changed.items() if name not in (unset or ())}
        made = client.sources.update(
            source,
            name=name,
            description=description,
            config=config,
            secrets=_secrets(secret_env, secret_file),
            clear_secrets=clear_secret or (),
        )
        untried = no_check or reaches_as_before
        _conclude(client, made, "is changed:", no_check=untried, as_json=as_json)


def edit(source: SourceName) -> None:
    """Go through a data source's settings, each with its present value, and try it."""
    if not sys.stdin.isatty():
        raise typer.BadParameter("it asks a person; for programs there is `isobath sources update`")
    with connected() as client:
        found = client.sources.get(source)
        known = json.loads(found.config_json)
        form = _nearest(client, found, known)
        description = forms.answered(
            Field("description", {"title": "Description"}), found.description
        )
        config, more = forms.filled(form, known)
        made: messages.DataSource
        if config == known:
            made = client.sources.update(source, description=description or "")
        else:
            say("Changed settings need the secrets once more.", "dim")
            needed = [each for each in _every_secret(form) if each.name in found.secrets_set]
            secrets = forms.secrets(needed or (_every_secret(form) if more else form.secrets))
            made = _until_taken(
                form,
                config,
                secrets,
                lambda: client.sources.update(
                    source, description=description or "", config=config, secrets=secrets
                ),
            )
        _conclude(client, made, "is changed:", no_check=False, as_json=False)


def _wizard(
    client: Isobath, name: str, description: str | None, teams: Sequence[str]
) -> messages.DataSource:
    kinds = [(f"{each.title} ({each.type})", each) for each in client.sources.types()]
    kind = forms.chosen("What is it?", kinds)
    form = forms.chosen("How?", [(each.title, each) for each in forms_of(kind)])
    name = name or _free_name(client)
    if description is None:
        what = {"title": "Description", "description": "For people, and for the model."}
        description = forms.answered(Field("description", what)) or ""
    config, more = forms.filled(form)
    secrets = forms.secrets(_every_secret(form) if more else form.secrets)
    return _until_taken(
        form,
        config,
        secrets,
        lambda: client.sources.add(
            name, form.type, config=config, secrets=secrets, description=description, teams=teams
        ),
    )


def _free_name(client: Isobath) -> str:
    what = {"title": "Name", "description": "Letters, digits, - and _."}
    field = Field("name", {**what, "pattern": f"^{NAME.pattern}$"}, required=True)
    taken = {each.name for each in client.sources.list()}
    name = str(forms.answered(field))
    while name in taken:
        name = str(forms.again(field, f"a name that is free; {name} is taken"))
    return name


def _until_taken(
    form: Form,
    config: dict[str, Any],
    secrets: dict[str, str],
    send: Callable[[], messages.DataSource],
) -> messages.DataSource:
    """Ask again for a field that the platform names; what is none of the form's is raised."""
    while True:
        try:
            return send()
        except InvalidRequest as refused:
            named = refused.fields.get("field", "")
            field = form.field(named)
            if field is None:
                raise
            into: dict[str, Any] = secrets if named.startswith("secrets.") else config
            value = forms.again(field, str(refused))
            into.pop(field.name, None)
            if value is not None:
                into[field.name] = value


def _nearest(client: Isobath, source: messages.DataSource, known: dict[str, Any]) -> Form:
    """The template whose settings and secrets are most like the source's."""
    kind = next(each for each in client.sources.types() if each.type == source.type)
    held = {*known, *source.secrets_set}

    def apart(form: Form) -> int:
        return len(held ^ {each.name for each in (*form.fields, *form.secrets)})

    return min(forms_of(kind), key=apart)


def _every_secret(form: Form) -> Sequence[Field]:
    return (*form.secrets, *form.further_secrets)


def _from_file(client: Isobath, body: Path) -> messages.DataSource:
    text = sys.stdin.read() if str(body) == "-" else body.read_text()
    given = json.loads(text)
    if not isinstance(given, dict) or not {"name", "type"} <= given.keys():
        raise ValueError(f"{body} must be an object with name and type")
    return client.sources.add(
        given["name"],
        given["type"],
        config=given.get("config", {}),
        secrets=given.get("secrets", {}),
        description=given.get("description", ""),
        teams=given.get("teams", ()),
        guide=given.get("guide"),
        approval=given.get("approval", ()),
    )


def _settings(client: Isobath, type: str, given: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE by the schema of the type; what it does not know the platform refuses."""
    kinds = {each.type: each for each in client.sources.types()}
    if type not in kinds:
        near = suggestion(type, iter(kinds)) or f"There are {', '.join(sorted(kinds))}."
        raise typer.BadParameter(f"there is no type {type}. {near}")
    form, *_ = forms_of(kinds[type])
    return dict(_setting(form, *forms.named(each)) for each in given or ())


def _setting(form: Form, name: str, text: str) -> tuple[str, Any]:
    field = form.field(name)
    if field is None or text.startswith("["):
        return name, setting(text)
    try:
        return name, field.read(text)
    except ValueError as wrong:
        raise typer.BadParameter(f"--set {name}: expected {wrong}") from wrong


def _secrets(env: list[str] | None, file: list[str] | None) -> dict[str, str]:
    found = {}
    for name, variable in (_pair(each) for each in env or ()):
        if variable not in os.environ:
            raise typer.BadParameter(f"--secret-env {name}: {variable} is not set")
        found[name] = os.environ[variable]
    for name, path in (_pair(each) for each in file or ()):
        try:
            found[name] = Path(path).expanduser().read_text().strip("\n")
        except OSError as unread:
            raise typer.BadParameter(f"--secret-file {name}: {unread}") from unread
    return found


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not (name and sign and value):
        # never the text: it may be a secret in the wrong place
        raise typer.BadParameter("--secret-env takes NAME=VARIABLE, --secret-file NAME=FILE")
    return name, value


def _conclude(
    client: Isobath, made: messages.DataSource, word: str, *, no_check: bool, as_json: bool
) -> None:
    """Tell what was made, try it, and end with 1 where it does not work."""
    checked = None if no_check else client.sources.check(made.id)
    if as_json:
        json_line({**plain(made), **({"check": plain(checked)} if checked is not None else {})})
    else:
        say(f"{made.name} {word} {made.id}")
    if checked is not None:
        if not as_json:
            tell(checked)
        if not checked.ok:
            complain(f"It is kept; correct it with: isobath sources edit {made.name}", "yellow")
            raise typer.Exit(1)
    if not as_json and console.is_terminal:
        say(f"Look inside: isobath sources browse {made.name}", "dim")
