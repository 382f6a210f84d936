"""/v1/files by the official SDK and by a raw client."""

import asyncio
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from services.gateway import files as file_store
from services.gateway.bytestore.port import Piece
from services.gateway.http.ranges import Unsatisfiable, told, wanted
from services.gateway.store.tables import now_ms
from tests.gateway.conftest import KEY, Platform, platform_of

pytestmark = pytest.mark.req("C3", "C6")
DATA = bytes(range(256)) * 8
PURPOSES = ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


@pytest_asyncio.fixture
async def client(platform: Platform) -> Any:
    base = f"http://{platform.settings.http_bind}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key=KEY, max_retries=0) as made:
        yield made


async def test_file_goes_up_down_and_away(client: openai.AsyncOpenAI) -> None:
    made = await client.files.create(file=("täble.csv", DATA, "text/csv"), purpose="assistants")
    assert (made.object, made.filename, made.bytes) == ("file", "täble.csv", len(DATA))
    assert (made.purpose, made.status, made.expires_at) == ("assistants", "processed", None)
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.content(made.id)).content == DATA
    gone = await client.files.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "file", True)
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match=made.id):
            await call(made.id)


@pytest.mark.parametrize("purpose", [*PURPOSES, "file-extract", "answers"])
async def test_purposes_of_openai_and_upstream_are_taken(platform: Platform, purpose: str) -> None:
    sent = {"file": ("a.csv", b"a")}
    made = await platform.http.post("/v1/files", files=sent, data={"purpose": purpose})
    assert made.json()["purpose"] == purpose


async def test_list_has_orders_pages_and_purposes(client: openai.AsyncOpenAI) -> None:
    given: list[Any] = ["batch", "user_data", "batch", "user_data", "batch"]
    made = [
        (await client.files.create(file=(f"{n}.csv", b"a"), purpose=purpose)).id
        for n, purpose in enumerate(given)
    ]
    assert [each.id async for each in client.files.list()] == made[::-1]
    assert [each.id async for each in client.files.list(order="asc", limit=2)] == made
    assert [each.id async for each in client.files.list(limit=2)] == made[::-1]
    assert [e.id async for e in client.files.list(purpose="batch", order="asc")] == made[::2]
    behind = client.files.list(after=made[1], order="asc", purpose="batch", limit=1)
    assert [each.id async for each in behind] == [made[2], made[4]]
    page = await client.files.list(limit=10_000)
    assert len(page.data) == 5 and page.has_more is False
    for query in ({"order": "up"}, {"limit": "many"}):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.files.list(extra_query=query)
        assert refused.value.param == next(iter(query))
    with pytest.raises(openai.NotFoundError):
        await client.files.list(after="file-none")


async def test_file_expires_by_itself(
    client: openai.AsyncOpenAI, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    until: Any = {"anchor": "created_at", "seconds": 3600}
    made = await client.files.create(file=("a.csv", b"a"), purpose="user_data", expires_after=until)
    stays = await client.files.create(file=("b.csv", b"b"), purpose="user_data")
    assert made.expires_at == made.created_at + 3600
    late = now_ms() + 3600 * 1000 + 1
    monkeypatch.setattr(file_store, "now_ms", lambda: late)
    assert [each.id async for each in client.files.list()] == [stays.id]
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(made.id)


async def test_expired_files_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.gateway.EXPIRY_S", 0.05)
    async with platform_of(tmp_path) as platform:
        form = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
        await platform.http.post("/v1/files", files={"file": ("a", b"a")}, data=form)
        await platform.http.post("/v1/files", files={"file": ("b", b"b")})
        kept = tmp_path / "gateway" / "files"
        assert len(list(kept.iterdir())) == 2
        late = now_ms() + 3600 * 1000 + 1
        monkeypatch.setattr(file_store, "now_ms", lambda: late)
        async with asyncio.timeout(30):
            while len(list(kept.iterdir())) > 1:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"purpose": "a b"}, "purpose"),
        ({"purpose": "x" * 41}, "purpose"),
        ({"purpose": "assistants_output"}, "purpose"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"}, "expires_after[seconds]"),
    ],
)  # fmt: skip
async def test_bad_form_names_its_field(
    platform: Platform, form: dict[str, str], param: str
) -> None:
    refused = await platform.http.post("/v1/files", files={"file": ("a", b"a")}, data=form)
    assert refused.status_code == 400 and refused.json()["error"]["param"] == param
    assert (await platform.http.get("/v1/files")).json()["data"] == []


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\ntorn", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data"),
        (b"{}", "application/json"),
        (b"a=b", "application/x-www-form-urlencoded"),
    ],
)
async def test_what_is_no_upload_is_told(
    platform: Platform, content: bytes, media_type: str
) -> None:
    headers = {"content-type": media_type}
    refused = await platform.http.post("/v1/files", content=content, headers=headers)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.req("S6")
