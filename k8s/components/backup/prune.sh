#!/bin/sh
# prune.sh FOLDER KEPT: of the backups in FOLDER the newest KEPT stay; those without a manifest were cut off.
set -eu
cd "$1"
for each in */; do
  if [ -d "$each" ] && [ ! -e "${each}manifest.json" ]; then rm -rf -- "$each"; fi
done
for each in $(ls -1dt -- */ 2>/dev/null | tail -n "+$(($2 + 1))"); do rm -rf -- "$each"; done
