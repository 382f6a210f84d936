from servicekit.server import main
from services.blob_connector.app import mount
from services.blob_connector.settings import Settings

if __name__ == "__main__":
    main("blob_connector", Settings, mount, prefix="ISOBATH_BLOB_CONNECTOR_")
