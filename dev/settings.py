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

    # everything that is kept, and ready.json
    home: Path = Path(".isobath")
    # unset = 8200; where one of the two ports is set, all others are free ones
    http_port: int | None = None
    # unset = 50050
    grpc_port: int | None = None
    # rules: the embedded analyst; openai: any OpenAI-compatible server; vllm: vLLM in this machine
    engine: Engine = "rules"
    # openai: the server, such as http://127.0.0.1:8000/v1
    openai_base_url: str = ""
    # openai: its key, where it wants one
    openai_api_key: Secret | None = None
    # openai: the model's name there; vllm: a name of the model hub, or a folder
    model: str = ""
    # vllm: the interpreter of an environment that has vLLM; unset = the one of all services
    vllm_python: Path | None = None
    # the services show each other certificates, which are made in certs/ of the home
    mtls: bool = False
    # of all services: DEBUG, INFO, WARNING or ERROR
    log_level: str = "INFO"

    def __post_init__(self) -> None:
        if self.engine == "openai" and not self.openai_base_url:
            raise ValueError(
                "ISOBATH_ENGINE=openai needs ISOBATH_OPENAI_BASE_URL, "
                "such as http://127.0.0.1:8000/v1"
            )
        if self.engine == "vllm" and not self.model:
            raise ValueError(
                "ISOBATH_ENGINE=vllm needs ISOBATH_MODEL: a name of the model hub, or a folder"
            )
