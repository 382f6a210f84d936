"""What a backend does for a run of training."""

from typing import Any, Protocol

from training.tuning.options import Options


class Backend(Protocol):
    """Its model goes into TRL's trainer; whatever else a run does is the same with each."""

    @property
    def name(self) -> str:
        """As in `--backend`."""
        ...

    def model(self, options: Options) -> Any:
        """A PEFT model: the base, frozen, with a new adapter that is trained."""
        ...

    def arguments(self, options: Options) -> dict[str, Any]:
        """Of TRL's configuration, what is due to the backend and its device."""
        ...
