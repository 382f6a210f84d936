-- What the role of the data source may do: read the shop's tables, and nothing beside.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO analyst;
REVOKE TEMPORARY ON DATABASE shop FROM PUBLIC;
ALTER ROLE analyst SET default_transaction_read_only = on;
