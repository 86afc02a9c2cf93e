#!/usr/bin/env bash
# `make run`: a whole Tapedeck on this machine, with a tier for each database
# that the environment names (`make run-full` starts and names all of them).
# Ctrl-C stops all of it cleanly.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${TAPEDECK_DATA:-./data}
bin=${TAPEDECK_BIN:-bin}
http=${TAPEDECK_LISTEN:-127.0.0.1:8080}
nats=${TAPEDECK_NATS_LISTEN:-127.0.0.1:4222}
sample=deploy/sample
mkdir -p "$data"
export TAPEDECK_INGEST_URL=http://$http TAPEDECK_NATS_URL=nats://$nats TAPEDECK_FILE_DIR=${TAPEDECK_FILE_DIR:-$(cd "$data" && pwd)/files}

pids=()
stop() {
    trap - EXIT INT TERM
    echo
    echo "stopping"
    # Projectors first, so that none of them sees the log go away.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill -TERM "${pids[i]}" 2>/dev/null || true
        wait "${pids[i]}" 2>/dev/null || true
    done
    echo "stopped; the tape is in $data, run again to go on"
}
trap stop EXIT
trap 'exit 0' INT TERM

# Children get a process group of their own, so that Ctrl-C reaches only this
# script and the order of stopping is ours.
set -m
start() { # name command...
    local name=$1
    shift
    "$@" >"$data/$name.log" 2>&1 </dev/null &
    pids+=($!)
}
await() { # name: until its log says that it is ready
    for _ in $(seq 300); do
        grep -q 'msg=ready' "$data/$1.log" && return 0
        kill -0 "${pids[-1]}" 2>/dev/null || break
        sleep 0.1
    done
    echo "$1 did not become ready; its log:" >&2
    tail -n 20 "$data/$1.log" >&2
    exit 1
}

start ingest "$bin/ingest" --data "$data" --listen "$http" --nats-listen "$nats"
await ingest
start projector-file "$bin/projector-file" --metrics "${TAPEDECK_FILE_METRICS:-127.0.0.1:9104}"
await projector-file
tiers=(file)
tier() { # name variable flag... : only when the variable names a database
    [ -n "${!2:-}" ] || return 0
    start "projector-$1" "$bin/projector-$1" "${@:3}"
    await "projector-$1"
    tiers+=("$1")
}
tier redis TAPEDECK_REDIS_URL --metrics "${TAPEDECK_REDIS_METRICS:-127.0.0.1:9101}"
tier mysql TAPEDECK_MYSQL_DSN --metrics "${TAPEDECK_MYSQL_METRICS:-127.0.0.1:9102}"
tier clickhouse TAPEDECK_CLICKHOUSE_DSN --metrics "${TAPEDECK_CLICKHOUSE_METRICS:-127.0.0.1:9103}"
console=${TAPEDECK_CONSOLE_LISTEN:-127.0.0.1:8090}
start console "$bin/console" --listen "$console" --data "$data/console"
await console

# The sample comes once: what was published since is newer than its folders, and
# a second import would close what they do not hold.
if [ ! -e "$data/sample-imported" ]; then
    for dir in "$sample"/*/; do
        account=$(basename "$dir")
        [ "$account" = _daily ] && continue
        # 1: something of it was kept back, since the log has newer; it is told.
        "$bin/replay" import "$dir" --account "$account" --daily "$sample/_daily" || [ $? -eq 1 ]
    done
    touch "$data/sample-imported"
fi

# Wait until every projector holds the log's last event.
for _ in $(seq 600); do
    "$bin/replay" status --json | grep -q '"lag_events":[1-9]' || break
    sleep 0.1
done
echo
"$bin/replay" status
"$bin/replay" verify --tier all
cat <<EOF

Tapedeck is running. In another terminal:
$(env | grep -E '^TAPEDECK_(NATS_URL|INGEST_URL|FILE_DIR)=' | sed "s/=\(.*\)/='\1'/; s/^/  export /")
  curl $TAPEDECK_INGEST_URL/v1/log              the log: sequences, size, chain
  curl $TAPEDECK_INGEST_URL/metrics             ingest's metrics (projector-file: port 9104)
  curl http://$console/v1/statistics          the read API: all paths are in http://$console/openapi.json
  ls $TAPEDECK_FILE_DIR/55009728                  a strategy-ready folder, kept up to date
  $bin/replay snapshot --out /tmp/june --until-time 2025-06-30
  $bin/replay verify --tier all
  $bin/replay --help
To follow a strategy's cache folder: TAPEDECK_WATCH=DIR=ACCOUNT make run
${TAPEDECK_LOOK:+$TAPEDECK_LOOK
}Tiers: ${tiers[*]}. Logs of the processes: $data/*.log
Ctrl-C stops everything cleanly.
EOF
wait -n "${pids[@]}" || true
echo "a process ended; see $data/*.log" >&2
exit 1
