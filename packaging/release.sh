#!/bin/sh
# A release without the upload: sh packaging/release.sh [DIRECTORY]
# Builds the sdist, and the wheel from it, of what git knows of this checkout;
# checks both, tries each in an environment of its own, and lists what is in
# them. They are left in DIRECTORY (dist). To upload them is up to you:
# twine upload DIRECTORY/*
set -eu
PYTHON=${PYTHON:-python3}
to=${1:-dist}
mkdir -p "$to"
to=$(cd "$to" && pwd)
cd "$(dirname "$0")/.."

say() { printf '%s\n' "release.sh: $*"; }
fail() { say "$*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# What it is installed in knows nothing of this checkout.
unset PYTHONPATH

[ -z "$(ls -A "$to")" ] || fail "$to is not empty; a release begins with nothing"
git rev-parse --git-dir >/dev/null || fail 'this is no git clone'

tools='build>=1.2 check-wheel-contents>=0.6 twine>=6.1'
bin=$PWD/.venv/release/bin
if [ "$tools" != "$(cat .venv/release/wanted 2>/dev/null)" ]; then
    say "installing $tools"
    rm -rf .venv/release
    "$PYTHON" -m venv .venv/release
    # They are words.
    # shellcheck disable=SC2086
    "$bin/pip" install -q $tools
    printf '%s\n' "$tools" >.venv/release/wanted
fi

# Not in the checkout: what earlier builds left there (build, *.egg-info) would
# get into this one.
mkdir "$work/tree"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from - --ignore-failed-read |
    tar --extract --directory "$work/tree"

"$bin/python" -m build --outdir "$to" "$work/tree" >"$work/said" 2>&1 || {
    cat "$work/said" >&2
    fail 'the build failed'
}
"$bin/twine" check --strict "$to"/*
"$bin/check-wheel-contents" "$to"/*.whl

for file in "$to"/*.whl "$to"/*.tar.gz; do
    rm -rf "$work/venv"
    "$PYTHON" -m venv "$work/venv"
    "$work/venv/bin/pip" install -q "$file"
    "$work/venv/bin/pip" check -q
    say "${file##*/} installs as $("$work/venv/bin/pollreload" --version)"
    (cd / && "$work/venv/bin/pollreload" smoke) >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        fail "${file##*/}: smoke fails"
    }
    say "${file##*/}: smoke: ok"
done

for file in "$to"/*.whl; do
    say "${file##*/} has:"
    "$PYTHON" -m zipfile --list "$file"
done
for file in "$to"/*.tar.gz; do
    say "${file##*/} has:"
    tar --list --file "$file" | sed 's/^/  /'
done
say 'all is well'
