#!/bin/sh
# Measure pollreload beside its rivals: sh benchmarks/run.sh [--quick] [--runs N]
# About ten minutes a run; --quick takes two, measures less, and leaves BENCHMARKS.md
# alone. Of several runs BENCHMARKS.md has the medians.
# Also [--only NAME]...: idle many growth big find once sidecar latency fleet spread endurance
# Exit status 1: a count is off that does not depend on how fast the machine is.
set -eu
cd "$(dirname "$0")/.."

PROGRAMS='inotifywait:inotify-tools monit:monit entr:entr fswatch:fswatch
    pgrep:procps xxhsum:xxhash strace:strace'
VENV=$PWD/.venv/bench

say() { printf '%s\n' "benchmarks: $*"; }
fail() { say "$*" >&2; exit 1; }

made=$(mktemp -d)
policy=
trap 'rm -rf "$made" ${policy:+"$policy"}' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export PIP_CACHE_DIR="$PWD/.venv/pip" PIP_DISABLE_PIP_VERSION_CHECK=1
export PIP_ROOT_USER_ACTION=ignore MPLCONFIGDIR="$VENV/matplotlib"
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
[ -n "$python" ] || fail 'no Python 3.11 or later with venv is to be found'

# The rivals for Python come from the package index, and are kept.
wanted=$(cat setup.cfg; "$python" -VV; pwd)
if [ "$wanted" != "$(cat "$VENV/wanted" 2>/dev/null)" ]; then
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
fi
# pollreload as who installs it has it, and from a copy: pip leaves things behind.
cp -r LICENSE README.md pollreload pyproject.toml setup.cfg "$made"
if ! "$VENV/bin/pip" install -q "${made}[bench]" >"$made/said" 2>&1 ||
    ! "$VENV/bin/pip" install -q --no-deps --force-reinstall "$made" >>"$made/said" 2>&1
then
    cat "$made/said" >&2
    fail 'pip: failed'
fi
printf '%s\n' "$wanted" >"$VENV/wanted"

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
    # shellcheck disable=SC2086  # they are words
    { apt-get install -qq -y --no-install-recommends $absent ||
        { apt-get update -qq &&
            apt-get install -qq -y --no-install-recommends $absent; }; } \
        >"$made/said" 2>&1 || { cat "$made/said" >&2; fail "Debian packages: failed"; }
elif [ -n "$absent" ]; then
    say "left out, for lack of Debian packages:$absent"
fi

"$VENV/bin/python" -m benchmarks "$@"
