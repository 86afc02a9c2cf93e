#!/usr/bin/env bash
# Installs the database servers that the tests start for themselves. Does
# nothing where they are there; says what to type where it may not install.
set -euo pipefail
missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing ${missing[*]} (apt)"
    # A distribution's policy may forbid starting services here: the tests
    # start private ones, so only the binaries matter.
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    exit 0
fi
echo "The tests need: ${missing[*]}. Install them once, then run this again:" >&2
echo "  sudo apt-get update && sudo apt-get install -y ${missing[*]}" >&2
exit 1
