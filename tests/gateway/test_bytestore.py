"""One suite for both stores of bytes; what only a container can do or fail at; and the same under
a gateway."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerSasPermissions, generate_container_sas
from azure.storage.blob.aio import BlobClient, BlobServiceClient
from hypothesis import given
from hypothesis import strategies as st

from dev.azurite import Azurite
from dev.azurite import azurite as start_azurite
from servicekit.ports import free_port
from servicekit.secrets import Secret
from servicekit.settings import SettingsError, load
from services.gateway.bytestore import container as blobs
from services.gateway.bytestore.container import AT_ONCE_BYTES, BLOCK_BYTES, blocks_of
from services.gateway.bytestore.place import opened, place_of
from services.gateway.bytestore.port import ByteStore, Gone, Kept, Piece
from services.gateway.bytestore.settings import FilesSettings
from services.gateway.errors import FilesLost
from tests.blob_connector.directory import APPLICATION, TENANT, directory, federated, self_signed
from tests.gateway.conftest import platform_of

pytestmark = [pytest.mark.req("C6", "K3"), pytest.mark.usefixtures("no_leaks")]
LARGEST = 512 * 1024 * 1024
# more than one block, and no whole number of them
LONG = BLOCK_BYTES + BLOCK_BYTES // 2 + 7


def new_name() -> str:
    return "file-" + secrets.token_hex(12)


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def told(store: ByteStore, name: str, offset: int, length: int) -> bytes:
    async with aclosing(store.read(name, Piece(offset, length))) as pieces:
        return b"".join([piece async for piece in pieces])


async def lying(store: ByteStore) -> list[Kept]:
    return [each async for each in store.kept()]


@pytest_asyncio.fixture
async def files(azurite: Azurite) -> AsyncIterator[FilesSettings]:
    """Of a container that is there and empty."""
    async with azurite.container() as client:
        url = f"{azurite.account_url}/{client.container_name}"
        yield FilesSettings(url=url, account_key=Secret(azurite.key), retries=1)


@pytest_asyncio.fixture(params=["folder", "container"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, files: FilesSettings
) -> AsyncIterator[ByteStore]:
    settings = files if request.param == "container" else FilesSettings()
    async with opened(settings, tmp_path, LARGEST) as made:
        yield made


@pytest.mark.parametrize(
    "size", [0, 1, AT_ONCE_BYTES, AT_ONCE_BYTES + 1, BLOCK_BYTES, BLOCK_BYTES + 1, LONG]
)
async def test_bytes_come_back_as_they_went(store: ByteStore, size: int) -> None:
    name, data = new_name(), os.urandom(size)
    parts = [data[at : at + 100_003] for at in range(0, size, 100_003)]
    assert await store.write(name, chunks(*parts, b"")) == size
    assert await told(store, name, 0, size) == data
    (kept,) = await lying(store)
    assert (kept.name, kept.size_bytes) == (name, size) and kept.written_ms > 1_700_000_000_000


async def test_pieces_are_what_lies_there(store: ByteStore) -> None:
    name, data = new_name(), os.urandom(LONG)
    await store.write(name, chunks(data))
    edge = BLOCK_BYTES
    for offset, end in [(0, 1), (LONG - 1, LONG), (edge - 3, edge + 3), (5, LONG), (7, 7)]:
        assert await told(store, name, offset, end - offset) == data[offset:end]


async def test_what_is_not_there_is_told_before_the_first_bytes(store: ByteStore) -> None:
    with pytest.raises(Gone):
        await told(store, new_name(), 0, 1)
    name = new_name()
    await store.write(name, chunks(b"short"))
    with pytest.raises(Gone):
        await told(store, name, 0, 6)
    with pytest.raises(Gone):
        await told(store, name, 100, 1)


async def test_delete_may_be_repeated(store: ByteStore) -> None:
    name = new_name()
    await store.write(name, chunks(b"x"))
    for _ in range(2):
        await store.delete(name)
    assert await lying(store) == []
    with pytest.raises(Gone):
        await told(store, name, 0, 1)


async def test_all_names_are_listed_in_their_order(
    store: ByteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs, "PAGE", 3)
    names = [new_name() for _ in range(8)]
    for name in names:
        await store.write(name, chunks(b"x"))
    assert [each.name for each in await lying(store)] == sorted(names)


async def test_many_at_once_do_not_mix(store: ByteStore) -> None:
    data = {new_name(): os.urandom(size) for size in (1, 1000, LONG, LONG + 1, BLOCK_BYTES)}

    async def both(name: str) -> bytes:
        await store.write(name, chunks(data[name]))
        return await told(store, name, 0, len(data[name]))

    assert await asyncio.gather(*map(both, data)) == [*data.values()]


@pytest.mark.req("S8")
@pytest.mark.parametrize("before", [0, 10, LONG, 3 * LONG])
async def test_source_that_fails_leaves_nothing(store: ByteStore, before: int) -> None:
    class Torn(Exception):
        pass

    async def torn() -> AsyncIterator[bytes]:
        for at in range(0, before, BLOCK_BYTES):
            yield bytes(min(BLOCK_BYTES, before - at))
        raise Torn

    name = new_name()
    with pytest.raises(Torn):
        await store.write(name, torn())
    assert await lying(store) == []
    with pytest.raises(Gone):
        await told(store, name, 0, 1)


@pytest.mark.req("S8")
@pytest.mark.parametrize("given", [10, LONG, 3 * LONG])
async def test_write_that_is_cancelled_leaves_nothing(store: ByteStore, given: int) -> None:
    waiting = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(given // 1_000_000 + 1):
            yield bytes(1_000_000)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(store.write(new_name(), slow()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await lying(store) == []


@pytest.mark.req("S8")
async def test_write_may_be_cancelled_at_any_step(store: ByteStore) -> None:
    """It ends, and what is to be seen is all of it or nothing."""
    data = os.urandom(LONG)
    parts = [data[at : at + 1_000_000] for at in range(0, LONG, 1_000_000)]
    whole = 0
    for steps in range(0, 120, 7):
        name = new_name()
        task = asyncio.create_task(store.write(name, chunks(*parts)))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if any(each.name == name for each in await lying(store)):
            whole += 1
            assert await told(store, name, 0, LONG) == data
    await store.write(new_name(), chunks(*parts))
    assert len(await lying(store)) == whole + 1


async def test_reader_may_leave_at_any_time(store: ByteStore) -> None:
    name = new_name()
    await store.write(name, chunks(bytes(LONG)))
    async with aclosing(store.read(name, Piece(0, LONG))) as pieces:
        assert await anext(pieces)
    for steps in range(12):
        task = asyncio.create_task(told(store, name, 0, LONG))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.delete(name)


async def test_gateways_that_start_at_once_check_the_same_store(store: ByteStore) -> None:
    await asyncio.gather(*(store.check() for _ in range(30)))
    assert await lying(store) == []


async def test_check_leaves_nothing(store: ByteStore) -> None:
    await store.check()
    assert await lying(store) == []


@given(st.lists(st.binary(max_size=20)), st.integers(1, 7))
def test_blocks_are_the_same_bytes(parts: list[bytes], size: int) -> None:
    async def blocks() -> list[bytes]:
        return [each async for each in blocks_of(chunks(*parts), size)]

    made = asyncio.run(blocks())
    assert b"".join(made) == b"".join(parts)
    assert all(len(each) == size for each in made[:-1]) and all(made)


async def test_memory_of_a_write_is_bounded_by_blocks(
    files: FilesSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However slowly the account takes them, no more is read ahead."""
    monkeypatch.setattr(blobs, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(blobs, "AT_ONCE_BYTES", 100)
    async with opened(files, tmp_path, LARGEST) as store:
        read, landed, most = 0, 0, 0
        staged = BlobClient.stage_block

        async def stage(self: Any, *args: Any, **more: Any) -> Any:
            nonlocal landed, most
            await asyncio.sleep(0.01)
            most = max(most, read - landed)
            told = await staged(self, *args, **more)
            landed += 1000
            return told

        async def source() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(200):
                read += 100
                yield bytes(100)

        monkeypatch.setattr(BlobClient, "stage_block", stage)
        await store.write(new_name(), source())
    assert 1000 <= most <= (blobs.BLOCKS_AHEAD + 1) * 1000


# Places and credentials


@pytest.mark.parametrize(
    ("url", "endpoint", "account", "container"),
    [
        ("https://acct.blob.core.windows.net/files", "https://acct.blob.core.windows.net", "acct", "files"),
        ("https://acct.blob.core.chinacloudapi.cn/f/", "https://acct.blob.core.chinacloudapi.cn", "acct", "f"),
        ("http://127.0.0.1:10000/devstoreaccount1/files", "http://127.0.0.1:10000/devstoreaccount1", "devstoreaccount1", "files"),
        ("http://azurite:10000/devstoreaccount1/files", "http://azurite:10000/devstoreaccount1", "devstoreaccount1", "files"),
    ],
)  # fmt: skip
def test_place_is_read_from_the_url(url: str, endpoint: str, account: str, container: str) -> None:
    place = place_of(url)
    assert (place.endpoint, place.account, place.container) == (endpoint, account, container)


@pytest.mark.parametrize(
    "url",
    ["https://acct.blob.core.windows.net", "https://acct.blob.core.windows.net/a/b", "https://acct.blob.core.windows.net/a?sig=x", "http://127.0.0.1:1/files"],
)  # fmt: skip
async def test_url_without_a_container_is_refused(url: str, tmp_path: Path) -> None:
    settings = FilesSettings(url=url, account_key=Secret("a2V5"))
    with pytest.raises(SettingsError, match=r"FILES_URL expects https://ACCOUNT"):
        async with opened(settings, tmp_path, LARGEST):
            pass


@pytest.mark.parametrize(
    ("more", "told_of"),
    [
        ({"URL": "https://a.blob.core.windows.net/f"}, "URL needs one of"),
        ({"ACCOUNT_KEY": "a2V5"}, "without URL none"),
        ({"URL": "https://a.blob.core.windows.net/f", "ACCOUNT_KEY": "a2V5", "SAS_TOKEN": "s"}, "URL needs one of"),
        ({"URL": "ftp://a/f", "ACCOUNT_KEY": "a2V5"}, "URL expects https"),
        ({"URL": "http://a.b/f", "IDENTITY": "workload_identity"}, "only sent over TLS"),
        ({"URL": "https://a.b/f", "IDENTITY": "default"}, "managed_identity"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_told(more: dict[str, str], told_of: str) -> None:
    environ = {f"ISOBATH_GATEWAY_FILES_{name}": value for name, value in more.items()}
    with pytest.raises(SettingsError, match=told_of):
        load(FilesSettings, environ, prefix="ISOBATH_GATEWAY_FILES_")


def sas_of(azurite: Azurite, container: str, permission: str) -> str:
    return generate_container_sas(
        azurite.account,
        container,
        account_key=azurite.key,
        permission=ContainerSasPermissions.from_string(permission),
        expiry="2100-01-01",
    )


@pytest.mark.parametrize("way", ["connection_string", "account_key", "sas_token"])
async def test_every_credential_signs_in(azurite: Azurite, tmp_path: Path, way: str) -> None:
    async with azurite.container() as client:
        secret = {
            "connection_string": azurite.connection_string,
            "account_key": azurite.key + "\n",
            "sas_token": "?" + sas_of(azurite, client.container_name, "rwdl"),
        }[way]
        url = f"{azurite.account_url}/{client.container_name}"
        given: dict[str, Any] = {way: Secret(secret)}
        settings = FilesSettings(url=url, **given)
        async with opened(settings, tmp_path, LARGEST) as store:
            name = new_name()
            await store.write(name, chunks(b"x"))
            assert await told(store, name, 0, 1) == b"x"
            assert [blob.name async for blob in client.list_blobs()] == [name]


@pytest.mark.parametrize("kind", ["workload_identity", "managed_identity"])
async def test_identity_signs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    with TemporaryDirectory(prefix="isobath-tls-") as folder:
        pem = self_signed(Path(folder) / "tls.pem")
        async with (
            start_azurite(Path(folder) / "azurite", pem=pem) as server,
            directory(pem) as entra,
        ):
            monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(federated(tmp_path / "token")))
            monkeypatch.setenv("AZURE_CLIENT_ID", APPLICATION)
            monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
            monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", f"https://{entra.host}")
            async with BlobServiceClient.from_connection_string(
                server.connection_string, connection_verify=str(pem)
            ) as service:
                await service.create_container("files")
            settings = FilesSettings(
                url=f"{server.account_url}/files",
                identity=kind,
                authority=entra.host,
                ca_file=str(pem),
                retries=1,
            )
            async with opened(settings, tmp_path, LARGEST) as store:
                name = new_name()
                await store.write(name, chunks(b"x"))
                assert await told(store, name, 0, 1) == b"x"
            assert entra.given == ["federated" if kind == "workload_identity" else "machine"]
            entra.refusal = "AADSTS70021"
            with pytest.raises(SettingsError, match="gets no token where the gateway runs") as no:
                async with opened(settings, tmp_path, LARGEST):
                    pass
            assert "planted-secret" not in str(no.value)


@pytest.mark.req("S6")
@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("no container", "answered 404 ContainerNotFound; make the container"),
        ("other key", "answered 403 .*copy the credential anew"),
        ("read only", "answered 403 .*sp=rwdl"),
        ("may not list", "answered 403 .*sp=rwdl"),
        ("other account", "do not belong together"),
        ("no key", "cannot be read"),
        ("nobody there", "cannot be reached; see that the account is there"),
    ],
)
async def test_store_that_cannot_be_used_is_told_at_start(
    azurite: Azurite, tmp_path: Path, case: str, says: str
) -> None:
    async with azurite.container() as client:
        name = client.container_name
        url = f"{azurite.account_url}/{name}"
        wrong = "d3Jvbmctd3Jvbmctd3Jvbmc="
        key = Secret(azurite.key)
        settings = {
            "no container": FilesSettings(url=f"{azurite.account_url}/none", account_key=key),
            "other key": FilesSettings(url=url, account_key=Secret(wrong)),
            "read only": FilesSettings(url=url, sas_token=Secret(sas_of(azurite, name, "rl"))),
            "may not list": FilesSettings(url=url, sas_token=Secret(sas_of(azurite, name, "rwd"))),
            "other account": FilesSettings(
                url="https://acct.blob.core.windows.net/files",
                connection_string=Secret(azurite.connection_string),
            ),
            "no key": FilesSettings(url=url, connection_string=Secret("AccountKey=planted")),
            "nobody there": FilesSettings(
                url=f"http://127.0.0.1:{free_port()}/acct/files", account_key=key, retries=0
            ),
        }[case]
        with pytest.raises(SettingsError, match=says) as refused:
            async with opened(settings, tmp_path, LARGEST):
                pass
        for secret in (azurite.key, wrong, "sig=", "planted"):
            assert secret not in str(refused.value)


@pytest.mark.req("S6")
async def test_folder_that_cannot_be_written_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "files").symlink_to("/proc")
    with pytest.raises(SettingsError, match=r"store of files: folder .*files: .*let the gateway"):
        async with opened(FilesSettings(), tmp_path, LARGEST):
            pass


