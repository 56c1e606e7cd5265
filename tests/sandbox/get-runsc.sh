#!/bin/sh
# Put gVisor's runsc where the sandbox tests look for it: .venv/sandbox/runsc
# It is that of Debian 13, on a Debian of any release, and is not installed:
# Debian 12's cannot do without ptrace, and that of unstable fails now and then.
set -eu
cd "$(dirname "$0")/../.."

RELEASE=trixie
PACKAGES=runsc
TOOLS=$PWD/.venv/sandbox

fail() { printf '%s\n' "get-runsc.sh: $*" >&2; exit 1; }

# What it takes from Debian, for who has to name that.
# shellcheck disable=SC2086 # words
[ "${1:-}" != --packages ] || { echo $PACKAGES; exit; }

mkdir -p "$TOOLS"
# Nobody looks between another's fetching it and its being there.
exec 9>"$TOOLS/runsc.lock"
flock 9
[ ! -x "$TOOLS/runsc" ] || exit 0

command -v apt-get >/dev/null || fail 'this takes a Debian: there is no apt-get'
# The mirror that this machine has Debian from, which others need not be of.
# shellcheck source=/dev/null
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016 # apt-get fills these in
mirror=$(apt-get indextargets --no-release-info \
    --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v codename="$codename" \
        '($2 == codename || $2 == "stable") && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || fail 'no mirror of Debian is in the sources of apt'

new=$(mktemp -d "$TOOLS/runsc.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$new/lists/partial" "$new/cache/archives/partial"
echo "deb $mirror $RELEASE main" >"$new/sources.list"

# private COMMAND...: apt-get that neither reads nor writes what is the machine's,
# but for its keys and its proxy.
private() {
    apt-get -qq -o Dir::Etc::sourcelist="$new/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$new/lists" -o Dir::Cache="$new/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

private update
(cd "$new" && private download $PACKAGES)
dpkg-deb --extract "$new"/runsc_*.deb "$new/tree"
# Last, and in one step: what is there is whole.
mv "$new/tree/usr/bin/runsc" "$TOOLS/runsc"
