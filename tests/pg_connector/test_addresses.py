import pytest

from services.pg_connector.addresses import require_allowed
from services.pg_connector.errors import AddressNotAllowed


@pytest.mark.req("D8")
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.1.1",
        "fe80::1%eth0",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_where_no_database_is_is_refused_by_default(address: str) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        require_allowed("innocent.example.com", ["10.0.0.1", address], ())
    assert "innocent.example.com" in caught.value.message
    assert caught.value.metadata() == {"setting": "ISOBATH_PG_CONNECTOR_ALLOWED_HOSTS"}


@pytest.mark.req("D8")
@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "::1", "203.0.113.9", "2001:db8::1"])
def test_other_addresses_are_reached_by_default(address: str) -> None:
    require_allowed("db", [address], ())


@pytest.mark.req("D8")
@pytest.mark.parametrize(
    ("host", "found", "allowed", "passes"),
    [
        ("a.db.example.com", ["10.0.0.1"], ("*.db.example.com",), True),
        ("A.DB.example.com", ["10.0.0.1"], ("*.db.example.com",), True),
        ("evil.com", ["10.0.0.1"], ("*.db.example.com",), False),
        ("any", ["10.2.3.4"], ("10.2.0.0/16",), True),
        ("any", ["10.2.3.4", "10.3.0.1"], ("10.2.0.0/16",), False),
        ("any", [], ("10.2.0.0/16",), False),
        ("/run/postgresql", [], ("/run/*",), True),
        ("/run/postgresql", [], ("10.2.0.0/16",), False),
        ("metadata", ["169.254.169.254"], ("169.254.169.254/32",), True),
    ],
)
def test_allowed_hosts_are_names_and_networks(host, found, allowed, passes) -> None:
    if passes:
        require_allowed(host, found, allowed)
        return
    with pytest.raises(AddressNotAllowed):
        require_allowed(host, found, allowed)