async def test_container_that_is_gone_meanwhile_is_no_missing_file(
    azurite: Azurite, tmp_path: Path
) -> None:
    async with azurite.container() as client:
        url = f"{azurite.account_url}/{client.container_name}"
        settings = FilesSettings(url=url, account_key=Secret(azurite.key))
        async with opened(settings, tmp_path, LARGEST) as store:
            await client.delete_container()
            for call in (told(store, new_name(), 0, 1), store.delete(new_name()), lying(store)):
                with pytest.raises(FilesLost) as lost:
                    await call
                assert "ContainerNotFound" in lost.value.why
                assert client.container_name not in lost.value.message


async def test_largest_file_is_what_a_blob_may_hold(files: FilesSettings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="UPLOAD_BYTES expects 209,715,200,000 at most"):
        async with opened(files, tmp_path, 10**12):
            pass


# Under a gateway


async def test_files_of_a_gateway_lie_in_the_container(
    azurite: Azurite, files: FilesSettings, tmp_path: Path
) -> None:
    data = os.urandom(LONG)
    async with platform_of(tmp_path, files=files) as platform:
        made = (await platform.http.post("/v1/files", files={"file": ("a.bin", data)})).json()
        path = f"/v1/files/{made['id']}/content"
        assert (await platform.http.get(path)).content == data
        some = await platform.http.get(path, headers={"range": f"bytes=5-{BLOCK_BYTES + 5}"})
        assert (some.status_code, some.content) == (206, data[5 : BLOCK_BYTES + 6])
        empty = (await platform.http.post("/v1/files", files={"file": ("b", b"")})).json()
        assert (await platform.http.get(f"/v1/files/{empty['id']}/content")).content == b""
        async with azurite.service() as service:
            client = service.get_container_client(files.url.rpartition("/")[2])
            blobs_there = {blob.name async for blob in client.list_blobs()}
            assert blobs_there == {made["id"], empty["id"]}
            assert not (tmp_path / "gateway" / "files").exists()
            # bytes that were lost behind the gateway's back
            await client.delete_blob(made["id"])
            lost = await platform.http.get(path)
            assert lost.status_code == 404 and "upload it again" in lost.text
            assert (await platform.http.delete(f"/v1/files/{made['id']}")).status_code == 200
            await client.delete_container()
        away = await platform.http.post("/v1/files", files={"file": ("c", b"c")})
        error = away.json()["error"]
        assert (away.status_code, error["reason"]) == (503, "SERVICE_UNAVAILABLE")
        assert "account" not in away.text and away.headers["retry-after"] == "5"
