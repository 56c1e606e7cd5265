#!/bin/sh
# Run everything that a change has to pass.
#
#   sh tests/run.sh             every stage, as CI does
#   sh tests/run.sh --quick     ruff, mypy, import-linter, unit and model tests
#   sh tests/run.sh ARGUMENTS   only pytest, with these arguments
#
# A stage that fails does not stop the later ones; the last line names all that
# failed. With CI set, anything that is missing on this machine is a failure too.
set -eu
umask 022
cd "$(dirname "$0")/.."

# The Debian packages that the tests use.
PACKAGES='apache2-bin bindfs binutils btrfs-progs bubblewrap buildah busybox-static
    ca-certificates catatonit conmon cron curl dnsmasq-base
    e2fsprogs fish fuse3 git groff-base gron haproxy inotify-tools man-db
    mandoc nginx openssh-sftp-server podman procps prometheus redis-server rsyslog runc
    shellcheck squid sshfs strace systemd unbound util-linux xfsprogs xxhash
    zsh'
WORKERS=4           # twice the usual cores: most tests wait for a process or a clock
OTHERS='3.12 3.13'  # interpreters besides the one in .venv
# The python3 of the PATH, possibly a shim of pyenv, before .venv is on it.
SHIM=$(command -v python3 || :)

say() { printf '%s\n' "run.sh: $*"; }
fail() { say "$*" >&2; exit 1; }

failed=  # the names of the stages that failed, each after a comma
failure() {
    say "$1: failed"
    failed="$failed, $1"
}
missing() { if [ -n "${CI:-}" ]; then failure "$*"; else say "skipped: $*"; fi; }

# All temporary files go here and are removed at the end. It is not in the checkout
# because the tests become other users, who may have no access to the checkout.
TMPDIR=$(mktemp -d)
policy=
trap 'rm -rf "$TMPDIR" ${policy:+"$policy"}' EXIT
chmod 755 "$TMPDIR"
export TMPDIR XDG_STATE_HOME="$TMPDIR/state" PIP_CACHE_DIR="$PWD/.venv/pip"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
trap 'exit 130' INT
trap 'exit 143' TERM

# show NAME COMMAND...: run a stage, and let it print.
show() {
    name=$1 began=$(date +%s)
    shift
    say "$name:"
    if "$@"; then
        say "$name: ok, $(($(date +%s) - began)) s"
    else
        failure "$name"
    fi
}

# step NAME COMMAND...: run a stage, and print its output only if it fails.
step() {
    name=$1 began=$(date +%s)
    shift
    if "$@" >"$TMPDIR/output" 2>&1; then
        say "$name: ok, $(($(date +%s) - began)) s"
    else
        cat "$TMPDIR/output" >&2
        failure "$name"
    fi
}

# plan NAME DURATION...: print what will run and about how long each takes.
plan() {
    say 'stages, and about how long each takes on two idle cores:'
    while [ $# -gt 0 ]; do
        printf '    %-28s %s\n' "$1" "$2"
        shift 2
    done
}

# finish: name the stages that failed, and return whether there are none.
finish() {
    if [ -n "$failed" ]; then
        say "failed: ${failed#, }" >&2
        return 1
    fi
    say 'all stages passed'
}

# works PYTHON VERSION: whether it runs and is recent enough. The shims of pyenv are
# on the PATH and fail if their version is not chosen.
works() { "$1" -c "import sys; sys.exit(sys.version_info < ($2))" 2>/dev/null; }

# python VERSION: print an interpreter of exactly that version.
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

# venv DIRECTORY PYTHON: create a virtual environment with pollreload and the tools,
# unless there is one with the same requirements.
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
        missing "tests that need these Debian packages:$absent"
    fi
}

# A server that is installed for the tests must not be started as a service. A
# policy-rc.d that exits with 101 forbids that (invoke-rc.d(8)).
install() {
    export DEBIAN_FRONTEND=noninteractive
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=/usr/sbin/policy-rc.d  # removed at the end
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # Each name is one argument.
    # shellcheck disable=SC2086
    apt-get install -qq -y --no-install-recommends $absent || {
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -qq -y --no-install-recommends $absent
    }
}

# apart PYTEST...: all tests but those that start machines and foreign tools.
apart() {
    "$@" -n "$WORKERS" --ignore tests/sandbox --ignore tests/kubernetes \
        --ignore tests/docs/examples_test.py
}

# Get what Debian 12 has no package for, or what is used without being installed. It
# is kept in .venv/sandbox until what it is made of changes.
sandboxes() {
    for script in tests/sandbox/get-*.sh; do
        name=${script##*/get-}
        step "sandbox: ${name%.sh}" sh "$script"
    done
}

# asked: print the packages that sandboxes downloads from or builds with.
asked() {
    for script in tests/sandbox/get-*.sh; do sh "$script" --packages; done |
        tr ' ' '\n' | sort -u | while read -r package; do printf ' %s' "$package"; done
}

lint() {
    step ruff ruff check .
    step mypy mypy
    step import-linter lint-imports --no-logo --no-cache
}

covered() {
    coverage combine -q && coverage report --skip-covered --show-missing
}

mode=${1:-}
case $mode in
--quick)
    plan ruff '1 s' mypy '20 s' import-linter '1 s' 'unit and model tests' '80 s'
    ;;
'')
    plan ruff '1 s' mypy '20 s' import-linter '1 s' pytest '10 min' \
        coverage '10 s' 'pytest on Python 3.12' '4 min' 'pytest on Python 3.13' '4 min' \
        'pytest in sandboxes' '4 min' 'benchmarks, quick' '3 min'
    ;;
esac

first=
for found in python3 "$(python 3.11 || :)" "$(python 3.12 || :)" /usr/bin/python3; do
    if [ -n "$found" ] && works "$found" '3, 11'; then
        first=$found
        break
    fi
done
[ -n "$first" ] || fail 'found no Python 3.11 or later'
"$first" -c 'import ensurepip' 2>/dev/null || fail "$first has no venv; install python3-venv"
step "venv ($("$first" -V))" venv .venv "$first"
[ -z "$failed" ] || finish  # nothing else can run
[ "$mode" = --quick ] || packages

bin=$PWD/.venv/bin
PATH=$bin:$PATH
if [ -n "$mode" ] && [ "$mode" != --quick ]; then
    "$bin/python" -m pytest "$@"
    exit
fi

lint
if [ "$mode" = --quick ]; then
    show 'unit and model tests' pytest -q -n "$WORKERS" tests/unit tests/model
    finish
    exit
fi

rm -f .coverage .coverage.*
show pytest apart "$bin/coverage" run -m pytest -q
show coverage covered

for version in $OTHERS; do
    if ! other=$(python "$version"); then
        missing "the tests on Python $version, which is not installed"
        continue
    fi
    step "venv ($("$other" -V))" venv ".venv/$version" "$other"
    step "pytest on Python $version" apart ".venv/$version/bin/python" -m pytest -q \
        --ignore tests/servers --ignore tests/docs/quickstart_test.py \
        --ignore tests/packaging/release_test.py --ignore tests/docs/completion_test.py \
        --ignore tests/docs/comparison_test.py --ignore tests/packaging/benchmarks_test.py \
        --ignore tests/packaging/workflows_test.py
done

# Last, and apart from the others: these use both cores.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    sandboxes
else
    missing "the sandboxes, which only root can set up, with apt-get:$(asked)"
fi
show 'pytest in sandboxes' "$bin/python" -m pytest -q -n "$WORKERS" tests/sandbox \
    tests/kubernetes tests/docs/examples_test.py
step 'benchmarks, quick' sh benchmarks/run.sh --quick
finish
