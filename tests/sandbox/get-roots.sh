#!/bin/sh
# Make root file systems of other images, for install-to to be tried in: .venv/sandbox/
# roots/{busybox,musl,newer}. busybox: a static one and nothing else; musl: that, and a
# program that needs musl (as all of Alpine's do); newer: a shell on Debian 13's libc.
set -eu
cd "$(dirname "$0")/../.."

RELEASE=trixie
PACKAGES='busybox-static dash libc6 musl'
NINJA=1.13.2  # a program of one file, which is published for musl
TOOLS=$PWD/.venv/sandbox

fail() { printf '%s\n' "get-roots.sh: $*" >&2; exit 1; }

# What it takes from Debian, for who has to name that.
# shellcheck disable=SC2086 # words
[ "${1:-}" != --packages ] || { echo $PACKAGES; exit; }

for program in apt-get dpkg-deb flock; do
    command -v "$program" >/dev/null || fail "this takes a Debian: there is no $program"
done
mkdir -p "$TOOLS"
exec 9>"$TOOLS/roots.lock"
flock 9
wanted=$(cat "$0")
[ "$wanted" != "$(cat "$TOOLS/roots/stamp" 2>/dev/null)" ] || exit 0

# Where this machine has its own release from.
# shellcheck source=/dev/null
own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
# shellcheck disable=SC2016 # apt-get fills them in
mirror=$(apt-get indextargets --no-release-info --format '$(COMPONENT) $(RELEASE) $(SITE)' \
    'Created-By: Packages' | sed -n "s/^main $own //p; s/^main stable //p" | head -n 1)
[ -n "$mirror" ] || fail 'no source of apt is a mirror of Debian'

new=$(mktemp -d "$TOOLS/roots.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir -p "$new/lists/partial" "$new/cache/archives/partial" "$new/roots"
echo "deb $mirror $RELEASE main" >"$new/sources.list"
private() {
    apt-get -qq -o Dir::Etc::sourcelist="$new/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State::lists="$new/lists" -o Dir::Cache="$new/cache" \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}
private update
# shellcheck disable=SC2086 # words
(cd "$new" && private download $PACKAGES)
for package in $PACKAGES; do
    dpkg-deb --extract "$new/${package}_"*.deb "$new/$package"
done

for root in busybox musl newer; do
    (cd "$new/roots" && mkdir -p $root/bin $root/dev $root/etc $root/lib $root/proc \
        $root/shared $root/tmp)
done
for root in busybox musl; do
    cp "$new/busybox-static/usr/bin/busybox" "$new/roots/$root/bin/busybox"
    for name in readlink sh true; do ln -s busybox "$new/roots/$root/bin/$name"; done
done

# musl's loader is its libc; it looks for what is needed under that name, too.
libc=$(find "$new/musl" -name libc.so -type f)
loader=$(cd "$new/musl" && find . -name 'ld-musl-*.so.1' | head -n 1)
cp "$libc" "$new/roots/musl/lib/${loader##*/}"
machine=${loader##*/ld-musl-}
python3 -m pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
    --platform "musllinux_1_2_${machine%.so.1}" --dest "$new" "ninja==$NINJA"
python3 -m zipfile -e "$new"/ninja-*.whl "$new/ninja"
cp "$new"/ninja/*.data/scripts/ninja "$new/roots/musl/bin/ninja"
chmod 755 "$new/roots/musl/bin/ninja"

# Where the kernel looks for this one is not the same on all machines.
loader=$(cd "$new/libc6/usr" && find lib*/ -maxdepth 1 -name 'ld-linux-*' | head -n 1)
libc=$(find "$new/libc6/usr" -name libc.so.6)
mkdir -p "$new/roots/newer/${loader%/*}"
cp "$(dirname "$libc")/${loader##*/}" "$new/roots/newer/$loader"
cp "$libc" "$new/roots/newer/lib/"
cp "$new/dash/usr/bin/dash" "$new/roots/newer/bin/sh"

rm -rf "$TOOLS/roots"
printf '%s\n' "$wanted" >"$new/roots/stamp"
mv "$new/roots" "$TOOLS/roots"
