# The common part of the scripts `serve` of the examples. They start a server and kvwatch, and stop both at their end.
#
# The scripts find the programs that they need, or download them. These variables name programs that you have already:
#   KVWATCH        the program kvwatch; without it, cargo builds kvwatch in this checkout
#   NATS_SERVER    nats-server, 2.11 or later; without it, .ci/nats-server downloads it
#   NATS_CLIENT    the folder of the NATS client for Python; without it, .ci/nats-client downloads it
#   REDIS_SERVER   redis-server, with redis-cli beside it or on the path; without it, the one on the path or .ci/redis-server

cd "$(dirname "${BASH_SOURCE[0]}")/.."
tools=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
running=()

clean_up() {
    local process
    # A second Ctrl-C must not end this function early: it would leave programs and files.
    trap '' INT TERM
    # The last program stops first, so that kvwatch can give its events back to a running server.
    for ((index = ${#running[@]} - 1; index >= 0; index--)); do
        process=${running[index]}
        kill "$process" 2>"$work/kill" || true
        wait "$process" || true
    done
    rm -rf -- "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Prints a heading.
title() {
    printf '\n== %s\n' "$*"
}

# Prints a command, and runs it.
run() {
    printf '$ %s\n' "$*"
    "$@"
}

# Starts a program that runs until the end of the script. Its output goes to the file $work/NAME.
#   start NAME COMMAND...
start() {
    local name=$1
    shift
    "$@" >"$work/$name" 2>&1 &
    running+=($!)
}

# Ends the script with the output of a program.
#   fail NAME WHY
fail() {
    printf 'FAILED: %s. The output of %s:\n' "$2" "$1" >&2
    cat "$work/$1" >&2
    exit 1
}

# Waits until the program that was started last has printed this text.
#   started NAME TEXT
started() {
    local process=${running[-1]}
    until grep -qs "$2" "$work/$1"; do
        kill -0 "$process" 2>"$work/kill" || fail "$1" "$1 has ended"
        sleep 0.1
    done
}

# Runs a command until it prints this text, because a watcher needs a moment. Prints the command and the text.
#   shows TEXT COMMAND...
shows() {
    local due=$1 seen=
    shift
    for ((attempt = 0; attempt < 300; attempt++)); do
        seen=$("$@" 2>"$work/errors") && [ "$seen" = "$due" ] && break
        sleep 0.1
    done
    [ "$seen" = "$due" ] || fail kvwatch "\`$*\` printed \"$seen\" and not \"$due\", for 30 s"
    printf '$ %s\n%s\n' "$*" "$seen"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

nats() {
    NATS_URL=nats://127.0.0.1:$port PYTHONPATH=$NATS_CLIENT examples/nats "$@"
}

start_nats() {
    NATS_SERVER=${NATS_SERVER:-$(.ci/nats-server "$tools/nats-server")}
    NATS_CLIENT=${NATS_CLIENT:-$(.ci/nats-client "$tools/nats-client")}
    port=$(free_port)
    title "starts nats-server with JetStream"
    start nats-server "$NATS_SERVER" -js -a 127.0.0.1 -p "$port" -sd "$work/jetstream"
    started nats-server "Server is ready"
}

redis-cli() {
    "$redis_cli" -p "$port" "$@"
}

start_redis() {
    REDIS_SERVER=${REDIS_SERVER:-$(command -v redis-server || .ci/redis-server "$tools/redis-server")}
    redis_cli=$(dirname "$REDIS_SERVER")/redis-cli
    [ -x "$redis_cli" ] || redis_cli=$(type -P redis-cli)
    port=$(free_port)
    title "starts redis-server, which announces changes"
    start redis-server "$REDIS_SERVER" --bind 127.0.0.1 --port "$port" --save '' --notify-keyspace-events 'E$gxe'
    started redis-server "Ready to accept connections"
}

# Builds and serves an example, and waits until kvwatch watches.
#   serve EXAMPLE OPTION...
serve() {
    local package=examples/$1
    shift
    if [ -z "${KVWATCH:-}" ]; then
        cargo build --quiet -p kvwatch
        KVWATCH=$tools/debug/kvwatch
    fi
    printf '$ kvwatch serve %s %s\n' "$package" "$*"
    echo "(It builds the watcher first, which takes a while the first time.)" >&2
    start kvwatch "$KVWATCH" serve "$package" "$@"
    started kvwatch watching
}
