#!/bin/sh
# See pollreload signal a real server after its config has changed:
#
#     sh examples/quickstart.sh
#
# It needs Python 3.11 or later with venv; PYTHON=... names another than those on
# the PATH. What is installed goes to .quickstart in this clone, so that the next
# run is fast; all else is in a temporary directory and is removed at the end.
set -eu
cd "$(dirname "$0")/.."

# verdict FD COLOUR TEXT: print a line, in colour if FD is a terminal that has them and
# NO_COLOR (no-color.org) is not set.
verdict() {
    form='%s\n'
    if [ -t "$1" ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
        form="\\033[$2m%s\\033[0m\\n"
    fi
    # shellcheck disable=SC2059 # the form is one of these two
    printf "$form" "$3" >&"$1"
}
fail() { verdict 2 31 "quickstart: $*"; exit 1; }

pip='' sidecar='' server='' tmp=''
clean() {
    trap - EXIT
    trap '' HUP INT TERM
    for pid in $pip $sidecar $server; do
        kill "$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
    done
    rm -rf "${tmp:?}"
}
# Made where TMPDIR says; pip has its own files in there too.
tmp=$(mktemp -d "${TMPDIR:-/tmp}/pollreload.XXXXXX") ||
    fail "cannot make a directory in ${TMPDIR:-/tmp}; name another with TMPDIR"
trap clean EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# The interpreter: the first of these that is new enough.
version() { "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python='' found=''
for each in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if new_enough "$each"; then
        python=$each
        break
    fi
    if is=$(version "$each"); then
        found="$found${found:+, }$each is $is"
    fi
    # Whoever named one wants that one.
    [ -z "${PYTHON:-}" ] || break
done
if [ -z "$python" ]; then
    fail "Python 3.11 or later is needed, but ${found:-${PYTHON:-python3} is not here};" \
        'install python3 and python3-venv, or name an interpreter with PYTHON=...'
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || case ${python##*/} in
    python3.*) fail "$python has no venv; install the package ${python##*/}-venv" ;;
    *) fail "$python ($(version "$python")) has no venv; install the package python3-venv" ;;
esac

# The environment: made again when its contents have to change.
environment=$PWD/.quickstart
next=$environment/bin/pollreload
if ! [ -w . ]; then
    environment=$tmp/environment
    next='install pollreload, and try pollreload'
fi
wanted=$(pwd; "$python" -VV; cat setup.cfg pyproject.toml pollreload/*.py | cksum)
if [ "$wanted" = "$(cat "$environment/wanted" 2>/dev/null)" ]; then
    printf 'Using the environment in %s\n' "$environment"
else
    printf 'Installing pollreload into %s\n' "$environment"
    rm -rf "$environment"
    "$python" -m venv "$environment" >"$tmp/said" 2>&1 ||
        fail "$python cannot make an environment: $(tail -n 1 "$tmp/said")"
    printf '*\n' >"$environment/.gitignore"
    # A copy, for pip would leave its build in the clone.
    mkdir "$tmp/source"
    cp -R LICENSE README.md pollreload pyproject.toml setup.cfg "$tmp/source"
    # In the background, so that a signal need not wait for it; timeout passes the
    # signal on to all that pip has started.
    TMPDIR=$tmp PIP_NO_CACHE_DIR=1 PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 \
        timeout 600 "$environment/bin/python" -m pip install -q "$tmp/source" \
        >"$tmp/said" 2>&1 &
    pip=$!
    wait "$pip" || fail 'pip cannot install pollreload with click, xxhash and setuptools;' \
        "is the package index to be reached? $(grep -o 'ERROR: .*' "$tmp/said" | tail -n 1)"
    pip=''
    printf '%s\n' "$wanted" >"$environment/wanted"
fi
bin=$environment/bin

# ask: print what the server answers now. Not curl: it may not be here.
ask() {
    "$bin/python" -c '
import http.client, sys
server = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=10)
server.request("GET", "/")
print(server.getresponse().read().decode().strip())' "$port"
}

# publish TEXT: what the kubelet does with a ConfigMap. The files of a version are
# in a directory of their own; ..data points to it, and is replaced in one step.
versions=0
publish() {
    versions=$((versions + 1))
    old=$(readlink "$tmp/config/..data" || :)
    now=$(date -u +..%Y_%m_%d_%H_%M_%S).$versions
    mkdir -p "$tmp/config/$now"
    printf '%s\n' "$1" >"$tmp/config/$now/greeting"
    ln -s "$now" "$tmp/config/..data_tmp"
    mv -T "$tmp/config/..data_tmp" "$tmp/config/..data"
    if [ -n "$old" ]; then
        rm -r "$tmp/config/${old:?}"
    else
        ln -s ..data/greeting "$tmp/config/greeting"
    fi
}

# until_said EVENT: show the sidecar's lines until that event; false if it ends first.
until_said() {
    while IFS= read -r line <&3; do
        printf '      %s\n' "$line"
        case $line in *" $1: "*) return ;; esac
    done
    return 1
}

printf '\n1. A config, laid out as a mounted ConfigMap is:\n'
publish 'hello from the first config'
printf '      config/greeting -> ..data/greeting, ..data -> %s\n' \
    "$(readlink "$tmp/config/..data")"

# The name of a process is that of the file it was started from, here a link.
# After a minute both end by themselves, whatever becomes of this script.
printf '\n2. A server that reads it when it starts, and on SIGHUP:\n'
ln -s "$bin/python" "$tmp/hello-server"
mkfifo "$tmp/server" "$tmp/log"
timeout 60 "$tmp/hello-server" examples/quickstart/server.py "$tmp/config/greeting" \
    >"$tmp/server" &
server=$!
read -r pid port <"$tmp/server" || fail 'the server did not start'
printf '      hello-server (pid %s) on http://127.0.0.1:%s\n' "$pid" "$port"

# --cmdline, in case this script runs twice at a time.
set -- --process hello-server --cmdline "${tmp##*/}" --signal HUP --interval 1s config
printf '\n3. The sidecar:\n      $ pollreload watch %s\n' "$*"
(cd "$tmp" && exec timeout 60 "$bin/pollreload" watch "$@") 2>"$tmp/log" &
sidecar=$!
exec 3<"$tmp/log"
until_said baseline || fail 'the sidecar ended too early'

answer=$(ask)
printf '\n4. The server is asked:\n      %s\n' "$answer"

printf '\n5. The config is replaced, by a swap of ..data:\n'
publish 'hello from the second config'
printf '      ..data -> %s\n' "$(readlink "$tmp/config/..data")"

printf '\n6. The sidecar sees it, and signals the server:\n'
until_said delivered || fail 'the sidecar ended, or a minute was over, without a delivery'

answer=$(ask)
printf '\n7. The server is asked again:\n      %s\n\n' "$answer"
[ "$answer" = 'hello from the second config' ] || fail 'that is not what the config says'

verdict 1 32 'Shown: a change was found by polling, and the running server took it.'
printf '%s\n' \
    "Next: $next doctor --process NAME PATH, or smoke; all tests: sh tests/run.sh"
