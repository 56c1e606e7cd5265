#!/bin/sh
# A reload of gunicorn on this machine, and a configuration that it refuses:
# sh run.sh, or PORT=8081 sh run.sh. All that it makes and starts is gone after it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:$here/../../.venv/bin:$here/../../.quickstart/bin:/usr/sbin
port=${PORT:-8080}

say() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "run.sh: $*" >&2; exit 1; }

command -v pollreload >/dev/null || fail \
    'pollreload is not here: pip install . in a clone, as the README says'
command -v gunicorn >/dev/null || fail 'gunicorn is not here: pip install gunicorn'

place=$(mktemp -d)
conf=$place/conf
log=$place/pollreload.log
: >"$log"  # which is looked at before anything is in it
server=
sidecar=
cleanup() {
    trap - EXIT
    [ -z "$sidecar" ] || { kill "$sidecar" && wait "$sidecar"; } 2>/dev/null || :
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || :
    rm -rf "$place"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# swap: make standard input conf/gunicorn.conf.py, as the kubelet does.
swap() {
    new=$(mktemp -d "$conf/..XXXXXX")
    chmod 755 "$new"
    cat >"$new/gunicorn.conf.py"
    cp "$here/app.py" "$new"
    old=$(readlink "$conf/..data" || :)
    ln -s "${new##*/}" "$conf/..data_tmp"
    mv -T "$conf/..data_tmp" "$conf/..data"
    [ -z "$old" ] || rm -r "${conf:?}/$old"
}

ask() { python3 -c "$get" "$port" 2>/dev/null; }
get='import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
connection.request("GET", "/hello")
print(connection.getresponse().read().decode().strip())'

# await WHAT COMMAND...: until it succeeds, for 10 s at most.
await() {
    what=$1
    tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { cat "$place"/*.log >&2; fail "no $what"; }
        kill -0 "$server" 2>/dev/null || { cat "$place"/*.log >&2; fail 'gunicorn ended'; }
        sleep 0.1
    done
}
# logged PATTERN TIMES: whether pollreload has logged that, so often.
logged() { [ "$(grep -c "$1" "$log")" -ge "$2" ]; }

# answer TEXT: the configuration, with another answer and the port of this run.
answer() {
    sed "s/0.0.0.0:8080/127.0.0.1:$port/; s|/etc/hello|$conf|; s/hello from gunicorn/$1/" \
        "$here/gunicorn.conf.py"
}

chmod 755 "$place"
mkdir "$conf"
ln -s ..data/gunicorn.conf.py ..data/app.py "$conf"
answer 'the first answer' | swap

ask >/dev/null && fail "port $port is in use; try PORT=8081 sh run.sh"
# Nothing is compiled, for files of one second could be taken one for the other.
export PYTHONDONTWRITEBYTECODE=1
say 'gunicorn starts'
# With a home here for its control socket, which later versions have.
HOME=$place XDG_RUNTIME_DIR='' gunicorn -c "$conf/gunicorn.conf.py" 2>"$place/gunicorn.log" &
server=$!
await 'answer from gunicorn' ask

test="gunicorn --check-config -c $conf/gunicorn.conf.py"
# --cmdline only because this machine may run another gunicorn.
say "pollreload watch --process gunicorn --cmdline $place --signal HUP \\
    --verify-workers --validate '$test' \\
    --interval 500ms --settle 200ms $conf"
pollreload watch --process gunicorn --cmdline "$place" --signal HUP \
    --verify-workers --validate "$test" \
    --interval 500ms --settle 200ms "$conf" 2>"$log" &
sidecar=$!
await 'take the baseline' logged ' baseline: ' 1

say 'the configuration changes'
answer 'the second answer' | swap
await 'verified reload' logged ' verified: ' 1
ask

say 'a broken one: --check-config refuses it, and gunicorn is not signalled; it would end'
echo 'workers = (' | swap
await 'refusal' logged ' held: --validate ' 1
ask

say 'repaired'
answer 'the third answer' | swap
await 'verified reload' logged ' verified: ' 2
ask

say 'what pollreload logged'
cat "$log"
