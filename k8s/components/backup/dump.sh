#!/bin/sh
# dump.sh FILE FOLDER KEPT: dumps the database whose URL is in FILE into FOLDER, whole or not at all; the newest KEPT stay.
set -eu
cd "$2"
new="credentials-$(date -u +%Y%m%dT%H%M%SZ).dump"
rm -f -- .*.part
pg_dump --format=custom --no-owner --file=".$new.part" --dbname="$(sed s/+asyncpg// "$1")"
mv -- ".$new.part" "$new"
for each in $(ls -1t -- *.dump | tail -n "+$(($3 + 1))"); do rm -f -- "$each"; done
