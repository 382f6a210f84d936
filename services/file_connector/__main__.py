from servicekit.server import main
from services.file_connector.app import mount
from services.file_connector.settings import Settings

if __name__ == "__main__":
    main("file_connector", Settings, mount, prefix="ISOBATH_FILE_CONNECTOR_")
