import os

from servicekit.server import main
from services.inference.app import mount
from services.inference.settings import Settings

if __name__ == "__main__":
    # vLLM reads these where it is imported. Its child is begun when gRPC's threads run already: a
    # forked one could inherit a lock that is held.
    os.environ.setdefault("VLLM_WORKER_MULTIPROCESSING_METHOD", "spawn")
    # its lines go through our handler, as JSON and redacted
    os.environ.setdefault("VLLM_CONFIGURE_LOGGING", "0")
    main("inference", Settings, mount, prefix="ISOBATH_INFERENCE_")
