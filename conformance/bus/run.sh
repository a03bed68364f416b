#!/bin/sh
# Two roomcast nodes, on tokio and on smol, and real python-socketio servers on one Redis; then the same two with JavaScript
# servers (@socket.io/redis-adapter) and an emitter.
#
#   run.sh              the versions below, each in a virtual environment of its own, and JavaScript
#   run.sh 5.15.0 …     these, and no JavaScript
#   run.sh javascript   JavaScript alone
#
# It needs redis-server, python3-venv, npm, and the binary conformance-server.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# 5.13 speaks pickle, 5.15.0 is Open WebUI 0.6.41's, 5.15.1 wraps its data, 5.16.2 is 0.12.4's.
[ $# -gt 0 ] || set -- 5.13.0 5.15.0 5.15.1 5.16.2 javascript

target=${CARGO_TARGET_DIR:-$root/target}
server=$(ls -t "$target/release/conformance-server" "$target/debug/conformance-server" 2>/dev/null | head -n 1)
[ -n "$server" ] || { echo "no conformance-server in $target: cargo build -p roomcast-conformance" >&2; exit 2; }

versions=
javascript=
for version in "$@"; do
  if [ "$version" = javascript ]; then
    javascript=yes
    continue
  fi
  last=$version
  venv=$here/.venv/$version
  if [ ! -e "$venv/.installed" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "python-socketio==$version" "aiohttp==3.12.15" "redis==6.4.0"
    touch "$venv/.installed"
  fi
  versions="$versions $version=$venv/bin/python"
done

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no >/dev/null &
redis=$!
trap 'kill $redis 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM
until redis-cli -p "$port" ping >/dev/null 2>&1; do
  kill -0 $redis || exit 1
done
# The clients are those of the last version.
[ -z "$versions" ] ||
  timeout 300 "$here/.venv/$last/bin/python" "$here/check.py" "$server" "redis://127.0.0.1:$port/0" $versions
if [ -n "$javascript" ]; then
  [ -d "$here/js/node_modules" ] || (cd "$here/js" && npm ci --no-audit --no-fund)
  timeout 300 node "$here/js/check.mjs" "$server" "$port"
fi
