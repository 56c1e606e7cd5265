#!/bin/sh
# Make a stand-in for docker.io/library/python:3.13-slim of this machine's own
# files, for where no registry can be reached: .venv/sandbox/base/ and base.tar.
# The tools and the libc are this Debian's, /usr/local is a CPython 3.13 of pyenv's,
# without symbols as the real one is. It may be several at once that run this.
set -eu
cd "$(dirname "$0")/../.."

VERSION=3.13
TOOLS=$PWD/.venv/sandbox
# What has a file in it that a build, or a test inside of the base, calls.
PACKAGES='base-files base-passwd bash ca-certificates coreutils dash debianutils findutils
    grep gzip hostname inotify-tools libc-bin libc6 mount netbase procps sed tar
    util-linux'

fail() { printf '%s\n' "get-base.sh: $*" >&2; exit 1; }

# What it takes from Debian, for who has to name that.
# shellcheck disable=SC2086 # words
[ "${1:-}" != --packages ] || { echo $PACKAGES binutils; exit; }

# python: print the interpreter whose prefix becomes /usr/local.
python() {
    root=${PYENV_ROOT:-$(pyenv root 2>/dev/null || :)}
    # That of the tests on that version first: run.sh has looked for it everywhere.
    for found in ".venv/$VERSION/bin/python3" \
        "${root:-/nonexistent}/versions/$VERSION"*/bin/python3 \
        "${HOME:-/nonexistent}/.pyenv/versions/$VERSION"*/bin/python3 \
        "/usr/local/bin/python$VERSION" "/opt/python/$VERSION"*/bin/python3; do
        if "$found" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$VERSION')" \
            2>/dev/null; then
            readlink -f "$found"  # a venv has no library of its own
            return
        fi
    done
    return 1
}

for program in dpkg-query flock ldconfig strip; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
        fail "$program is not here: apt-get install binutils dpkg libc-bin util-linux"
done
PATH=$PATH:/usr/sbin:/sbin
python=$(python) || fail "there is no CPython $VERSION of pyenv's (pyenv install $VERSION)"
for package in $PACKAGES; do
    dpkg-query -L "$package" >/dev/null 2>&1 || fail "missing: apt-get install $package"
done

mkdir -p "$TOOLS"
exec 9>"$TOOLS/base.lock"
flock 9
# shellcheck disable=SC2086 # words
wanted=$(cat "$0"; "$python" -VV; dpkg-query -W $PACKAGES;
    cat /etc/pip.conf 2>/dev/null || :)
[ "$wanted" != "$(cat "$TOOLS/base.stamp" 2>/dev/null)" ] || exit 0
rm -rf "$TOOLS/base.stamp" "$TOOLS/base"

new=$(mktemp -d "$TOOLS/base.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 755 "$new"

# Merged, as Debian is since 12: /bin and the like lead into /usr.
mkdir -p "$new"/dev "$new"/etc/ssl/certs "$new"/proc "$new"/root "$new"/run "$new"/sys \
    "$new"/tmp "$new"/usr/bin "$new"/usr/lib "$new"/usr/lib64 "$new"/usr/local \
    "$new"/usr/sbin "$new"/var/tmp
for name in bin lib lib64 sbin; do ln -s "usr/$name" "$new/$name"; done
chmod 1777 "$new/tmp" "$new/var/tmp"

# copy: the files and links named on stdin, to where they are here.
copy() {
    sed -E 's#^/(bin|lib|lib64|sbin)/#/usr/\1/#; s#^/##' | sort -u |
        tar -C / -c --no-recursion -T - | tar -C "$new" -x
}

for package in $PACKAGES; do dpkg-query -L "$package"; done |
    grep -v '^/usr/share/\(bash-completion\|doc\|info\|lintian\|locale\|man\)' |
    while read -r file; do
        if [ -f "$file" ] || [ -L "$file" ]; then echo "$file"; fi
    done | copy
[ -e "$new/bin/sh" ] || ln -s dash "$new/bin/sh"

prefix=$("$python" -c 'import sys; print(sys.base_prefix)')
tar -C "$prefix" -c --exclude __pycache__ --exclude '*.a' \
    --exclude 'lib/python3.*/config-*' --exclude 'lib/python3.*/test' \
    --exclude 'lib/python3.*/idlelib' --exclude 'lib/python3.*/tkinter' \
    --exclude 'lib/python3.*/turtledemo' --exclude 'lib/python3.*/site-packages' \
    --exclude share bin lib | tar -C "$new/usr/local" --no-same-owner -x
find "$new/usr/local" -type f \( -name '*.so*' -o -name "python$VERSION" \) \
    -exec strip --strip-all {} +
ln -sf "python$VERSION" "$new/usr/local/bin/python3"
ln -sf python3 "$new/usr/local/bin/python"

# The libraries that all of this needs, found as the loader finds them here.
find "$new" -type f \( -perm /111 -o -name '*.so*' \) -exec ldd {} + 2>/dev/null |
    sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) (.*/\1/p' |
    grep -v "^$new\|^$prefix" | sort -u | while read -r library; do
        # The link and what it leads to, each by its own name.
        echo "$library"
        readlink -f "$library"
    done | copy

printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'nobody:x:65534:65534:nobody:/:/bin/false' \
    >"$new/etc/passwd"
printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$new/etc/group"
echo 'hosts: files dns' >"$new/etc/nsswitch.conf"
# That pip can fetch from within what it fetches from here.
cp -L /etc/ssl/certs/ca-certificates.crt "$new/etc/ssl/certs/"
[ ! -f /etc/pip.conf ] || cp -L /etc/pip.conf "$new/etc/pip.conf"
ldconfig -r "$new"

chroot "$new" /usr/local/bin/python3 -m ensurepip --default-pip >"$new/tmp/said" 2>&1 || {
    cat "$new/tmp/said" >&2
    fail 'the base has no pip'
}
rm "$new/tmp/said"
ln -sf "pip$VERSION" "$new/usr/local/bin/pip"
tar -C "$new" -cf "$TOOLS/base.tar.new" .
mv "$TOOLS/base.tar.new" "$TOOLS/base.tar"
mv "$new" "$TOOLS/base"
ln -sf "$python" "$TOOLS/python3.13"  # that whose prefix it has
printf '%s\n' "$wanted" >"$TOOLS/base.stamp"
