"""InferenceFault
├── ModelNotFound         no such model or adapter
├── ModelUnavailable      the model server does not answer, or broke off
├── ModelRefused          the model server refused the request
├── ContextTooLong        the conversation does not fit
├── TooBusy               all slots and the queue are full
├── AdapterNotFound       nothing at the adapter's path
├── AdapterUnfit          it is there, and cannot be served
└── AdapterConflict       the name serves another path
AdaptersUnsupported, CountingUnsupported (both Unsupported): limits of the engine"""

from servicekit.status import Fault, Unsupported


class InferenceFault(Fault):
    pass


class ModelNotFound(InferenceFault):
    remedy = "Name a model of ListModels, or leave it empty for the default."

    def __init__(self, model: str) -> None:
        super().__init__(f"no model {model!r} is served here")
        self.model = model

    def metadata(self) -> dict[str, str]:
        return {"kind": "model", "id": self.model}


class ModelUnavailable(InferenceFault):
    remedy = (
        "Start the model server, or correct the address the inference service has for it; "
        "then send the request again."
    )

    def __init__(self, message: str, *detail: object, model: str, engine: str) -> None:
        super().__init__(message, *detail)
        self.model, self.engine = model, engine

    def metadata(self) -> dict[str, str]:
        return {"model": self.model, "engine": self.engine}


class ModelRefused(InferenceFault):
    remedy = "Correct the request, or the settings of the inference service; see its log."

    def __init__(
        self, message: str, *detail: object, model: str, status: int, remedy: str | None = None
    ) -> None:
        super().__init__(message, *detail, remedy=remedy)
        self.model, self.status = model, status

    def metadata(self) -> dict[str, str]:
        return {"model": self.model, "status": str(self.status)}


class ContextTooLong(InferenceFault):
    remedy = "Shorten the conversation, or begin a new thread."

    def __init__(self, *detail: object, tokens: int = 0, limit: int = 0) -> None:
        what = f" of {tokens} tokens" if tokens else ""
        bound = f" in {limit} tokens" if limit else " in the model's context"
        super().__init__(f"the conversation{what} does not fit{bound}", *detail)
        self.tokens, self.limit = tokens, limit

    def metadata(self) -> dict[str, str]:
        found = {"tokens": self.tokens, "limit": self.limit}
        return {key: str(value) for key, value in found.items() if value}


class TooBusy(InferenceFault):
    remedy = "Wait as long as told, then send the request again."

    def __init__(self, *detail: object, limit: str, retry_after_s: float) -> None:
        super().__init__("the model has no free slot", *detail, retry_after_s=retry_after_s)
        self.limit = limit

    def metadata(self) -> dict[str, str]:
        return {"limit": self.limit}


class AdapterNotFound(InferenceFault):
    remedy = "Give a folder that the inference service can read, with adapter_config.json in it."

    def __init__(self, path: str) -> None:
        super().__init__(f"no adapter at {path}")
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class AdapterUnfit(InferenceFault):
    remedy = "Make the adapter anew, or merge it into the model."

    def __init__(self, why: str, *detail: object, path: str, remedy: str | None = None) -> None:
        super().__init__(f"the adapter at {path} cannot be served: {why}", *detail, remedy=remedy)
        self.path = path

    def metadata(self) -> dict[str, str]:
        return {"path": self.path}


class AdapterConflict(InferenceFault):
    remedy = "Unload the adapter of that name first, or choose another name."

    def __init__(self, name: str) -> None:
        super().__init__(f"the name {name!r} is in use for something else")
        self.name = name

    def metadata(self) -> dict[str, str]:
        return {"kind": "adapter", "id": self.name}


class AdaptersUnsupported(Unsupported):
    def __init__(self, engine: str) -> None:
        super().__init__(
            f"the engine {engine!r} cannot load adapters",
            ability="adapters",
            remedy="Run the inference service with ISOBATH_INFERENCE_ENGINE=vllm.",
        )
