from services.pg_connector.memory import keep_little

keep_little()

from servicekit.server import main  # noqa: E402
from services.pg_connector.app import mount  # noqa: E402
from services.pg_connector.settings import Settings  # noqa: E402

main("pg_connector", Settings, mount, prefix="ISOBATH_PG_CONNECTOR_")
