#!/usr/bin/env bash
# Installs the database servers that the tests and `make run-full` start for
# themselves: Redis and MariaDB (apt), and ClickHouse as the npm registry has
# it: libchdb, an engine with its own network servers. Does nothing where they
# are there; says what to type where it may not install.
set -euo pipefail

packages=()
has() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; }
has redis-server || packages+=(redis-server)
has mariadbd && has mariadb-install-db || packages+=(mariadb-server)

# internal/testserver looks for the library in the same place.
case $(uname -sm) in
"Linux x86_64")
    chdb_version=26.7.3-stable.1
    chdb_package=@chdb/lib-linux-x64-gnu
    chdb_sha512=5cff7b98caa7739b59a4a432c11f0dedc2d3b073624e61ebdf4a42e66ce8de35a6ba48ca9f62016bad1cd81fe059435cb858ce3235a8a2b408082a81563e70a7
    ;;
*)
    echo "ClickHouse (libchdb) is pinned for Linux on x86-64 only, this is $(uname -sm): its tests will fail here" >&2
    chdb_version=
    ;;
esac
cache=${TAPEDECK_SERVERS:-${XDG_CACHE_HOME:-$HOME/.cache}/tapedeck}
chdb=$cache/chdb-$chdb_version
# What was killed while it made something leaves it under such a name.
[ ! -d "$cache" ] || find "$cache" -maxdepth 1 -name 'part.*' -mmin +60 -exec rm -rf {} +
[ -z "$chdb_version" ] || [ -f "$chdb/libchdb.so" ] || has npm || packages+=(npm)

if [ ${#packages[@]} -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! has apt-get; then
        echo "The tests need: ${packages[*]}. Install them once, then run this again. On Debian and Ubuntu:" >&2
        echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages[*]}" >&2
        exit 1
    fi
    echo "installing ${packages[*]} (apt)"
    # Only the binaries matter, the tests start private servers: where Debian's
    # hook for it is free, it says that services are not to be started.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    log=$(mktemp)
    if ! { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "apt-get could not install ${packages[*]}; the whole output: $log" >&2
        exit 1
    fi
    rm -f "$log"
fi

if [ -n "$chdb_version" ] && [ ! -f "$chdb/libchdb.so" ]; then
    echo "fetching $chdb_package $chdb_version (npm, 178 MB) into $cache"
    mkdir -p "$cache"
    # Beside its place, so that the rename is atomic: whoever sees the folder
    # sees all of it.
    part=$(mktemp -d "$cache/part.XXXXXX")
    trap 'rm -rf "$part"; [ -z "${policy:-}" ] || rm -f "$policy"' EXIT
    (cd "$part" && npm pack --silent "$chdb_package@$chdb_version" >npm.log 2>&1) || {
        cat "$part/npm.log" >&2
        echo "npm could not fetch $chdb_package@$chdb_version" >&2
        exit 1
    }
    archive=$(echo "$part"/*.tgz)
    echo "$chdb_sha512  $archive" | sha512sum --check --status || {
        echo "$chdb_package@$chdb_version is not what is pinned: its sha512 differs from the one in $0" >&2
        exit 1
    }
    mkdir "$part/chdb"
    tar -xzf "$archive" -C "$part/chdb" --strip-components=1 package/libchdb.so
    mv -T "$part/chdb" "$chdb" 2>/dev/null || [ -f "$chdb/libchdb.so" ] # another run was quicker
fi
