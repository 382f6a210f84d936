"""What the check of a source says, for people."""

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath_client.commands.printing import say


def tell(result: messages.CheckDataSourceResponse) -> None:
    """Each step, what to mend, warnings and advice."""
    check = result.check
    for step in check.steps:
        mark, style = ("✓", "green") if step.passed else ("✗", "red")
        say(f"{mark} {step.name} {step.message} {step.remedy}".rstrip(), style)
    if result.ok:
        known = (check.server_version, check.identity and f"as {check.identity}", _latency(result))
        say("  " + ", ".join(each for each in known if each), "dim")
    for warning in check.warnings:
        say(f"! {warning}", "yellow")
    if check.advice:
        say(check.advice)


def _latency(result: messages.CheckDataSourceResponse) -> str:
    return f"{result.check.latency.ToMilliseconds()} ms"
