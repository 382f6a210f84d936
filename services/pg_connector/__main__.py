from servicekit.server import main
from services.pg_connector.app import mount
from services.pg_connector.settings import Settings

main("pg_connector", Settings, mount, prefix="ISOBATH_PG_CONNECTOR_")
