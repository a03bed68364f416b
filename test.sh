#!/usr/bin/env bash
# Sets a fresh machine up and runs every check of roomcast.
#
#   ./test.sh                everything
#   ./test.sh fmt clippy     these sections, in this order
#
# It needs Rust, Node and Python; what else is missing it installs, as root, from Debian's packages.
# With ROOMCAST_TRANSCRIPTS, the folder of traffic recorded at Open WebUI, the tests replay that as well.
# FUZZ_SECONDS (5) is the time of each fuzz target, FUZZ_SEED (1) its seed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}

sections=(fmt clippy doc test yjs fuzz clients editors)

# The same cases in every run; a soak sets another number.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-1}

section_fmt() {
    cargo fmt --all --check
}

section_clippy() {
    cargo clippy --workspace --all-targets --locked -- -D warnings
    # Features that are off by default; those of fuzz/ need libFuzzer and belong to its own section.
    cargo clippy --workspace --exclude roomcast-fuzz --all-targets --all-features --locked -- -D warnings
}

section_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features roomcast-stores/yrs --locked
}

section_test() {
    # A test starts a server of its own. Debian keeps its programs off the path.
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || needs postgres postgresql
    # Another carries out the commands that the program prints.
    needs curl curl
    cargo test --workspace --features roomcast-stores/sqlite,roomcast-stores/postgres,roomcast-stores/yrs --locked
}

# Documents beside npm yjs; without the oracle these tests say that they were not run.
section_yjs() {
    needs node nodejs
    needs npm npm
    npm_packages conformance/yjs
    ROOMCAST_YJS_ORACLE=$root/conformance/yjs cargo test -p roomcast-yjs --test oracle --locked
}

# libFuzzer without cargo-fuzz and without nightly: the coverage pass of LLVM is an ordinary codegen option. The core
# forbids unsafe code, so that a sanitizer, which does need nightly, would find nothing here that a panic does not.
section_fuzz() {
    needs g++ g++
    local host flags name folder log
    host=$(rustc -vV | sed -n 's/^host: //p')
    flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
    flags+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
    flags+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
    # With --target the flags stay away from build scripts and macros.
    RUSTFLAGS=$flags cargo build -p roomcast-fuzz --bins --features libfuzzer --profile fuzz --target "$host" --locked
    for binary in fuzz/src/bin/*.rs; do
        name=$(basename "$binary" .rs)
        # What it finds stays below the target directory: only a chosen input enters the committed corpus.
        folder=$CARGO_TARGET_DIR/fuzz-corpus/$name
        log=$CARGO_TARGET_DIR/fuzz-corpus/$name.log
        mkdir -p "$folder" "fuzz/artifacts/$name"
        if ! "$CARGO_TARGET_DIR/$host/fuzz/$name" -max_total_time="${FUZZ_SECONDS:-5}" -seed="${FUZZ_SEED:-1}" \
            -timeout=10 -rss_limit_mb=2048 -artifact_prefix="fuzz/artifacts/$name/" \
            "$folder" "fuzz/corpus/$name" >"$log" 2>&1; then
            tail -n 60 "$log"
            printf 'fuzz target %s failed; the input is in fuzz/artifacts/%s/\n' "$name" "$name"
            return 1
        fi
        printf '%-20s %s\n' "$name" "$(grep -E '^#[0-9]+\s+DONE' "$log")"
    done
}

section_clients() {
    needs node nodejs
    needs npm npm
    needs python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian_packages python3-venv
    cargo build -p roomcast-conformance --bins --locked
    conformance/clients/run.sh
    cargo build -p roomcast-server --bins --locked
    conformance/clients/run.sh --app
    # The core without a runtime; `run.sh` has installed the client.
    cargo build -p roomcast-core --example blocking --locked
    (cd conformance/clients/js && node --test blocking.test.mjs)
}

# Editors on one document, through the program: y-prosemirror over the application protocol, and stock y-websocket.
section_editors() {
    needs node nodejs
    needs npm npm
    needs python3 python3
    npm_packages conformance/editors
    cargo build -p roomcast-server --locked
    # Most of their time is waiting: more files at once than there are cores.
    (cd conformance/editors && ROOMCAST_PROGRAM=$CARGO_TARGET_DIR/debug/roomcast npm test --silent)
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
    if [[ $(id -u) != 0 ]]; then
        printf 'missing: %s; install these or run ./test.sh as root\n' "${missing[*]}" >&2
        return 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
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
failed=0

# run NAME FUNCTION: in a subshell that ends at the first failure, while the sections after it still run.
run() {
    local name=$1 started=$SECONDS result=ok code
    printf '\n=== %s\n' "$name"
    set +e
    (
        set -e
        "$2"
    )
    code=$?
    set -e
    ((code == 0)) || result=FAILED
    [[ $result != FAILED ]] || failed=1
    summary+=("$(printf '%-8s %-8s %4d s' "$name" "$result" $((SECONDS - started)))")
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
exit "$failed"
