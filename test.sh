#!/usr/bin/env bash
# Sets a fresh machine up and runs every check of roomcast.
#
#   ./test.sh                everything
#   ./test.sh fmt clippy     these sections, in this order
#   ./test.sh openwebui      not among everything: the real Open WebUI from PyPI, 0.6.41 and 0.12.4, 3 GB, with roomcast in front
#
# It needs Rust, Node and Python; what else is missing it installs: rustup components, npm packages, a Python venv,
# cargo-deny below the target directory and, as root or with sudo, Debian packages. The summary at the end names every section, and
# every test that was not run because a variable or a tool is missing.
#
# Variables:
#   ROOMCAST_TRANSCRIPTS   folder of traffic recorded at Open WebUI; the golden tests replay it as well
#   ROOMCAST_TRACES        folder of recorded Yjs traces (.ytr); the tests of roomcast-yjs replay them as well
#   FUZZ_SECONDS (5)       time of each fuzz target; FUZZ_SEED (1) its seed
#   OPENWEBUI_VENV         a Python environment that has open-webui 0.6.41, for the section of that name
#   FRESH_SECONDS (60)     time of the section fresh; FRESH_SEED its seed, drawn anew in each run and printed
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
# The output goes through a pipe, so that the summary can quote it.
[[ -t 1 ]] && export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-always}

sections=(fmt clippy doc test planted wasm publish deny fuzz fresh clients bus editors deploy page)

# The same cases in every run; section fresh takes others.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}

# Features that tests need beside the default ones. postgres-tls brings no code of its own to test.
features=roomcast-stores/openwebui,roomcast-stores/sqlite,roomcast-stores/postgres,roomcast-stores/yrs
features+=,roomcast-auth/asymmetric,roomcast-redis/tls,roomcast-tokio/documents,roomcast-tokio/sqlite
features+=,roomcast-adapter/redis,roomcast-stores/redis,roomcast-async-std/documents,roomcast-async-std/stores
features+=,roomcast-adapter/serve-client,roomcast-adapter/admin

