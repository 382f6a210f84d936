"""python container.py FILE NAME

Makes the container NAME, if it is not there, in the account whose connection string is in FILE."""

import sys
from contextlib import suppress
from pathlib import Path

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient

connection_string = Path(sys.argv[1]).read_text().strip()
container = ContainerClient.from_connection_string(connection_string, sys.argv[2])
with container, suppress(ResourceExistsError):
    container.create_container()
