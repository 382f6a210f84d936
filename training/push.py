"""Serve a LoRA adapter beside the model that runs, on every replica or on none."""

import asyncio
import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dev.ending import run
from servicekit.settings import SettingsError
from training.serving import placing, replicas
from training.serving.operator import Operator, operator
from training.serving.placing import CannotPlace
from training.serving.replicas import Replica

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def push(
    name: Annotated[
        str, typer.Option(help="What requests choose it by: a new one for each version.")
    ] = "",
    adapter: Annotated[Path | None, typer.Option(help="The adapter's folder.")] = None,
    inference: Annotated[
        str,
        typer.Option(
            help="Every replica: a:1,b:2, or dns:///name:port. ISOBATH_OPERATOR_INFERENCE without."
        ),
    ] = "",
    path: Annotated[
        str,
        typer.Option(
            help="Where the replicas see that folder, if not where it lies here; then --adapter "
            "need not be given."
        ),
    ] = "",
    folder: Annotated[
        Path | None,
        typer.Option(
            help="The folder that the replicas follow (VLLM_ADAPTERS_FOLDER), as it is mounted "
            "here: the adapter is copied into it, so that replicas which start later serve it too. "
            "Without --inference none is asked whether it does."
        ),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds for a replica to load it, or to let it go.")
    ] = 120.0,
    unload: Annotated[bool, typer.Option("--unload", help="Take it away.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show what each replica serves.")] = False,
) -> None:
    """Serve a LoRA adapter beside the model that runs: on every replica, or on none.

    It is loaded, listed and asked for a few tokens on each. Done again, it changes nothing.
    Without --folder a replica that is started anew does not know the adapter.

    Who calls is said by ISOBATH_OPERATOR_TOKEN_FILE, ISOBATH_OPERATOR_TLS_CERT_FILE, …_KEY_FILE and
    …_CA_FILE; of a running `make up`: set -a; . .isobath/run/environment/operator; set +a
    """
    console = Console(soft_wrap=True, highlight=False)
    try:
        where = operator(os.environ, inference)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from None
    if not where.inference and (folder is None or list_):
        raise typer.BadParameter("give --inference, or set ISOBATH_OPERATOR_INFERENCE")
    if list_:
        raise typer.Exit(run(_list(where, console), console))
    if not _NAME.fullmatch(name):
        raise typer.BadParameter("--name expects letters, digits, dots, hyphens, underscores")
    if unload:
        raise typer.Exit(run(_unload(where, name, folder, wait, console), console))
    if folder is not None:
        if adapter is None or path:
            raise typer.BadParameter("--folder expects --adapter, and no --path")
        raise typer.Exit(run(_place(where, name, adapter, folder, wait, console), console))
    if not path:
        if adapter is None:
            raise typer.BadParameter("give --adapter, or --path where only the replicas see it")
        path = str(adapter.resolve())
    raise typer.Exit(run(_load(where, name, path, wait, console), console))


async def _list(where: Operator, console: Console) -> int:
    async with replicas.reached(where) as found:
        told = await replicas.models(found)
    table = Table("replica", "model", "adapters")
    for address, served in told.items():
        own = [each.id for each in served if not each.is_adapter]
        adapters = [each.id for each in served if each.is_adapter]
        table.add_row(address, ", ".join(own), ", ".join(adapters))
    console.print(table)
    if differing := replicas.differences(told):
        console.print(f"not on all replicas: {', '.join(differing)}", style="yellow")
    return 0


async def _load(where: Operator, name: str, path: str, wait: float, console: Console) -> int:
    async with replicas.reached(where) as found:
        console.print(f"{name}: loading {path} on {len(found)} replicas")
        told = await replicas.load(found, name, path, seconds=wait)
    for address, new in told.items():
        console.print(f"{address}: {'serves it now' if new else 'served it already'}")
    return 0


async def _place(
    where: Operator, name: str, adapter: Path, folder: Path, wait: float, console: Console
) -> int:
    if not where.inference:
        new = await asyncio.to_thread(placing.place, adapter, folder, name)
        done = "copied to" if new else "lies already in"
        console.print(f"{name}: {done} {folder}; whether replicas serve it was not asked")
        return 0
    async with replicas.reached(where) as found:
        await _absent_or_followed(found, name, folder)
        new = await asyncio.to_thread(placing.place, adapter, folder, name)
        done = "copied to" if new else "lies already in"
        console.print(f"{name}: {done} {folder}, which {len(found)} replicas follow")
        try:
            await replicas.followed(found, name, there=True, seconds=wait)
            await replicas.verify(found, name, seconds=wait)
        except BaseException:
            if new:
                await asyncio.to_thread(placing.remove, folder, name)
            raise
    console.print(f"{name}: served by {', '.join(each.address for each in found)}")
    return 0


async def _absent_or_followed(found: list[Replica], name: str, folder: Path) -> None:
    """One that was loaded by a call would hide that in the folder. Raises CannotPlace."""
    if await asyncio.to_thread((folder / name).exists):
        return
    told = await replicas.models(found)
    if at := [at for at, served in told.items() if any(each.id == name for each in served)]:
        raise CannotPlace(
            f"{', '.join(at)} serves something of that name already, not from {folder}: choose "
            "another name, or take that away with --unload first"
        )


async def _unload(
    where: Operator, name: str, folder: Path | None, wait: float, console: Console
) -> int:
    if folder is not None:
        was = await asyncio.to_thread(placing.remove, folder, name)
        if where.inference:
            async with replicas.reached(where) as found:
                await replicas.followed(found, name, there=False, seconds=wait)
        console.print(f"{name}: {'gone' if was else 'was not there'}")
        return 0
    async with replicas.reached(where) as found:
        told = await replicas.unload(found, name, seconds=wait)
    for address, was in told.items():
        console.print(f"{address}: {'gone' if was else 'was not there'}")
    return 0


if __name__ == "__main__":
    typer.run(push)
