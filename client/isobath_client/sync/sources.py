"""Data sources: `isobath.sources`."""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from isobath.analyst.v1 import analyst_pb2 as messages
from isobath.analyst.v1.analyst_pb2_grpc import DataSourceServiceStub
from isobath.connector.v1 import connector_pb2 as connector
from isobath_client import requests
from isobath_client.requests import Parameter
from isobath_client.sync.calls import Calls
from isobath_client.tables import Table


class Sources:
    """The data that questions are asked of. A source goes by its name or its id."""

    def __init__(self, stub: DataSourceServiceStub, calls: Calls) -> None:
        self._stub, self._calls = stub, calls

    def list(self) -> Iterator[messages.DataSource]:
        """All data sources, by name: one's own, and those shared with one's teams."""
        pages = self._calls.pages(
            self._stub.ListDataSources,
            messages.ListDataSourcesRequest(),
            messages.ListDataSourcesResponse,
            lambda page: page.data_sources,
        )
        yield from pages

    def get(self, source: str) -> messages.DataSource:
        """One data source."""
        request = messages.GetDataSourceRequest(id=source)
        reply = messages.GetDataSourceResponse
        found = self._calls.one(self._stub.GetDataSource, request, reply, safe=True)
        return found.data_source

    def types(self) -> Sequence[connector.DescribeResponse]:
        """The types of source that are served, with their settings and examples."""
        request, reply = messages.ListTemplatesRequest(), messages.ListTemplatesResponse
        return (self._calls.one(self._stub.ListTemplates, request, reply, safe=True)).types

    def add(
        self,
        name: str,
        type: str,
        *,
        config: Mapping[str, object],
        secrets: Mapping[str, str],
        description: str = "",
        teams: Sequence[str] = (),
        guide: Mapping[str, Any] | None = None,
        approval: Iterable[str] = (),
    ) -> messages.DataSource:
        """Register a data source; its secrets go to the credential service and never come back.
        Members of `teams` may see and ask it. `guide` is what the model is told beyond the schema:
        `{"notes": {path: text}, "queries": [{"question", "sql"}]}`. `approval` as in `guard`."""
        request = requests.new_source(
            name, type, config, secrets, description, teams, guide, approval
        )
        reply = messages.CreateDataSourceResponse
        return (self._calls.one(self._stub.CreateDataSource, request, reply)).data_source

    def update(
        self,
        source: str,
        *,
        name: str | None = None,
        description: str | None = None,
        config: Mapping[str, object] | None = None,
        secrets: Mapping[str, str] | None = None,
        clear_secrets: Sequence[str] = (),
    ) -> messages.DataSource:
        """Change what is given; None = as it is. `config` replaces the settings whole, and needs
        every secret that stays anew; `clear_secrets` names those to remove."""
        return self._changed(
            requests.changed_source(
                source,
                name=name,
                description=description,
                config=config,
                secrets=secrets,
                clear_secrets=clear_secrets,
            )
        )

    def share(self, source: str, teams: Sequence[str]) -> messages.DataSource:
        """Share with these teams and no others; "*" is everybody."""
        return self._changed(requests.changed_source(source, teams=teams))

    def guard(self, source: str, operations: Iterable[str]) -> messages.DataSource:
        """What a run may do with a source only after somebody approved it, and nothing else:
        "query" for each statement of the model's code, "write" for each file. Raises ValueError for
        others."""
        return self._changed(requests.changed_source(source, approval=operations))

    def guide(self, source: str, guide: Mapping[str, Any]) -> messages.DataSource:
        """Replace what the model is told of a source beyond its schema, as `add` has it."""
        return self._changed(requests.changed_source(source, told=guide))

    def _changed(self, request: messages.UpdateDataSourceRequest) -> messages.DataSource:
        reply = messages.UpdateDataSourceResponse
        return (self._calls.one(self._stub.UpdateDataSource, request, reply)).data_source

    def remove(self, source: str) -> None:
        """Delete a source with its secret and its live connections."""
        request = messages.DeleteDataSourceRequest(id=source)
        self._calls.one(self._stub.DeleteDataSource, request, messages.DeleteDataSourceResponse)

    def check(self, source: str) -> messages.CheckDataSourceResponse:
        """Try a source: `ok`, and each step."""
        request = messages.CheckDataSourceRequest(id=source)
        reply = messages.CheckDataSourceResponse
        return self._calls.one(self._stub.CheckDataSource, request, reply, safe=True)

    def browse(
        self,
        source: str,
        path: str = "",
        *,
        glob: str = "",
        include: Sequence[str] = (),
        refresh: bool = False,
    ) -> Iterator[connector.Entry]:
        """What lies in a source, one level under `path` or by `glob`; with a glob also, where the
        source keeps such, "snapshots", "versions" and "deleted"; "tags" also without. Raises
        ValueError for others."""
        pages = self._calls.pages(
            self._stub.BrowseDataSource,
            requests.browse(source, path, glob, include, refresh=refresh),
            messages.BrowseDataSourceResponse,
            lambda page: page.entries,
        )
        yield from pages

    def schema(
        self, source: str, path: str, *, refresh: bool = False, version: str = ""
    ) -> connector.InspectResponse:
        """Columns, keys and sizes of a relation, a blob, or a glob as one table."""
        request = messages.InspectDataSourceRequest(
            id=source, path=path, refresh=refresh, version=version
        )
        reply = messages.InspectDataSourceResponse
        return (self._calls.one(self._stub.InspectDataSource, request, reply, safe=True)).schema

    def statistics(
        self, source: str, path: str, *, refresh: bool = False
    ) -> connector.ProfileResponse:
        """Statistics of each column, from the server or a sample, never from a full download."""
        request = messages.ProfileDataSourceRequest(id=source, path=path, refresh=refresh)
        reply = messages.ProfileDataSourceResponse
        found = self._calls.one(self._stub.ProfileDataSource, request, reply, safe=True)
        return found.profile

    def preview(self, source: str, path: str, *, rows: int = 10) -> Table:
        """The first rows of a relation, a blob, or a glob as one table; 1,000 at most."""
        request = messages.PreviewDataSourceRequest(
            id=source, selection=connector.Selection(path=path), rows=rows
        )
        reply = messages.PreviewDataSourceResponse
        found = self._calls.one(self._stub.PreviewDataSource, request, reply, safe=True)
        first = found.preview
        return Table(first.arrow, first.columns, f"preview of {rows}" if first.truncated else "")

    def query(
        self,
        source: str,
        sql: str,
        params: Sequence[Parameter] = (),
        *,
        max_rows: int | None = None,
        timeout_s: float | None = None,
    ) -> Table:
        """The result of a query, with `params` bound to $1, $2 … Only reading statements are run.
        None = the service's own limits; what they cut is told by the table."""
        asked = connector.Selection(query=requests.query(sql, params))
        request = requests.fetch(
            source, asked, format="arrow", max_rows=max_rows, timeout_s=timeout_s
        )
        return self._table(request)

    def fetch(
        self,
        data: str | messages.DataSelection,
        *,
        format: str = "csv",
        max_rows: int | None = None,
        timeout_s: float | None = None,
    ) -> Generator[connector.FetchResponse, None]:
        """Stream a table, a query's result or a blob as headers, pieces and summaries; `data` as in
        `ask`, `format` csv, parquet, arrow, raw or unpacked. Raises ValueError for others."""
        source, selection = requests.chosen(data)
        request = requests.fetch(
            source, selection, format=format, max_rows=max_rows, timeout_s=timeout_s
        )
        with closing(self._calls.stream(self._stub.FetchDataSource, request)) as responses:
            for response in responses:
                yield response.event

    def _table(self, request: messages.FetchDataSourceRequest) -> Table:
        columns: Sequence[connector.Column] = ()
        pieces, cut_by = [], ""
        with closing(self._calls.stream(self._stub.FetchDataSource, request)) as responses:
            for response in responses:
                match response.event.WhichOneof("event"):
                    case "header":
                        columns = response.event.header.columns
                    case "piece":
                        pieces.append(response.event.piece)
                    case "summary" if response.event.summary.truncated:
                        cut_by = response.event.summary.truncated_by or "a limit"
        return Table(b"".join(pieces), columns, cut_by)
