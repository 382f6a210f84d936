from servicekit.server import main
from services.sandbox.app import mount
from services.sandbox.settings import Settings

if __name__ == "__main__":
    main("sandbox", Settings, mount, prefix="ISOBATH_SANDBOX_")
