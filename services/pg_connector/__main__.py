from servicekit.server import main
from services.pg_connector.app import mount
from services.pg_connector.memory import keep_little
from services.pg_connector.settings import Settings

keep_little()
main("pg_connector", Settings, mount, prefix="ISOBATH_PG_CONNECTOR_")
