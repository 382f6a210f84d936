"""What Jobs of the manifests run, on the real thing."""

import asyncio
import sys
import uuid
from pathlib import Path

import pytest
from azure.storage.blob import ContainerClient

from dev.azurite import Azurite
from dev.manifests import K8S


@pytest.mark.req("K1")
async def test_container_of_the_files_is_made_and_may_be_there(
    azurite: Azurite, tmp_path: Path
) -> None:
    file, name = tmp_path / "connection-string", f"files-{uuid.uuid4().hex[:8]}"
    file.write_text(azurite.connection_string + "\n")
    script = K8S / "components" / "azurite" / "container.py"
    for _ in range(2):
        made = await asyncio.create_subprocess_exec(sys.executable, str(script), str(file), name)
        assert await made.wait() == 0
    with ContainerClient.from_connection_string(azurite.connection_string, name) as container:
        assert container.exists()
        container.delete_container()
