"""ISOBATH_INFERENCE_…"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from servicekit.secrets import Secret
from servicekit.server import ServerSettings

EngineName = Literal["rules", "openai", "vllm"]


@dataclass(frozen=True)
class Settings:
    # rules: the embedded analyst, without a model; openai: a model server that speaks the OpenAI
    # API; vllm: vLLM within this service
    engine: EngineName = "rules"
    # The model as the engine knows it: its name on the model server (openai), or a folder or a name
    # of the model hub (vllm). `rules` has one of its own.
    model: str = "DeepAnalyze-8B"
    # The name it is served under here; unset = "DeepAnalyze-8B", and "isobath-rules" for rules.
    served_model: str = ""
    # native = trained on the tags; taught = a system prompt explains them; tools = the model calls
    # tools by itself (openai)
    protocol: Literal["native", "taught", "tools"] = "taught"

    # such as http://127.0.0.1:8000/v1
    openai_base_url: str = ""
    # where the credential service listens, to ask it for the model server's key, which it reads
    # from where its own MODEL_KEY says; unset = OPENAI_API_KEY
    credentials: str = ""
    # servers of one's own mostly want none
    openai_api_key: Secret = field(default_factory=lambda: Secret("none"))
    # attempts after the first, where the fault may pass
    openai_retries: int = 4
    # to the model server, in seconds
    connect_timeout_s: float = 5.0
    # no chunk for so long: the model server is taken for dead
    stall_timeout_s: float = 180.0

    # 0 = not told to callers; vllm: the engine's own
    context_tokens: int = 0
    # answers at once
    slots: int = 64
    # answers that may wait for a slot; one more is refused with TOO_BUSY
    queue: int = 512

    # of the memory of each GPU
    vllm_gpu_memory_fraction: float = 0.90
    # GPUs that share the model; an 8B model needs one
    vllm_tensor_parallel: int = 1
    # no CUDA graphs: a faster start, slower answers
    vllm_enforce_eager: bool = False
    # GPUs, or machines, that each hold a part of its layers
    vllm_pipeline_parallel: int = 1
    # of weights and activations; auto = the model's own
    vllm_dtype: str = "auto"
    # fp8, bitsandbytes, …: weights are quantized while they load; unset = as the model has them
    vllm_quantization: str = ""
    # of the KV cache; fp8 halves it, auto = the model's own
    vllm_kv_cache_dtype: str = "auto"
    # keeps what was computed of prompts for those that begin alike
    vllm_prefix_caching: bool = True
    # auto, or dummy for random weights, to measure with
    vllm_load_format: str = "auto"
    # adapters in one batch; 0 = none can be loaded
    vllm_adapters: int = 4
    # the largest rank of an adapter
    vllm_adapter_rank: int = 64
    # a folder of adapters, each in a folder of its own, whose name it is served under: loaded
    # before the service is ready; unset = adapters are loaded by calls only
    vllm_adapters_folder: Path | None = None
    # how often that folder is looked at for adapters that came, changed or went, in seconds; 0 =
    # at the start only
    vllm_adapters_watch_s: float = 5.0

    # who we are to other services; none is called today, the supervisor sets it for all alike
    token: Secret | None = None
    server: ServerSettings = field(default_factory=lambda: ServerSettings(bind="127.0.0.1:50055"))

    def __post_init__(self) -> None:
        if self.engine == "openai" and not self.openai_base_url:
            raise ValueError(
                "ENGINE=openai needs OPENAI_BASE_URL, such as http://127.0.0.1:8000/v1"
            )
        if self.engine == "vllm" and self.protocol == "tools":
            raise ValueError("PROTOCOL=tools is for ENGINE=openai; vllm takes native or taught")
        if self.vllm_adapters_folder and (self.engine != "vllm" or not self.vllm_adapters):
            raise ValueError("VLLM_ADAPTERS_FOLDER is for ENGINE=vllm with VLLM_ADAPTERS above 0")
        if self.slots < 1 or self.queue < 0:
            raise ValueError("SLOTS expects at least 1, QUEUE at least 0")

    @property
    def public_model(self) -> str:
        return self.served_model or (
            "isobath-rules" if self.engine == "rules" else "DeepAnalyze-8B"
        )
