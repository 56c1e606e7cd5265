#!/bin/sh
# A kernel that runs as a process (User-Mode Linux), and what makes an NFS server
# and client of it: unpacked into .venv/sandbox/uml and .venv/sandbox/nfs, and not
# installed, for they would be services here. Does nothing where they are there.
set -eu
cd "$(dirname "$0")/../.."

UML=user-mode-linux
NFS='nfs-kernel-server nfs-common rpcbind kmod libkmod2 libtirpc3 libtirpc-common
    libevent-core-2.1-7 libkeyutils1 libnfsidmap1 libwrap0'

fail() { printf '%s\n' "get-nfs.sh: $*" >&2; exit 1; }

# What it takes from Debian, for who has to name that.
# shellcheck disable=SC2086 # words
[ "${1:-}" != --packages ] || { echo $UML $NFS; exit; }

for tool in apt-get dpkg flock; do
    command -v "$tool" >/dev/null || fail "$tool is not here"
done
# The guest runs the programs of the host's root, so it has to be of its kind.
[ "$(uname -m)" = x86_64 ] || fail "$UML is there for x86_64 only"

mkdir -p .venv/sandbox
exec 9>.venv/sandbox/.nfs.lock
flock 9
place=$PWD/.venv/sandbox/.nfs.new  # unpacked here, and moved when it is whole
trap 'rm -rf "$place"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# As root apt would become a user who may not write here.
download() { (cd "$place/$1" && shift &&
    apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$@"); }

# unpack NAME PACKAGE...: have .venv/sandbox/NAME hold what the packages do.
unpack() {
    name=$1
    shift
    [ "$(cat ".venv/sandbox/$name/.packages" 2>/dev/null)" != "$*" ] || return 0
    rm -rf "$place"
    mkdir -p "$place/$name" "$place/$name.deb"
    download "$name.deb" "$@" 2>"$place/said" ||
        { apt-get -qq update && download "$name.deb" "$@"; } ||
        { cat "$place/said" >&2; fail "cannot download $*"; }
    for package in "$place/$name.deb"/*.deb; do
        dpkg -x "$package" "$place/$name"
    done
    printf '%s\n' "$*" >"$place/$name/.packages"
    rm -rf ".venv/sandbox/$name"
    mv "$place/$name" ".venv/sandbox/$name"
}

# shellcheck disable=SC2086 # the names are to be split
unpack nfs $NFS
unpack uml $UML
