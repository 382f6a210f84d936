#!/bin/sh
# Run once, when the folder of the database is made: the credential service has a database that nobody else opens.
set -eu
word=$(cat "${CREDENTIALS_PASSWORD_FILE:-/run/isobath/secrets/credentials-password}")
psql -v ON_ERROR_STOP=1 -v word="$word" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE credentials LOGIN PASSWORD :'word';
CREATE DATABASE credentials OWNER credentials;
REVOKE CONNECT ON DATABASE credentials FROM PUBLIC;
SQL
