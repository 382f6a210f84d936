"""Forms of the types that are served: what each template asks, and what it takes."""

import pytest

from isobath.connector.v1 import connector_pb2 as connector
from isobath_client.forms import Field, Form, forms, setting
from services.blob_connector.describing import described as blob
from services.pg_connector.describing import describe as postgresql


def form_of(kind: connector.DescribeResponse, told: str) -> Form:
    return next(form for form in forms(kind) if told in form.title)


@pytest.mark.req("D6")
def test_template_of_postgresql_asks_what_a_server_needs() -> None:
    form = form_of(postgresql(), "server")
    assert [each.name for each in form.fields] == ["host", "port", "database", "user", "sslmode"]
    assert [each.name for each in form.secrets] == ["password"]
    assert {"url", "ca_certificate"} <= {each.name for each in form.further}
    port = form.field("config.port")
    assert port is not None and (port.default, port.required) == ("5432", False)
    assert port.read("5433") == 5433


@pytest.mark.req("D6")
def test_template_of_a_lake_asks_for_its_own_secret_alone() -> None:
    assert [each.name for each in form_of(blob(), "by a token").secrets] == ["sas_token"]
    identity = form_of(blob(), "identity that the connector")
    assert not identity.secrets and identity.fields[-1].choices


@pytest.mark.req("D5")
@pytest.mark.parametrize(
    ("schema", "text", "expected"),
    [
        ({"type": "integer"}, "many", "a whole number"),
        ({"type": "integer", "minimum": 1}, "0", "1 or more"),
        ({"type": "integer", "maximum": 65535}, "99999", "65535 or less"),
        ({"type": "number", "exclusiveMinimum": 0}, "0", "more than 0"),
        ({"type": "boolean"}, "perhaps", "yes or no"),
        ({"enum": ["a", "b"]}, "c", "one of a, b"),
        ({"type": "string", "minLength": 1}, "", "empty"),
        ({"type": "string", "maxLength": 3}, "abcd", "at most 3"),
        ({"type": "string", "pattern": "^x"}, "y", "\\^x"),
        ({"type": "array", "minItems": 1}, "", "at least 1"),
        ({"type": "array", "items": {"type": "string", "maxLength": 1}}, "a,bb", "at most 1"),
    ],
)
def test_what_cannot_be_taken_is_told(schema: dict[str, object], text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        Field("it", schema).read(text)


def test_lists_and_switches_are_read() -> None:
    assert Field("it", {"type": "array"}).read("a, b") == ["a", "b"]
    assert Field("it", {"type": "boolean"}).read("yes") is True
    assert Field("it", {"type": ["string", "array"]}).read("db1,db2") == "db1,db2"
    # a secret is what it is
    assert Field("it", {}, secret=True).read(" x ") == " x "


@pytest.mark.parametrize(
    ("text", "value"), [("5", 5), ('"5"', "5"), ("north", "north"), ("null", None), ("[1]", [1])]
)
def test_value_without_a_schema(text: str, value: object) -> None:
    assert setting(text) == value
