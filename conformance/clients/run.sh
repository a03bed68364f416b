#!/bin/sh
# Real clients and the raw-protocol suite against the conformance server, on each runtime.
#
#   run.sh                      target/{release,debug}/conformance-server, on tokio, smol and async-std, and in two shards
#   run.sh --runtime smol       on this runtime only (may be repeated); `shards`: two threads of tokio
#   run.sh --server CMD         another server command; `--runtime X` is appended to it
#   run.sh --app                the program target/{release,debug}/roomcast instead, on tables of Open WebUI
#   run.sh --reference          the same tests against npm socket.io, with its known deviations
#   run.sh --only PATTERN       only suites whose name contains PATTERN
#   run.sh --slow               also what takes 105 s
#
# The first runtime meets every version of each client over each transport, the others each version
# and each transport once; the raw-protocol suite is the same on all.
# Ends with 0 only if every suite passed. Prints one line per suite, and the output of those that failed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

runtimes= server= only= slow= reference= app=
usage() { sed -n '2,16s/^# \{0,1\}//p' "$0"; }
while [ $# -gt 0 ]; do
  case $1 in
    --runtime) runtimes="$runtimes ${2:?--runtime needs a name}"; shift ;;
    --server) server=${2:?--server needs a command}; shift ;;
    --only) only=${2:?--only needs a pattern}; shift ;;
    --reference) reference=1 ;;
    --app) app=1 ;;
    --slow) slow=1 ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

logs=$(mktemp -d)
server_pid=
finish() {
  [ -z "$server_pid" ] || kill "$server_pid" 2>/dev/null || true
  rm -rf "$logs"
}
trap finish EXIT
trap 'exit 130' INT TERM

# --- what the suites need ---------------------------------------------------------------------------

# when_stale STAMP LOCK TOOL COMMAND…: runs the command when lock file or tool version are new.
when_stale() {
  stamp=$1 want=$({ cat "$2" && "$3" --version; } | sha256sum)
  shift 3
  [ "$(cat "$stamp" 2>/dev/null)" = "$want" ] && return
  "$@" >"$logs/setup" 2>&1 || { cat "$logs/setup" >&2; echo "set-up failed: $*" >&2; exit 1; }
  echo "$want" >"$stamp"
}
set_up_js() { rm -rf "$here/js/node_modules" && cd "$here/js" && npm ci --no-audit --no-fund; }
set_up_python() {
  rm -rf "$here/python/.venv"
  python3 -m venv "$here/python/.venv"
  "$here/python/.venv/bin/pip" install --quiet --requirement "$here/python/requirements.txt"
}
when_stale "$here/js/node_modules/.stamp" "$here/js/package-lock.json" node set_up_js
when_stale "$here/python/.venv/.stamp" "$here/python/requirements.txt" python3 set_up_python

# newest NAME PACKAGE: the program of that name that was built last.
newest() {
  target=${CARGO_TARGET_DIR:-$root/target}
  found=$(ls -t "$target/release/$1" "$target/debug/$1" 2>/dev/null | head -n 1)
  [ -n "$found" ] || { echo "no $1 in $target: cargo build -p $2" >&2; exit 2; }
  echo "$found"
}

if [ -n "$app" ]; then
  ROOMCAST_PROGRAM=${ROOMCAST_PROGRAM:-$(newest roomcast roomcast-server)}
  export ROOMCAST_PROGRAM
elif [ -n "$reference" ]; then
  runtimes=reference
  export ROOMCAST_DEVIATIONS="$here/js/reference-deviations.json"
elif [ -z "$server" ]; then
  server=$(newest conformance-server roomcast-conformance)
fi

# --- the server that the suites share ---------------------------------------------------------------

