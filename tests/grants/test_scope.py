import itertools
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grants.errors import BeyondGrant
from grants.scope import allow, inside, permits, problem_of, reaches
from tests.grants.samples import GRANT, grant, scoped

NAMES = [
    "".join(letters)
    for length in range(1, 6)
    for letters in itertools.product("ab/", repeat=length)
]
patterns = st.text(alphabet="ab/*?", min_size=1, max_size=7)


def matches(pattern: str, name: str) -> bool:
    """Another reading of the same grammar, by a regular expression."""
    if pattern.endswith("/"):
        pattern += "**"
    parts = pattern.split("/")
    text = ""
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == "**":
            text += "(?:[^/]*/)*" + ("[^/]*" if last else "")
            continue
        text += re.sub(r"\*+", "[^/]*", part.replace("?", "[^/]")) + ("" if last else "/")
    return re.fullmatch(text, name) is not None


@given(patterns, patterns)
@settings(max_examples=400, deadline=None)
@example("a/**", "a")
@example("a?/*", "a**")
@example("**/b", "b")
def test_request_allowed_never_matches_a_name_outside_the_scope(scope: str, request: str) -> None:
    if inside(request, [scope]):
        beyond = [name for name in NAMES if matches(request, name) and not matches(scope, name)]
        assert not beyond


@given(patterns, st.sampled_from(NAMES))
@settings(max_examples=400, deadline=None)
def test_name_is_inside_a_scope_exactly_when_it_matches(scope: str, name: str) -> None:
    if not name.endswith("/"):
        assert inside(name, [scope]) == matches(scope, name)


@given(patterns)
def test_pattern_is_inside_itself_unless_its_meaning_is_open(pattern: str) -> None:
    if not re.search(r"[^/]\*\*|\*\*[^/]", pattern):
        assert inside(pattern, [pattern])


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("public.*", "public.orders"),
        ("public.orders", "public.orders"),
        ("sales/", "sales/2026/01.csv"),
        ("sales/", "sales/"),
        ("sales/", "sales/*.csv"),
        ("sales/", "sales/[ab].csv"),
        ("sales/", "sales/{a,b/c}.csv"),
        ("sales/**", "sales/2026/**/*.csv"),
        ("sales/2026-*/*.csv", "sales/2026-01/a.csv"),
        ("**/*.parquet", "a.parquet"),
        ("**/*.parquet", "deep/down/*.parquet"),
        ("**", ""),
        ("sales/?.csv", "sales/?.csv"),
    ],
)
def test_path_in_scope_is_allowed(scope: str, path: str) -> None:
    allow(scoped("other/", scope), "read", path)


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ("public.*", "secret.orders"),
        ("public.*", "Public.orders"),
        ("public.*", "public"),
        ("public.orders", "public.orders_archive"),
        ("sales/", "sales"),
        ("sales/", "SALES/a.csv"),
        ("sales/", "/sales/a.csv"),
        ("sales/", "salesforce/a.csv"),
        ("sales/", "sales/../secret.csv"),
        ("sales/", "sales/./a.csv"),
        ("sales/", "sales\\..\\secret.csv"),
        ("sales/", "sales/a\x00.csv"),
        ("sales/", "sales%2Fa.csv"),
        ("sales/", "s*/a.csv"),
        ("sales/", "**"),
        ("sales/", ""),
        ("sales/*.csv", "sales/deep/a.csv"),
        ("sales/*.csv", "sales/**.csv"),
        ("sales/??.csv", "sales/*.csv"),
        ("sales/*.csv", "sales/[!x]"),
        ("sales/*.csv", "sales/{a.csv,../b.csv}"),
        ("caf\u00e9/", "cafe\u0301/a.csv"),
        ("..", ".."),
    ],
)
def test_path_beyond_scope_is_refused(scope: str, path: str) -> None:
    with pytest.raises(BeyondGrant) as refused:
        allow(scoped(scope), "read", path)
    assert (refused.value.operation, refused.value.path) == ("read", path)
    assert scope in str(refused.value)


def test_grant_without_scopes_reaches_the_whole_source() -> None:
    for path in (None, "", "public.orders", "../odd name", "**"):
        allow(GRANT, "read", path)


def test_operation_that_is_not_granted_is_refused_everywhere() -> None:
    with pytest.raises(BeyondGrant, match="write"):
        allow(GRANT, "write", "public.orders")
    with pytest.raises(BeyondGrant):
        allow(grant(operations=frozenset()), "read")
    with pytest.raises(BeyondGrant):
        allow(GRANT, "READ")


def test_operation_without_path_asks_for_no_scope() -> None:
    assert permits(scoped("sales/"), "read")


@pytest.mark.parametrize(
    ("scope", "container", "shown"),
    [
        ("public.*", "", True),
        ("public.*", "public", True),
        ("public.orders", "public", True),
        ("public.*", "secret", False),
        ("public.*", "pub", False),
        ("sales/2026/", "sales/", True),
        ("sales/2026/", "sales/2026/01/", True),
        ("sales/2026/", "sales/2025/", False),
        ("sales/2026/a.csv", "sales/2026/", True),
        ("sales/2026/a.csv", "sales/2026/a.csv/", False),
        ("sales/*/a.csv", "sales/2026/", True),
        ("sales/*/a.csv", "secret/", False),
        ("sales/", "sales/../", False),
    ],
)
def test_container_is_shown_when_something_beneath_may_be_in_scope(
    scope: str, container: str, shown: bool
) -> None:
    assert reaches(scoped(scope), container) is shown


def test_container_is_not_shown_without_the_right_to_list() -> None:
    assert not reaches(grant(operations=frozenset({"read"})), "")


def test_hostile_scope_is_matched_in_reasonable_steps() -> None:
    hostile = "*a" * 400 + "b"
    assert not inside("a" * 1024, [hostile])


@pytest.mark.parametrize("scope", ["", "a" * 1025, "a\\b", "sales/../x", "..", "a\nb"])
def test_scope_that_may_not_stand_tells_why(scope: str) -> None:
    assert problem_of(scope)


@pytest.mark.parametrize("scope", ["sales/", "public.*", "**", "a..b", ".hidden/x"])
def test_ordinary_scope_may_stand(scope: str) -> None:
    assert not problem_of(scope)
