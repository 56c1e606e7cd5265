#!/bin/sh
# A release without the upload: sh packaging/release.sh [DIRECTORY]
# Builds all that a release publishes and needs no credentials into DIRECTORY (dist):
#   python/      the sdist, and the wheel from it, of what git knows of this checkout;
#                checked, and each tried in an environment of its own
#   chart/       the Helm chart
#   kubernetes/  the admission policies for kubectl
#   image/       the image of this machine's architecture, if BASE names an image of
#                Python to build it on, such as docker.io/library/python:3.13-slim
#   sbom/        the CycloneDX SBOMs of an installed wheel, and of the image
#   NOTES.md, SHA256SUMS
# and lists what .github/workflows/release.yml would push, to where.
# REPOSITORY: the image that chart and policies name.
set -eu
PYTHON=${PYTHON:-python3}
BASE=${BASE:-}
to=${1:-dist}
mkdir -p "$to"
to=$(cd "$to" && pwd)
cd "$(dirname "$0")/.."

say() { printf '%s\n' "release.sh: $*"; }
fail() { say "$*" >&2; exit 1; }

work=$(mktemp -d)
trap 'chmod -R u+rwX "$work"; rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# It would show this checkout to the environments that the wheel is installed in.
unset PYTHONPATH

[ -z "$(ls -A "$to")" ] || fail "$to is not empty; a release begins with nothing"
git rev-parse --git-dir >/dev/null || fail 'this is no git clone'
commit=$(git rev-parse HEAD 2>/dev/null || :)

tools='build>=1.2 check-wheel-contents>=0.6 click>=8.1 cyclonedx-bom>=7 PyYAML>=6
    twine>=6.1 xxhash>=3'
bin=$PWD/.venv/release/bin
if [ "$tools" != "$(cat .venv/release/wanted 2>/dev/null)" ]; then
    say "installing the tools"
    rm -rf .venv/release
    "$PYTHON" -m venv .venv/release
    # Each is one argument.
    # shellcheck disable=SC2086
    "$bin/pip" install -q $tools
    printf '%s\n' "$tools" >.venv/release/wanted
fi

# Not in the checkout, because what earlier builds left there (build, *.egg-info) would
# get into this one.
mkdir "$work/tree"
git ls-files -z --cached --others --exclude-standard |
    tar --create --null --files-from - --ignore-failed-read |
    tar --extract --directory "$work/tree"
cd "$work/tree"
version=$(sed -n "s/^version = //p" setup.cfg)
image=${REPOSITORY:-registry.example/pollreload}

mkdir "$to/python" "$to/chart" "$to/kubernetes" "$to/sbom"
"$bin/python" -m build --outdir "$to/python" . >"$work/output" 2>&1 || {
    cat "$work/output" >&2
    fail 'the build failed'
}
"$bin/twine" check --strict "$to"/python/*
"$bin/check-wheel-contents" "$to"/python/*.whl

for file in "$to"/python/*.tar.gz "$to"/python/*.whl; do
    rm -rf "$work/venv"
    "$PYTHON" -m venv "$work/venv"
    "$work/venv/bin/pip" install -q "$file"
    "$work/venv/bin/pip" check -q
    say "${file##*/} installs as $("$work/venv/bin/pollreload" --version)"
    (cd / && "$work/venv/bin/pollreload" smoke) >"$work/output" 2>&1 || {
        cat "$work/output" >&2
        fail "${file##*/}: smoke fails"
    }
    say "${file##*/}: smoke: ok"
done
# Of the environment with the wheel, without the tools that installed it.
"$work/venv/bin/pip" uninstall -q -y pip setuptools
"$bin/cyclonedx-py" environment --output-reproducible --output-file \
    "$to/sbom/pollreload-$version.cdx.json" "$work/venv/bin/python"

"$bin/python" packaging/chart/build.py "$work/chart" "$image"
tar --create --directory "$work/chart" --sort=name --mtime=@0 --owner=0 --group=0 \
    --numeric-owner --mode=u=rwX,go=rX pollreload |
    gzip -n >"$to/chart/pollreload-$version.tgz"
"$bin/python" packaging/chart/build.py --policies "$image" \
    >"$to/kubernetes/pollreload-$version-policies.yaml"

if [ -n "$BASE" ]; then
    mkdir "$to/image"
    buildah() {
        command buildah --root "$work/storage" --runroot "$work/run" \
            --storage-driver vfs "$@"
    }
    buildah bud --isolation=chroot --build-arg "BASE=$BASE" \
        --build-arg "COMMIT=$commit" -t "$image:$version" . >"$work/output" 2>&1 || {
        cat "$work/output" >&2
        fail 'the image cannot be built'
    }
    architecture=$(buildah inspect --type image --format '{{.OCIv1.Architecture}}' \
        "$image:$version")
    name=pollreload-$version-linux-$architecture
    buildah push -q "$image:$version" "docker-archive:$to/image/$name.tar"
    container=$(buildah from --pull=never "$image:$version")
    cp "$(buildah mount "$container")/usr/local/share/pollreload/sbom.cdx.json" \
        "$to/sbom/$name.cdx.json"
    buildah rm "$container" >/dev/null
fi

# The part of the changelog that is about this version.
awk -v version="[$version]" '/^## / { wanted = $2 == version; next } wanted' \
    CHANGELOG.md >"$to/NOTES.md"
[ -s "$to/NOTES.md" ] || fail "CHANGELOG.md has no section for $version"
(cd "$to" && find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort |
    xargs sha256sum) >"$work/sums"
mv "$work/sums" "$to/SHA256SUMS"

for file in "$to"/python/*.whl; do
    say "${file##*/} has:"
    "$PYTHON" -m zipfile --list "$file"
done
for file in "$to"/python/*.tar.gz "$to"/chart/*.tgz; do
    say "${file##*/} has:"
    tar --list --file "$file" | sed 's/^/  /'
done
say "a tag v$version would push:"
for file in "$to"/python/*; do
    say "  to the package index, by trusted publishing: python/${file##*/}"
done
say "  to $image:$version: the image for linux/amd64 and linux/arm64, signed, with"
say '    provenance and an SBOM each'
say "  to oci://$image/charts: chart/pollreload-$version.tgz, signed"
say "  to the release v$version: all files of SHA256SUMS, with provenance"
[ -n "$BASE" ] || say 'the image was not built: set BASE to an image of Python'
say 'all is well'
