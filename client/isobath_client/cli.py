"""The `isobath` command."""

from importlib.metadata import version
from typing import Annotated

import typer

from isobath_client.commands import access, feedback, querying
from isobath_client.commands.ask import ASK, ask, models
from isobath_client.commands.audit import audit
from isobath_client.commands.examining import doctor
from isobath_client.commands.files import files
from isobath_client.commands.gateway import GIVEN, Address, Given, KeyFile
from isobath_client.commands.printing import examples, say
from isobath_client.commands.runs import runs
from isobath_client.commands.sources import sources
from isobath_client.commands.threads import threads
from isobath_client.commands.troubles import Guarded

app = typer.Typer(
    cls=Guarded,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=examples(
        "isobath ask 'Which region returns most?' --data sales:public.orders",
        "isobath sources add",
        "isobath --install-completion",
    ),
)
app.command("ask", epilog=ASK)(ask)
app.command("query", epilog=querying.EXAMPLES)(querying.query)
app.add_typer(sources, name="sources")
app.add_typer(runs, name="runs")
app.command("feedback", epilog=feedback.EXAMPLES)(feedback.feedback)
app.add_typer(threads, name="threads")
app.add_typer(files, name="files")
app.command("models", epilog=examples("isobath models"))(models)
app.add_typer(access.keys, name="keys")
app.command("whoami", epilog=examples("isobath whoami"))(access.whoami)
app.command("usage", epilog=examples("isobath usage --from 2026-11-01 --everybody"))(access.usage)
app.command("doctor", epilog=examples("isobath doctor --json"))(doctor)
app.add_typer(audit, name="audit")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"isobath {version('isobath')}")
        raise typer.Exit


@app.callback()
def given(
    address: Address = "",
    api_key_file: KeyFile = None,
    shown: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """Ask questions of your data."""
    GIVEN.set(Given(address, api_key_file))


def main() -> None:
    """Run the command; what goes wrong is told in a sentence and ends with 1."""
    app()


if __name__ == "__main__":
    main()
