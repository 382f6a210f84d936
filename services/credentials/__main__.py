from servicekit.server import main
from services.credentials.app import mount
from services.credentials.settings import Settings

main("credentials", Settings, mount, prefix="ISOBATH_CREDENTIALS_")
