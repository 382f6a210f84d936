"""What `make up` and `make demo` heed of the environment, prefix ISOBATH_."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from servicekit.secrets import Secret

Engine = Literal["rules", "openai", "vllm"]
HTTP_PORT = 8200
GRPC_PORT = 50050


@dataclass(frozen=True)
class Settings:
    """Where things go, and which engine answers."""

    home: Path = Path(".isobath")
    # Unset = the well-known ports; where one of the two is set, all others are free ones.
    http_port: int | None = None
    grpc_port: int | None = None
    engine: Engine = "rules"
    # openai: any OpenAI-compatible server, and the model's name there; vllm: a name or a folder.
    openai_base_url: str = ""
    openai_api_key: Secret | None = None
    model: str = ""
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if self.engine == "openai" and not self.openai_base_url:
            raise ValueError(
                "ENGINE=openai needs OPENAI_BASE_URL, such as http://127.0.0.1:8000/v1"
            )
        if self.engine == "vllm" and not self.model:
            raise ValueError("ENGINE=vllm needs MODEL: a name of the model hub, or a folder")