# The pure crates, which section wasm compiles one by one.
pure=(core/*/Cargo.toml)
pure=("${pure[@]%/Cargo.toml}")

section_fmt() {
    cargo fmt --all --check
}

section_clippy() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
    # Features that are off by default; those of fuzz/ need libFuzzer and belong to its own section.
    cargo clippy --workspace --exclude roomcast-fuzz --all-targets --all-features --locked -- -D warnings
    # Stores of documents alone, which the features of other members hide.
    cargo clippy -p roomcast-stores --features sqlite --locked -- -D warnings
    cargo clippy -p roomcast-stores --locked -- -D warnings
}

section_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features "$features" --locked
}

section_test() {
    # A test starts a server of its own. Debian keeps its programs off the path.
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || needs postgres postgresql
    # Tests of the bus start servers of their own too.
    needs redis-server redis-server
    needs redis-sentinel redis-sentinel
    needs openssl openssl
    # Another carries out the commands that the program prints.
    needs curl curl
    # Documents beside npm yjs.
    needs node nodejs
    needs npm npm
    npm_packages conformance/yjs
    ROOMCAST_YJS_ORACLE=$root/conformance/yjs cargo test --workspace --features "$features" --no-fail-fast --locked
}

# Bugs planted in the core, each of which the simulator must find. Apart from the other tests: the hooks are a feature of
# the core, which no other test should have.
section_planted() {
    cargo test -p roomcast-conformance --features test-hooks --test planted_bugs --locked
}

# Purity proven by a build: a target without clock, network, files, threads and randomness. `conformance/purity` calls
# into every pure crate; its module must import nothing, and node runs it.
section_wasm() {
    needs node nodejs
    local target=wasm32-unknown-unknown crate packages=()
    if ! rustc --print target-libdir --target $target 2>/dev/null | xargs -r test -d; then
        if ! command -v rustup >/dev/null || ! rustup target add $target; then
            not_run wasm "rustup cannot add the target $target"
            return 0
        fi
    fi
    for crate in "${pure[@]}"; do
        packages+=(-p "$(basename "$crate")")
    done
    cargo build "${packages[@]}" -p roomcast-purity --target $target --locked
    node conformance/purity/run.mjs "$CARGO_TARGET_DIR/$target/debug/roomcast-purity.wasm"
}

# What a release would upload: every library crate and the program, each built from its package.
section_publish() {
    # The registry that cargo makes for this has no host, and its unpacked packages outlive it: cargo would build today's
    # packages against those of an earlier run in the same folder, as they have the same version.
    rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/roomcast-*
    # What was built from them counts as fresh for the same reason.
    if [ -d "$CARGO_TARGET_DIR/package/tmp-registry" ]; then
        rm -rf "$CARGO_TARGET_DIR"/debug/.fingerprint/roomcast-*
    fi
    # Not `--locked`: the packages' own lock files are made on the way.
    cargo publish --workspace --dry-run --allow-dirty
}

# Licences, banned and duplicate crates, sources; advisories where the database can be fetched.
section_deny() {
    local version=0.20.2 tools=$CARGO_TARGET_DIR/tools
    export PATH=$tools/bin:$PATH
    if ! cargo deny --version >/dev/null 2>&1; then
        # Two minutes, once: no distribution packages it.
        CARGO_TARGET_DIR=$tools/target CARGO_PROFILE_DEV_DEBUG=0 \
            cargo install --quiet --debug --locked --root "$tools" "cargo-deny@$version"
        rm -rf "$tools/target"
    fi
    cargo deny --offline check licenses bans sources
    if timeout 60 cargo deny fetch db >/dev/null 2>&1; then
        cargo deny --offline check advisories
    else
        not_run deny "the advisory database cannot be fetched from github.com"
    fi
}

# libFuzzer without cargo-fuzz and without nightly: the coverage pass of LLVM is an ordinary codegen option. The core
# forbids unsafe code, so that a sanitizer, which does need nightly, would find nothing here that a panic does not.
section_fuzz() {
    fuzz_targets
    local binary
    for binary in fuzz/src/bin/*.rs; do
        fuzz_one "$(basename "$binary" .rs)" "${FUZZ_SECONDS:-5}" "${FUZZ_SEED:-1}"
    done
}

# Seeds that no run has played before: of the simulator for FRESH_SECONDS, of proptest, and of each fuzz target.
section_fresh() {
    local seed=${FRESH_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')} binary crate packages=()
    printf 'FRESH_SEED=%s ./test.sh fresh plays the same again\n' "$seed"
    # With the hooks the run also counts the cells of the session table.
    cargo run -p roomcast-conformance --features test-hooks --bin sim --locked -- --first "$seed" --seconds "${FRESH_SECONDS:-60}"
    for crate in "${pure[@]}"; do
        packages+=(-p "$(basename "$crate")")
    done
    PROPTEST_RNG_SEED=$seed cargo test --quiet "${packages[@]}" --lib --locked || {
        printf 'again: PROPTEST_RNG_SEED=%s cargo test %s --lib\n' "$seed" "${packages[*]}"
        return 1
    }
    fuzz_targets
    for binary in fuzz/src/bin/*.rs; do
        fuzz_one "$(basename "$binary" .rs)" 2 "$seed"
    done
}

section_clients() {
    needs node nodejs
    needs npm npm
    needs python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian_packages python3-venv
    programs
    conformance/clients/run.sh
    conformance/clients/run.sh --app
    # The package for Open WebUI's backend, with the newest python-socketio.
    ROOMCAST_PROGRAM=$CARGO_TARGET_DIR/debug/roomcast conformance/clients/python/.venv/bin/python -m pytest -q server/python
    # The core without a runtime, over poll and over io_uring; `run.sh` has installed the client.
    (cd conformance/clients/js && node --test blocking.test.mjs)
    if "$CARGO_TARGET_DIR/debug/examples/uring" --check; then
        (cd conformance/clients/js && ROOMCAST_BLOCKING_CMD=$CARGO_TARGET_DIR/debug/examples/uring node --test blocking.test.mjs)
    else
        not_run uring "the kernel does not let this process have an io_uring"
    fi
}

# The unchanged Open WebUI, 0.6.41 and 0.12.4, with a fake model, the package of server/python in it, and roomcast in front;
# 0.12.4 with its own front end in Chromium. What only models on the machine itself need is left out. Not among the default
# sections: it downloads 2 GB.
section_openwebui() {
    needs python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian_packages python3-venv
    cargo build -p roomcast-server --locked
    # Some of the backends that are checked keep their state there.
    needs redis-server redis-server
    needs chromium chromium
    export ROOMCAST_PROGRAM=$CARGO_TARGET_DIR/debug/roomcast
    local venv=${OPENWEBUI_VENV:-$CARGO_TARGET_DIR/openwebui}
    open_webui "$venv" 0.6.41 requirements.txt
    # The version of python-socketio that Open WebUI has.
    "$venv/bin/python" -m pytest -q server/python
    "$venv/bin/python" server/python/checks/checks.py --roomcast "$ROOMCAST_PROGRAM"
    venv=$CARGO_TARGET_DIR/openwebui-0.12.4
    open_webui "$venv" 0.12.4 requirements-0.12.4.txt
    "$venv/bin/python" -m pytest -q server/python
    "$venv/bin/python" server/python/checks/newer.py --roomcast "$ROOMCAST_PROGRAM"
}

# open_webui VENV VERSION REQUIREMENTS: an environment with that version and the package of server/python as it is.
open_webui() {
    if [[ ! -x $1/bin/open-webui ]]; then
        python3 -m venv "$1"
        "$1/bin/pip" install --quiet --requirement "server/python/checks/$3"
        "$1/bin/pip" install --quiet --no-deps "open-webui==$2"
    fi
    "$1/bin/pip" install --quiet --no-deps --force-reinstall ./server/python
}

# Two nodes and real python-socketio servers of several versions on one Redis; the same with JavaScript servers.
section_bus() {
    needs node nodejs
    needs npm npm
    needs python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian_packages python3-venv
    needs redis-server redis-server
    programs
    npm_packages conformance/bus/js
    conformance/bus/run.sh
}

# Editors on one document, through the program: y-prosemirror over the application protocol, and stock y-websocket.
section_editors() {
    needs node nodejs
    needs npm npm
    needs python3 python3
    npm_packages conformance/editors
    programs
    # Most of their time is waiting: more files at once than there are cores.
    (cd conformance/editors && ROOMCAST_PROGRAM=$CARGO_TARGET_DIR/debug/roomcast npm test --silent)
}

# The lines of the deployment guide: nginx and Caddy in front of the program, and the image's and the unit's files.
section_deploy() {
    needs node nodejs
    needs npm npm
    needs python3 python3
    needs nginx nginx
    needs caddy caddy
    npm_packages conformance/editors
    programs
    (cd conformance/deploy && ROOMCAST_PROGRAM=$CARGO_TARGET_DIR/debug/roomcast node --test --test-timeout=60000 --test-reporter=spec)
}

# The page of the program: what is committed is what its sources make, and Chromium shows it at work.
section_page() {
    needs node nodejs
    needs npm npm
    needs chromium chromium
    npm_packages server/page
    (cd server/page && npm run --silent check && npm run --silent build -- --outDir "$CARGO_TARGET_DIR/page" --emptyOutDir)
    diff -r server/page/dist "$CARGO_TARGET_DIR/page" || {
        printf 'error: server/page/dist is not what its sources make; npm run build makes it\n'
        return 1
    }
    programs
    # Pictures of what failed are in server/page/failures.
    (cd server/page && ROOMCAST_PROGRAM=$CARGO_TARGET_DIR/debug/roomcast npm test --silent)
}

# programs: every program and example, of the same parts as in section test, which leaves nothing to build here.
programs() {
    cargo build --workspace --features "$features" --bins --examples --locked
}

# fuzz_targets: builds the binaries of every target with coverage.
fuzz_targets() {
    needs g++ g++
    local flags
    flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
    # With --target the flags stay away from build scripts and macros.
    RUSTFLAGS=$flags cargo build -p roomcast-fuzz --bins --features libfuzzer --profile fuzz --target "$(host)" --locked
}

# fuzz_one TARGET SECONDS SEED
fuzz_one() {
    local name=$1 folder=$CARGO_TARGET_DIR/fuzz-corpus/$1 log=$CARGO_TARGET_DIR/fuzz-corpus/$1.log
    # What it finds stays below the target directory: only a chosen input enters the committed corpus.
    mkdir -p "$folder" "fuzz/artifacts/$name"
    if ! "$CARGO_TARGET_DIR/$(host)/fuzz/$name" -max_total_time="$2" -seed="$3" \
        -timeout=10 -rss_limit_mb=2048 -artifact_prefix="fuzz/artifacts/$name/" \
        "$folder" "fuzz/corpus/$name" >"$log" 2>&1; then
        tail -n 60 "$log"
        printf 'fuzz target %s failed with seed %s; the input is in fuzz/artifacts/%s/\n' "$name" "$3" "$name"
        printf 'again: %s fuzz/artifacts/%s/FILE\n' "$CARGO_TARGET_DIR/$(host)/fuzz/$name" "$name"
        return 1
    fi
    printf '%-20s %s\n' "$name" "$(grep -E '^#[0-9]+\s+DONE' "$log")"
}

host() {
    rustc -vV | sed -n 's/^host: //p'
}

# not_run WHAT REASON: a line that the summary repeats. Tests print the same form.
not_run() {
    printf 'not run: %s: %s\n' "$1" "$2"
}

# npm_packages FOLDER: what its lock file names, unless that is there.
npm_packages() (
    cd "$1"
    if ! cmp -s package-lock.json node_modules/.installed; then
        npm ci --no-audit --no-fund
        cp package-lock.json node_modules/.installed
    fi
)

# needs COMMAND PACKAGE: installs the package if the command is missing.
needs() {
    command -v "$1" >/dev/null || debian_packages "$2"
}

# debian_packages PACKAGE…: installs those that are missing.
debian_packages() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    local as_root=()
    if [[ $(id -u) != 0 ]]; then
        as_root=(sudo -n)
        sudo -n true 2>/dev/null || {
            printf 'missing: %s; install these or run ./test.sh as root\n' "${missing[*]}" >&2
            return 1
        }
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

set_up() {
    command -v cargo >/dev/null || {
        printf 'Rust is missing: https://rustup.rs\n' >&2
        return 1
    }
    needs cc gcc
    local component
    for component in rustfmt clippy; do
        cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1 || rustup component add "$component"
    done
    # All of the lock file at once: a test reads the dependency tree without a network.
    cargo fetch --locked
}

summary=()
left_out=()
endings=()
failed=0

# run NAME FUNCTION: in a subshell that ends at the first failure, while the sections after it still run.
run() {
    local name=$1 started=$SECONDS result=ok code line log
    log=$(mktemp)
    printf '\n=== %s\n' "$name"
    set +e
    (
        set -e
        "$2"
    ) 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    set -e
    if ((code != 0)); then
        result=FAILED
        failed=1
        # Told again at the end, which is all that some hosts keep of a long log.
        endings+=("$(printf -- '--- %s ended with\n' "$name" && grep -E '^error|FAILED|panicked|^not ok|✖' "$log" | head -n 20; tail -n 40 "$log")")
    fi
    summary+=("$(printf '%-8s %-8s %4d s' "$name" "$result" $((SECONDS - started)))")
    while IFS= read -r line; do
        left_out+=("$line")
    done < <(grep -o 'not run: .*' "$log" | sort -u)
    rm -f "$log"
}

chosen=("${@:-${sections[@]}}")
for name in "${chosen[@]}"; do
    if [[ $(type -t "section_$name") != function ]]; then
        printf 'no section %s; there are: %s\n' "$name" "${sections[*]}" >&2
        exit 2
    fi
done
run setup set_up
if ((!failed)); then
    for name in "${chosen[@]}"; do
        run "$name" "section_$name"
    done
fi

printf '\n=== summary\n'
printf '%s\n' "${summary[@]}"
((${#left_out[@]} == 0)) || printf '%s\n' "${left_out[@]}"
((${#endings[@]} == 0)) || printf '\n%s\n' "${endings[@]}"
exit "$failed"
