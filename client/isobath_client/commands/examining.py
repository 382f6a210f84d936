"""`isobath doctor`."""

from dataclasses import asdict

import typer

from isobath_client.commands.gateway import connected
from isobath_client.commands.printing import AsJson, json_line, say
from isobath_client.doctor import findings

MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}


def doctor(as_json: AsJson = False) -> None:
    """Look at every service, the sandbox, the models and every source; say what to mend.

    Ends with 1 where there is a problem."""
    well = True
    with connected() as client:
        for found in findings(client):
            well = well and found.verdict != "problem"
            if as_json:
                json_line(asdict(found))
                continue
            mark, style = MARKS[found.verdict]
            say(f"{mark} {found.what:<24} {found.told}", style)
            if found.remedy:
                say(f"  {found.remedy}", "dim")
    if not well:
        raise typer.Exit(1)