@pytest.mark.parametrize("chunked", [False, True])
async def test_upload_over_the_limit_ends_before_it_lies_on_the_disk(
    tmp_path: Path, chunked: bool
) -> None:
    async with platform_of(tmp_path, upload_bytes=1000) as platform:

        async def body() -> Any:
            yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield bytes(64 * 1024)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        more: dict[str, Any] = {"files": {"file": ("a", bytes(100_000))}}
        if chunked:
            more = {"content": body(), "headers": headers}
        refused = await platform.http.post("/v1/files", **more)
        assert refused.status_code == 413
        assert refused.json()["error"]["reason"] == "TOO_LARGE"
        just_over = await platform.http.post("/v1/files", files={"file": ("a", bytes(1001))})
        assert just_over.status_code == 413
        fits = await platform.http.post("/v1/files", files={"file": ("a", bytes(1000))})
        assert fits.status_code == 200
        assert len(list((tmp_path / "gateway" / "files").iterdir())) == 1


RANGES = [
    ("bytes=0-9", 206, DATA[:10], f"bytes 0-9/{len(DATA)}"),
    ("bytes=10-", 206, DATA[10:], f"bytes 10-{len(DATA) - 1}/{len(DATA)}"),
    ("bytes=-5", 206, DATA[-5:], f"bytes {len(DATA) - 5}-{len(DATA) - 1}/{len(DATA)}"),
    ("bytes=5-99999", 206, DATA[5:], f"bytes 5-{len(DATA) - 1}/{len(DATA)}"),
    ("bytes=-99999", 206, DATA, f"bytes 0-{len(DATA) - 1}/{len(DATA)}"),
    ("bytes=9-5", 200, DATA, None),
    ("bytes=0-1,5-6", 200, DATA, None),
    ("lines=1-2", 200, DATA, None),
    (f"bytes={len(DATA)}-", 416, None, f"bytes */{len(DATA)}"),
    ("bytes=-0", 416, None, f"bytes */{len(DATA)}"),
]


async def test_content_is_given_in_ranges(platform: Platform) -> None:
    made = (await platform.http.post("/v1/files", files={"file": ("a.bin", DATA)})).json()
    path = f"/v1/files/{made['id']}/content"
    whole = await platform.http.get(path)
    assert whole.headers["accept-ranges"] == "bytes" and whole.content == DATA
    for asked, status, content, of in RANGES:
        got = await platform.http.get(path, headers={"range": asked})
        assert (got.status_code, got.headers.get("content-range")) == (status, of), asked
        if content is not None:
            assert got.content == content and int(got.headers["content-length"]) == len(content)
        else:
            assert got.json()["error"]["param"] == "range"
    some = {"range": "bytes=0-0"}
    same = await platform.http.get(path, headers={**some, "if-range": whole.headers["etag"]})
    assert same.status_code == 206
    other = await platform.http.get(path, headers={**some, "if-range": '"another"'})
    assert other.status_code == 200
    head = await platform.http.head(path)
    assert head.headers["content-length"] == str(len(DATA)) and head.content == b""


@given(st.integers(0, 50), st.integers(0, 60), st.none() | st.integers(0, 60))
def test_range_is_a_slice_of_the_body(size: int, first: int, last: int | None) -> None:
    body = bytes(size)
    header = f"bytes={first}-{'' if last is None else last}"
    expected = body[first : None if last is None else last + 1]
    try:
        piece = wanted(header, size)
    except Unsatisfiable:
        assert not expected
        return
    if piece is None:
        assert last is not None and last < first
        return
    assert piece == Piece(first, len(expected)) and piece.length > 0
    assert told(piece, size).startswith(f"bytes {first}-")