start_server() {
  : >"$logs/server"
  PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])') \
    HOST=127.0.0.1 PING_INTERVAL=10000 PING_TIMEOUT=10000 CONNECT_TIMEOUT=10000 MAX_PAYLOAD=1000000 \
    COMPRESSION=$compression $ROOMCAST_SERVER_CMD >"$logs/server" &
  server_pid=$!
  tries=0
  until ROOMCAST_URL=$(sed -n 's/^listening on //p' "$logs/server") && [ -n "$ROOMCAST_URL" ]; do
    tries=$((tries + 1))
    if [ $tries -gt 200 ] || ! kill -0 "$server_pid" 2>/dev/null; then
      echo "the server said no \"listening on …\" within 10 s: $ROOMCAST_SERVER_CMD" >&2
      exit 1
    fi
    sleep 0.05
  done
  export ROOMCAST_URL
}

stop_server() {
  kill "$server_pid" 2>/dev/null || true
  wait "$server_pid" && status=0 || status=$?
  server_pid=
  return $status
}

# --- suites -----------------------------------------------------------------------------------------

failed=0
# suite NAME SECONDS COMMAND…: runs it with a time limit, and prints one line.
suite() {
  name=$1 limit=$2
  shift 2
  case $name in *"$only"*) ;; *) return 0 ;; esac
  if [ -z "$app" ] && ! kill -0 "$server_pid" 2>/dev/null; then
    echo "$runtime: the shared server is gone, $name is not run" >&2
    failed=1
    return 0
  fi
  begin=$(date +%s)
  if timeout --kill-after=10 "$limit" "$@" >"$logs/output" 2>&1; then result=ok; else result=FAILED; fi
  # node: "ℹ pass 12" and so on; pytest: its last line.
  counts=$(sed -n 's/^ℹ \(pass\|fail\) \([0-9]*\)$/\2 \1/p' "$logs/output" | paste -sd, | sed 's/,/, /')
  [ -n "$counts" ] || counts=$(tail -n 1 "$logs/output" | tr -d '=')
  printf '%-10s %-20s %-7s %4s s  %s\n' "$runtime" "$name" "$result" $(($(date +%s) - begin)) "$counts"
  if [ "$result" = FAILED ]; then
    failed=1
    grep -q '^✖ failing tests:' "$logs/output" && sed -i '1,/^✖ failing tests:/d' "$logs/output"
    sed 's/^/    /' "$logs/output"
  fi
}
node_suite() { suite "$1" "$2" node --test --test-reporter=spec "$1.test.mjs"; }

if [ -n "$app" ]; then
  runtime=app
  cd "$here/js"
  node_suite app 300
  cd "$here/python"
  suite python-app 300 .venv/bin/python -m pytest -q -p no:cacheprovider --tb=short test_app.py
  exit $failed
fi

for runtime in ${runtimes:-tokio smol async-std shards}; do
  if [ -n "$reference" ]; then
    export ROOMCAST_SERVER_CMD="node $here/js/reference-server.mjs"
  else
    export ROOMCAST_SERVER_CMD="$server --runtime $runtime"
  fi
  # On one of them, what clients offer is agreed to.
  compression=$([ "$runtime" = smol ] && echo 1 || echo 0)
  start_server
  cd "$here/js"
  for file in clients-events clients-namespaces clients-rooms clients-lifecycle clients-handshake; do node_suite $file 300; done
  # A client is known to the shard that it was on alone (docs/recovery.md), and rooms of the first endpoint alone are those of all.
  [ "$runtime" = shards ] || for file in clients-recovery clients-msgpack; do node_suite $file 300; done
  for file in wire-http wire-websocket wire-engine-io wire-socket-io wire-hostile; do node_suite $file 300; done
  # The reference has no dashboard.
  [ -n "$reference" ] || node_suite clients-admin 300
  [ -n "$reference" ] || node_suite wire-compression 300
  [ -z "$slow" ] || node_suite slow 300
  cd "$here/python"
  suite python 300 .venv/bin/python -m pytest -q -p no:cacheprovider --tb=short test_clients.py
  cd "$here/js"
  suite audit 60 node audit.mjs
  suite msgpack-vectors 60 node "$root/core/roomcast-core/tests/msgpack-parser/vectors.mjs" "$here/js" --check
  if ! stop_server; then
    echo "$runtime: the shared server did not end in good order" >&2
    failed=1
  fi
  export ROOMCAST_MATRIX=short
done
exit $failed
