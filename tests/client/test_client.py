"""The client's pure parts; the rest is shown by tests/e2e against the whole platform."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isobath_client import IsobathError, selection
from isobath_client.cli import app
from isobath_client.settings import resolve


@pytest.mark.parametrize(
    ("text", "source", "kind", "value"),
    [
        ("sales:public.orders", "sales", "path", "public.orders"),
        ("lake:a b/*.csv", "lake", "path", "a b/*.csv"),
        ("lake:x=1/y.parquet", "lake", "path", "x=1/y.parquet"),
        ("sales=SELECT 1\nFROM t", "sales", "query", "SELECT 1\nFROM t"),
        ("sales=SELECT 'a:b'", "sales", "query", "SELECT 'a:b'"),
        ("sales", "sales", None, ""),
    ],
)
def test_selection_reads_both_shapes(text: str, source: str, kind: str | None, value: str) -> None:
    chosen = selection(text, target="t")
    assert (chosen.source, chosen.WhichOneof("what"), chosen.target) == (source, kind, "t")
    assert (chosen.query.sql if kind == "query" else chosen.path) == value


@pytest.mark.parametrize("limit", [None, 0, 7])
def test_selection_takes_a_limit_of_its_rows(limit: int | None) -> None:
    chosen = selection("sales:orders", max_rows=limit)
    assert chosen.limits.HasField("max_rows") is (limit is not None)
    assert chosen.limits.max_rows == (limit or 0)
    # of what is not fetched there is nothing to limit
    assert not selection("sales", max_rows=limit).HasField("limits")


@pytest.mark.parametrize("text", ["", "sales:", "sales=", ":x", "a b:c", "a b"])
def test_selection_refuses_the_rest(text: str) -> None:
    with pytest.raises(ValueError, match="SOURCE:PATH"):
        selection(text)


def test_connection_prefers_what_is_given(tmp_path: Path) -> None:
    ready = {"grpc": "127.0.0.1:1", "api_key": "isb-file"}
    (tmp_path / "ready.json").write_text(json.dumps(ready))
    environ = {"ISOBATH_HOME": str(tmp_path)}
    assert resolve(environ).api_key == "isb-file"
    assert resolve({**environ, "ISOBATH_API_KEY": "isb-env"}).api_key == "isb-env"
    given = resolve(environ, address="h:2", api_key="isb-given")
    assert (given.address, given.api_key) == ("h:2", "isb-given")
    assert "isb-given" not in repr(given)


def test_connection_without_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(IsobathError, match="ISOBATH_API_KEY"):
        resolve({"ISOBATH_HOME": str(tmp_path)})


@pytest.mark.parametrize("command", [[], ["ask"], ["sources"], ["runs"], ["files"]])
def test_every_command_has_help(command: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output
