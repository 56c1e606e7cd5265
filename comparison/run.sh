#!/bin/sh
# Write docs/comparison.md again: sh comparison/run.sh [--only TOOL]...
# About ten minutes, most of them waiting. A tool that is not here and cannot be had is
# left out.
set -eu
cd "$(dirname "$0")/.."

PROGRAMS='inotifywait:inotify-tools monit:monit entr:entr fswatch:fswatch
    incrond:incron pgrep:procps'
PYTHON='click xxhash watchfiles watchdog[watchmedo]'
NODE='nodemon chokidar-cli'
VENV=$PWD/.venv/comparison

say() { printf '%s\n' "comparison: $*"; }
fail() { say "$*" >&2; exit 1; }

made=$(mktemp -d)
policy=
trap 'rm -rf "$made" ${policy:+"$policy"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export PIP_CACHE_DIR="$PWD/.venv/pip" PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_ROOT_USER_ACTION=ignore npm_config_cache="$PWD/.venv/npm"
PATH=$PATH:/usr/sbin:/sbin

# works PYTHON: a pyenv shim can be on the PATH and fail.
works() { "$1" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
for found in "$PWD/.venv/bin/python" python3 python3.13 python3.12 python3.11 \
    /usr/bin/python3; do
    if works "$found"; then
        python=$found
        break
    fi
done
[ -n "$python" ] || fail 'no Python 3.11 or later with venv was found'

wanted=$("$python" -VV; pwd; echo "$PYTHON")
if [ "$wanted" != "$(cat "$VENV/wanted" 2>/dev/null)" ]; then
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
    # shellcheck disable=SC2086  # a list of packages
    "$VENV/bin/pip" install -q $PYTHON >"$made/said" 2>&1 || {
        cat "$made/said" >&2
        fail 'pip: failed'
    }
    printf '%s\n' "$wanted" >"$VENV/wanted"
fi

if [ ! -d "$VENV/node/node_modules" ]; then
    if command -v npm >/dev/null; then
        # shellcheck disable=SC2086
        npm install --silent --no-audit --no-fund --prefix "$VENV/node" $NODE \
            >"$made/said" 2>&1 || say "left out, because npm failed: $NODE"
    else
        say "left out, because there is no npm: $NODE"
    fi
fi

# Debian's: installed by root, else named and left out. Not started as services
# (a policy-rc.d that exits with 101 forbids that, invoke-rc.d(8)).
absent=
for program in $PROGRAMS; do
    command -v "${program%:*}" >/dev/null || absent="$absent ${program#*:}"
done
if [ -n "$absent" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d  # gone at our end
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # shellcheck disable=SC2086
    { apt-get install -qq -y --no-install-recommends $absent ||
        { apt-get update -qq &&
            apt-get install -qq -y --no-install-recommends $absent; }; } \
        >"$made/said" 2>&1 || { cat "$made/said" >&2; fail "Debian packages: failed"; }
elif [ -n "$absent" ]; then
    say "left out, for lack of Debian packages:$absent"
fi

"$VENV/bin/python" -m comparison "$@"
