#!/bin/sh
# Build the image on the stand-in of get-base.sh, and put it where the sandbox tests
# look for it: .venv/sandbox/pollreload.tar (an archive that podman load and docker
# load take, of localhost/pollreload:test) and .venv/sandbox/rootfs/, unpacked.
# get-image.sh DIRECTORY: build it once more, and put the archive there; with TLS=1 in
# the environment it is the variant that has OpenSSL.
# get-image.sh --check: end with 1 where what is there is not of these sources.
set -eu
cd "$(dirname "$0")/../.."

PACKAGES='buildah util-linux'
TOOLS=$PWD/.venv/sandbox

fail() { printf '%s\n' "get-image.sh: $*" >&2; exit 1; }

# What it takes from Debian, for who has to name that.
# shellcheck disable=SC2086 # words
[ "${1:-}" != --packages ] || { echo $PACKAGES; exit; }

# sources: print what the image is made of, where the base is as it is.
sources() {
    cat "$TOOLS/base.stamp" tests/sandbox/get-image.sh Containerfile .dockerignore
    find LICENSE setup.cfg packaging/image pollreload -type f ! -name '*.pyc' \
        -exec sha256sum {} + | sort
}

if [ "${1:-}" = --check ]; then
    [ "$(sources)" = "$(cat "$TOOLS/image.stamp")" ]
    exit
fi
for program in buildah flock; do
    command -v "$program" >/dev/null || fail "missing: apt-get install $PACKAGES"
done
sh tests/sandbox/get-base.sh

if [ $# = 0 ]; then
    TLS=
    exec 9>"$TOOLS/image.lock"
    flock 9
    wanted=$(sources)
    [ "$wanted" != "$(cat "$TOOLS/image.stamp" 2>/dev/null)" ] || exit 0
fi

# What it takes to build is gone at the end.
new=$(mktemp -d "${1:-$TOOLS}/image.XXXXXX")
trap 'chmod -R u+rwX "$new"; rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
build() {
    buildah --root "$new/storage" --runroot "$new/run" --storage-driver vfs "$@"
}

container=$(build from --pull=never scratch)
build add -q "$container" "$TOOLS/base.tar" / >/dev/null
build config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin "$container"
build commit -q "$container" localhost/base >/dev/null
build rm "$container" >/dev/null
build bud --isolation=chroot --pull=never --network=host \
    --build-arg BASE=localhost/base --build-arg "TLS=${TLS:-}" -t localhost/pollreload:test . >"$new/said" 2>&1 || {
    cat "$new/said" >&2
    fail 'the image cannot be built'
}
build push -q localhost/pollreload:test \
    "docker-archive:$new/pollreload.tar:localhost/pollreload:test"
if [ $# != 0 ]; then
    mv "$new/pollreload.tar" "$1/pollreload.tar"
    exit
fi
container=$(build from --pull=never localhost/pollreload:test)
mkdir "$new/rootfs"
tar -C "$(build mount "$container")" -c . | tar -C "$new/rootfs" -x
chmod 755 "$new/rootfs"
build umount "$container" >/dev/null
build rm "$container" >/dev/null

rm -rf "$TOOLS/image.stamp" "$TOOLS/rootfs"
mv "$new/rootfs" "$TOOLS/rootfs"
mv "$new/pollreload.tar" "$TOOLS/pollreload.tar"
printf '%s\n' "$wanted" >"$TOOLS/image.stamp"
