#!/bin/sh
# run once, when the folder of the database is made: the credential service has a database that nobody else opens
set -eu
word=$(cat /run/isobath/secrets/credentials-password)
psql -v ON_ERROR_STOP=1 -v word="$word" --username isobath --dbname isobath <<'SQL'
CREATE ROLE credentials LOGIN PASSWORD :'word';
CREATE DATABASE credentials OWNER credentials;
REVOKE CONNECT ON DATABASE credentials FROM PUBLIC;
SQL
