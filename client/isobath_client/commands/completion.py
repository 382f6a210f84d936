"""What a shell offers for a word: names of sources, paths in them, ids. Quick, and silent where the
gateway is away."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import typer

from isobath.connector.v1 import connector_pb2 as connector
from isobath_client.commands.gateway import Given, glance
from isobath_client.errors import IsobathError
from isobath_client.sync.client import Isobath

MOST = 100
Offer = tuple[str, str]
"""The word, and a word about it."""


def _asked(ctx: typer.Context, look: Callable[[Isobath], Iterator[Offer]]) -> list[Offer]:
    """The first offers of a look at the gateway that the line names."""
    options = ctx.find_root().params
    file = options.get("api_key_file")
    given = Given(options.get("address") or "", Path(file) if file else None)
    try:
        with glance(given) as client:
            return list(islice(look(client), MOST))
    except (IsobathError, ValueError, OSError):
        # a shell that completes is no place for errors
        return []


def source_names(ctx: typer.Context, incomplete: str) -> list[Offer]:
    return _asked(ctx, lambda client: _sources(client, incomplete))


def run_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    def look(client: Isobath) -> Iterator[Offer]:
        for run in islice(client.runs.list(), MOST):
            if run.run_id.startswith(incomplete):
                yield run.run_id, f"{run.created_at.ToDatetime():%Y-%m-%d %H:%M}"

    return _asked(ctx, look)


def thread_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    def look(client: Isobath) -> Iterator[Offer]:
        for thread in islice(client.threads.list(), MOST):
            if thread.thread_id.startswith(incomplete):
                yield thread.thread_id, thread.title

    return _asked(ctx, look)


def file_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    def look(client: Isobath) -> Iterator[Offer]:
        for info in islice(client.files.list(), MOST):
            if info.id.startswith(incomplete):
                yield info.id, info.name

    return _asked(ctx, look)


def key_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    def look(client: Isobath) -> Iterator[Offer]:
        for key in islice(client.access.keys(), MOST):
            if key.id.startswith(incomplete):
                yield key.id, f"{key.owner} {key.name}"

    return _asked(ctx, look)


def model_ids(ctx: typer.Context, incomplete: str) -> list[Offer]:
    def look(client: Isobath) -> Iterator[Offer]:
        for model in client.models():
            if model.id.startswith(incomplete):
                yield model.id, model.description

    return _asked(ctx, look)


def selections(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """SOURCE, and once there is a colon the paths in it, level by level."""
    source, colon, path = incomplete.partition(":")

    def look(client: Isobath) -> Iterator[Offer]:
        if not colon:
            yield from _sources(client, source)
            return
        for entry in _level(client, source, path):
            word = f"{source}:{_within(entry)}"
            if word.startswith(incomplete):
                yield word, entry.comment or entry.name

    return _asked(ctx, look)


def _sources(client: Isobath, start: str) -> Iterator[Offer]:
    for source in client.sources.list():
        if source.name.startswith(start):
            yield source.name, source.description or source.type


def _level(client: Isobath, source: str, path: str) -> Iterator[connector.Entry]:
    """What lies where the path has come to: under a folder, or a schema and its dot."""
    folder, slash, _ = path.rpartition("/")
    schema, dot, _ = path.partition(".")
    if slash:
        return client.sources.browse(source, folder + "/")
    top = list(islice(client.sources.browse(source), MOST))
    schemas = {entry.path for entry in top if entry.kind == connector.ENTRY_KIND_SCHEMA}
    return client.sources.browse(source, schema) if dot and schema in schemas else iter(top)


def _within(entry: connector.Entry) -> str:
    return entry.path + "." if entry.kind == connector.ENTRY_KIND_SCHEMA else entry.path
