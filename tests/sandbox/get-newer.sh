#!/bin/sh
# Put what the examples are checked with, and Debian 12 has not or not new enough,
# where the tests look for it, .venv/sandbox/newer/: docker-compose (12's is of Python
# and of the first generation), kubectl (12's knows no components of kustomize) and
# quadlet (12's podman has none). They are those of Debian 13, and are not installed.
set -eu
cd "$(dirname "$0")/../.."

RELEASE=trixie
PACKAGES='docker-compose kubectl podman'
FILES='usr/libexec/docker/cli-plugins/docker-compose usr/bin/kubectl
    usr/libexec/podman/quadlet'
TOOLS=$PWD/.venv/sandbox

fail() { printf '%s\n' "get-newer.sh: $*" >&2; exit 1; }

# What it takes from Debian, for who has to name that.
# shellcheck disable=SC2086 # words
[ "${1:-}" != --packages ] || { echo $PACKAGES; exit; }

for program in apt-get dpkg-deb flock; do
    command -v "$program" >/dev/null || fail "this takes a Debian: there is no $program"
done
mkdir -p "$TOOLS"
# One at a time: who comes second finds it there.
exec 9>"$TOOLS/newer.lock"
flock 9
wanted=$(cat "$0")
[ "$wanted" != "$(cat "$TOOLS/newer/stamp" 2>/dev/null)" ] || exit 0

# Where this machine has its own release from; not every source of apt is Debian's.
# shellcheck source=/dev/null
own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016 # apt-get fills them in
mirror=$(apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(SITE)' \
    'Created-By: Packages' | sed -n "s/^main $own //p; s/^main stable //p" | head -n 1)
[ -n "$mirror" ] || fail 'no source of apt is a mirror of Debian'

new=$(mktemp -d "$TOOLS/newer.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$new/lists/partial" "$new/cache/archives/partial" "$new/newer"
echo "deb $mirror $RELEASE main" >"$new/sources.list"
# Nothing is installed, as far as it can see: what is would count as a candidate.
: >"$new/status"

# apt COMMAND...: with lists of its own; of the machine's only keys and proxy.
apt() {
    apt-get -qq -o Dir::Etc::SourceList="$new/sources.list" -o Dir::Etc::SourceParts=- \
        -o Dir::State::Lists="$new/lists" -o Dir::State::Status="$new/status" \
        -o Dir::Cache="$new/cache" -o APT::Sandbox::User=root \
        -o Acquire::Languages=none "$@"
}

apt update
# shellcheck disable=SC2086 # words
(cd "$new" && apt download $PACKAGES)
for package in "$new"/*.deb; do dpkg-deb --extract "$package" "$new/tree"; done
for file in $FILES; do
    mv "$new/tree/$file" "$new/newer/"
    "$new/newer/${file##*/}" --help >/dev/null 2>&1 ||
        fail "${file##*/} of $RELEASE does not run here"
done
printf '%s\n' "$wanted" >"$new/newer/stamp"
rm -rf "$TOOLS/newer"
mv "$new/newer" "$TOOLS/newer"
