import base64
import os
from pathlib import Path

import psutil
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob.aio import BlobServiceClient

from dev.azurite import Azurite, install
from dev.azurite import azurite as start_azurite


async def test_azurite_stores_and_gives_blobs(azurite: Azurite) -> None:
    async with azurite.container() as container:
        await container.upload_blob("sales/2026-01.csv", b"a,b\n1,2\n")
        names = [each.name async for each in container.list_blobs()]
        download = await container.download_blob("sales/2026-01.csv")
        assert names == ["sales/2026-01.csv"]
        assert await download.readall() == b"a,b\n1,2\n"


async def test_azurite_takes_account_url_with_key(azurite: Azurite) -> None:
    async with BlobServiceClient(azurite.account_url, credential=azurite.key) as service:
        assert (await service.get_account_information())["account_kind"] == "StorageV2"


async def test_azurite_with_wrong_key_refuses(azurite: Azurite) -> None:
    wrong = base64.b64encode(os.urandom(64)).decode()
    async with BlobServiceClient(azurite.account_url, credential=wrong) as service:
        with pytest.raises(HttpResponseError) as refusal:
            await service.get_account_information()
    assert refusal.value.status_code == 403


async def test_container_is_deleted_after_use(azurite: Azurite) -> None:
    async with azurite.container() as container:
        name = container.container_name
    async with azurite.service() as service:
        assert name not in [each["name"] async for each in service.list_containers()]


async def test_azurite_stopped_leaves_nothing(parts_folder: Path) -> None:
    folder = parts_folder / "another-azurite"
    async with start_azurite(folder) as server:
        process = psutil.Process(server.pid)
        assert server.key not in " ".join(process.cmdline())
        assert list(process.environ()).count("AZURITE_ACCOUNTS") == 1
    assert not process.is_running()
    assert not folder.exists()


async def test_installed_twice_gives_the_same_folder() -> None:
    assert await install.installed() == await install.installed()


def test_lock_file_pins_everything_and_names_no_registry() -> None:
    lock = (install.HERE / "package-lock.json").read_text()
    assert '"azurite": "3.37.0"' in lock
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') > 100
