#!/bin/sh
# Everything a change has to pass: sh tests/run.sh [PYTEST ARGUMENTS]
# With arguments only what they name is run, without the coverage floor and the
# other interpreters. With CI set, what is missing is a failure.
set -eu
cd "$(dirname "$0")/.."

# Debian's, that the tests run.
PACKAGES='apache2-bin bindfs binutils btrfs-progs bubblewrap buildah busybox-static
    ca-certificates catatonit conmon cron curl dnsmasq-base
    e2fsprogs fish fuse3 git groff-base gron haproxy inotify-tools man-db
    mandoc nginx openssh-sftp-server podman procps prometheus rsyslog runc
    shellcheck squid sshfs strace systemd unbound util-linux xfsprogs xxhash
    zsh'
WORKERS=4                            # most of the tests wait, for a process or a clock
OTHERS='3.12 3.13'  # interpreters besides the one in .venv
SHIM=$(command -v python3 || :)  # pyenv's, perhaps, or what that runs; before .venv's

say() { printf '%s\n' "run.sh: $*"; }
fail() { say "$*" >&2; exit 1; }
missing() { if [ -n "${CI:-}" ]; then fail "$*"; else say "skipped: $*"; fi; }

# Nothing is left outside of the checkout. Not a directory in it, for the tests
# become other users, who may not reach it.
TMPDIR=$(mktemp -d)
policy=
trap 'rm -rf "$TMPDIR" ${policy:+"$policy"}' EXIT
chmod 755 "$TMPDIR"
export TMPDIR XDG_STATE_HOME="$TMPDIR/state" PIP_CACHE_DIR="$PWD/.venv/pip"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
trap 'exit 130' INT
trap 'exit 143' TERM

# step NAME COMMAND...: one line where it succeeds, all that it said where not.
step() {
    name=$1
    shift
    if "$@" >"$TMPDIR/said" 2>&1; then
        say "$name: ok"
    else
        cat "$TMPDIR/said" >&2
        fail "$name: failed"
    fi
}

# works PYTHON VERSION: a pyenv shim can be on the PATH and fail.
works() { "$1" -c "import sys; sys.exit(sys.version_info < ($2))" 2>/dev/null; }

# python VERSION: print an interpreter of that very version.
python() {
    root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || :)}
    for found in "python$1" "${root:-/nonexistent}"/versions/"$1"*/bin/python \
        "${SHIM%/shims/python3}"/versions/"$1"*/bin/python \
        "${SHIM%/versions/*}"/versions/"$1"*/bin/python \
        "${HOME:-/nonexistent}"/.pyenv/versions/"$1"*/bin/python; do
        if works "$found" "${1%.*}, ${1#*.}"; then
            echo "$found"
            return
        fi
    done
    return 1
}

# venv DIRECTORY PYTHON: a virtual environment with us and our tools, made anew
# when what is to be in it has changed.
venv() {
    wanted=$(cat setup.cfg pyproject.toml; "$2" -VV; pwd)
    [ "$wanted" = "$(cat "$1/wanted" 2>/dev/null)" ] && return
    rm -rf "${1:?}/bin" "${1:?}/lib" "$1/wanted"
    "$2" -m venv "$1" && "$1/bin/pip" install -q -e '.[dev]' || return
    printf '%s\n' "$wanted" >"$1/wanted"
}

packages() {
    absent=
    for package in $PACKAGES; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null |
            grep -q 'ok installed' || absent="$absent $package"
    done
    [ -n "$absent" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        step "Debian packages$absent" install
    else
        missing "tests that need Debian packages which are not here:$absent"
    fi
}

# A server that is installed for the tests is not started as a service: a
# policy-rc.d that exits with 101 forbids that (invoke-rc.d(8)).
install() {
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d  # gone at our end
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # The names are words.
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $absent || {
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -qq -y --no-install-recommends $absent
    }
}

# apart PYTEST...: without the tests that start machines and other people's tools.
apart() {
    "$@" -n "$WORKERS" --ignore tests/sandbox --ignore tests/kubernetes \
        --ignore tests/docs/examples_test.py
}

# What Debian 12 has no package for, or what is used without being installed: in
# .venv/sandbox, which is made anew where what it is made of has changed.
sandboxes() {
    for script in tests/sandbox/get-*.sh; do
        name=${script##*/get-}
        step "sandbox: ${name%.sh}" sh "$script"
    done
}

# asked: print the packages that sandboxes takes what it makes from, or with.
asked() {
    for script in tests/sandbox/get-*.sh; do sh "$script" --packages; done |
        tr ' ' '\n' | sort -u | while read -r package; do printf ' %s' "$package"; done
}

first=
for found in python3 "$(python 3.11 || :)" "$(python 3.12 || :)" /usr/bin/python3; do
    if [ -n "$found" ] && works "$found" '3, 11'; then
        first=$found
        break
    fi
done
[ -n "$first" ] || fail 'no Python 3.11 or later is to be found'
"$first" -c 'import ensurepip' 2>/dev/null || fail "$first has no venv; install python3-venv"
step "venv ($("$first" -V))" venv .venv "$first"
packages

bin=$PWD/.venv/bin
PATH=$bin:$PATH
if [ $# -gt 0 ]; then
    "$bin/python" -m pytest "$@"
    exit
fi

step ruff ruff check .
step mypy mypy
step import-linter lint-imports --no-logo --no-cache
rm -f .coverage .coverage.*
say 'pytest:'
apart "$bin/coverage" run -m pytest -q
step 'coverage, combined' coverage combine -q
coverage report --skip-covered --show-missing
say 'coverage: ok'

for version in $OTHERS; do
    if ! other=$(python "$version"); then
        missing "the tests on Python $version, which is not here"
        continue
    fi
    step "venv ($("$other" -V))" venv ".venv/$version" "$other"
    step "pytest on Python $version" apart ".venv/$version/bin/python" -m pytest -x -q \
        --ignore tests/servers --ignore tests/docs/quickstart_test.py \
        --ignore tests/packaging/release_test.py --ignore tests/docs/completion_test.py \
        --ignore tests/docs/comparison_test.py --ignore tests/packaging/benchmarks_test.py
done

# The others wait for milliseconds, and these take both cores.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    sandboxes
else
    missing "what the sandboxes need, for root and apt-get are not here:$(asked)"
fi
say 'pytest in sandboxes:'
began=$(date +%s)
"$bin/python" -m pytest -q -n "$WORKERS" tests/sandbox tests/kubernetes \
    tests/docs/examples_test.py
say "sandboxes: $(($(date +%s) - began)) s, and it is to stay below 480"
step 'benchmarks, quick' sh benchmarks/run.sh --quick
say 'all is well'
