#!/bin/sh
# What requirements/NAME.txt pins, as an environment in /app, compiled; its bill of materials in /bill.
# For the Dockerfile's stages; VERSION is that of the image.
#
#     sh environment.sh NAME
set -eu
name=$1
python3 -m venv --without-pip /app
python3 -m pip --python /app/bin/python install --no-compile --require-hashes -r "requirements/$name.txt"
mkdir -p /bill
printf '[project]\nname = "isobath-%s"\nversion = "%s"\n' "$name" "$VERSION" >project.toml
/sbom/bin/cyclonedx-py environment --pyproject project.toml --output-reproducible --sv 1.6 \
  -o "/bill/isobath-$name.cdx.json" /app/bin/python
# packages bring their tests along
find /app/lib -type f -path '*/tests/*' \( -name 'test_*.py' -o -name 'conftest.py' \) -delete
find /app/lib -type f -path '*/test/*' -name 'test_*.py' -delete
rm -f /app/bin/[Aa]ctivate*
site=$(/app/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo /app/code >"$site/isobath.pth"
python3 -m compileall -q --invalidation-mode unchecked-hash /app/lib
