from servicekit.server import main
from services.inference.app import mount
from services.inference.settings import Settings

if __name__ == "__main__":
    main("inference", Settings, mount, prefix="ISOBATH_INFERENCE_")
