"""Links to files: without a key, until they expire, and for nothing else."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.status import Unauthenticated
from services.gateway.links import Links
from tests.gateway.conftest import ANSWER, CODE, Platform, platform_of
from tests.gateway.doubles import PNG

pytestmark = pytest.mark.req("C6", "S2")
NOW = 1_796_000_000.0


def links(**changes: Any) -> Links:
    given = {"key": b"k" * 32, "lifetime_s": 60.0, "clock": lambda: NOW}
    return Links(**{**given, **changes})


def parts(url: str) -> tuple[str, str, str]:
    """File, time and signature."""
    split = urlsplit(url)
    asked = parse_qs(split.query)
    return split.path.split("/")[-2], asked["expires"][0], asked["signature"][0]


def test_link_is_good_until_it_expires() -> None:
    file, expires, signature = parts(links().of("file-1"))
    assert (file, int(expires)) == ("file-1", NOW + 60)
    links().check(file, expires, signature)
    links(clock=lambda: NOW + 60).check(file, expires, signature)
    with pytest.raises(Unauthenticated, match="expired") as late:
        links(clock=lambda: NOW + 61).check(file, expires, signature)
    assert "GET /v1/files/file-1" in late.value.remedy


@pytest.mark.parametrize(
    ("file", "expires", "signature"),
    [
        ("file-2", None, None),
        (None, str(int(NOW) + 61), None),
        (None, "9" * 20, None),
        (None, "9" * 21, None),
        (None, "", None),
        (None, "-1", None),
        (None, "²", None),
        (None, None, "x"),
        (None, None, "é"),
    ],
)
def test_link_that_was_changed_is_refused(file: str, expires: str, signature: str) -> None:
    good = parts(links().of("file-1"))
    changed = [b if a is None else a for a, b in zip((file, expires, signature), good, strict=True)]
    with pytest.raises(Unauthenticated):
        links().check(*changed)


def test_link_stays_the_same_for_a_while() -> None:
    moments = [NOW + seconds for seconds in (0.1, 1, 2.4, 2.5, 2.6)]
    told = [parts(links(clock=lambda at=at: at).of("file-1")) for at in moments]
    assert len({*told[:4]}) == 1 and told[4] != told[0]
    assert all(int(each[1]) - at >= 60 for each, at in zip(told, moments, strict=True))


def test_link_of_another_key_or_of_none_is_refused() -> None:
    good = parts(links().of("file-1"))
    for other in (links(key=b"x" * 32), links(lifetime_s=0.0)):
        with pytest.raises(Unauthenticated):
            other.check(*good)
    assert links(lifetime_s=0.0).of("file-1") == "/v1/files/file-1/content"
    absolute = links(base="https://isobath.example.com").of("file-1")
    assert absolute.startswith("https://isobath.example.com/v1/files/file-1/content?expires=")
    assert "kkkk" not in repr(links())


@given(st.text(), st.text(), st.text())
def test_nothing_made_up_is_taken(file: str, expires: str, signature: str) -> None:
    with pytest.raises(Unauthenticated):
        links().check(file, expires, signature)


async def answered(platform: Platform) -> dict[str, Any]:
    await platform.source()
    platform.models.turns = [CODE.format(f"show({PNG!r})"), ANSWER.format("It is **42**.")]
    return dict((await platform.chat({"source": "shop", "table": "public.orders"})).json())


async def test_figures_and_reports_are_shown_without_a_key(platform: Platform) -> None:
    reply = await answered(platform)
    files = {each["name"]: each["url"] for each in reply["generated_files"]}
    assert list(files) == ["figure-1-1.png", "report.md", "report.html"]
    # as Markdown too, for clients that know only the content
    content = reply["choices"][0]["message"]["content"]
    base = f"http://{platform.settings.http_bind}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as stranger:
        assert "![figure-1-1.png](/v1/files/" in content
        picture = await stranger.get(files["figure-1-1.png"])
        assert picture.content == PNG and picture.headers["content-type"] == "image/png"
        page = await stranger.get(files["report.html"])
        assert "data:image/png;base64," in page.text and "<strong>42</strong>" in page.text
        assert page.headers["content-security-policy"] == "sandbox"
        report = (await stranger.get(files["report.md"])).text
        assert report.startswith("# How many?") and "![figure-1-1.png](figure-1-1.png)" in report
        for wrong in (
            files["report.md"].split("?")[0],
            files["report.md"][:-1] + "_",
            files["report.md"]
            .replace("content?", "content?x=1&")
            .replace("expires=1", "expires=2"),
        ):
            refused = await stranger.get(wrong)
            assert refused.status_code == 401, wrong
        # and it opens nothing else
        id = files["report.md"].split("/")[3]
        query = files["report.md"].partition("?")[2]
        assert (await stranger.get(f"/v1/files/{id}?{query}")).status_code == 401
        assert (await stranger.delete(f"/v1/files/{id}?{query}")).status_code == 401
        await platform.http.delete(f"/v1/files/{id}")
        assert (await stranger.get(files["report.md"])).status_code == 404


async def test_events_tell_the_links(platform: Platform) -> None:
    await platform.source()
    platform.models.turns = [CODE.format(f"show({PNG!r})"), ANSWER.format("It is.")]
    chunks = await platform.stream({"source": "shop", "table": "public.orders"})
    told = [chunk["isobath"] for chunk in chunks if "isobath" in chunk]
    figure = next(each["figure"] for each in told if "figure" in each)
    artifact = next(each["artifact"] for each in told if "artifact" in each)
    for event in (figure, artifact):
        assert event["url"].startswith(f"/v1/files/{event['file_id']}/content?expires=")


async def test_links_may_be_absolute_or_need_a_key(tmp_path: Path) -> None:
    async with platform_of(tmp_path, public_url="https://a.example/", link_s=0.0) as platform:
        reply = await answered(platform)
        (url,) = {each["url"] for each in reply["generated_files"][:1]}
        assert url.startswith("https://a.example/v1/files/file-") and url.endswith("/content")
        link = f"{urlsplit(url).path}?expires=1&signature=x"
        assert (await platform.http.get(link)).status_code == 401
