"""Who calls the inference service from outside, and where it is: ISOBATH_OPERATOR_…

`make up` writes these into `run/environment/operator` of its home, for `set -a; . FILE`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from servicekit.names import check_listed
from servicekit.secrets import Secret
from servicekit.settings import load
from servicekit.tls import TlsSettings

PREFIX = "ISOBATH_OPERATOR_"


@dataclass(frozen=True)
class Operator:
    # every replica: host:port, unix:path or dns:///name:port, with commas between
    inference: str = ""
    # where the services know callers by tokens (better in a file, by …_FILE)
    token: Secret | None = None
    # where they know them by certificates
    tls: TlsSettings = field(default_factory=TlsSettings)

    def __post_init__(self) -> None:
        check_listed(self.inference)


def operator(environ: Mapping[str, str], inference: str = "") -> Operator:
    """From the environment; `inference` goes before what stands there. Raises SettingsError."""
    given = {f"{PREFIX}INFERENCE": inference} if inference else {}
    return load(Operator, {**environ, **given}, prefix=PREFIX)
