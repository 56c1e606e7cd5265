#!/bin/sh
# Make the image whose programs the tests tell: a Debian with python3 and curl, nginx
# laid out as in docker.io/nginxinc/nginx-unprivileged, which is what it runs, and Apache
# as in docker.io/library/httpd. It takes about a minute, and leaves
# .venv/sandbox/apps.tar, a docker archive of localhost/pollreload-apps:test.
set -eu
wanted=$(cat "$0")
cd "$(dirname "$0")/../.."

NAME=localhost/pollreload-apps:test
PACKAGES=apache2-bin,curl,nginx,python3-minimal
TOOLS=$PWD/.venv/sandbox

fail() { printf '%s\n' "get-apps.sh: $*" >&2; exit 1; }

command -v debootstrap >/dev/null || fail 'missing: apt-get install debootstrap'
[ "$(id -u)" = 0 ] || fail 'debootstrap has to be run by root'

mkdir -p "$TOOLS"
exec 9>"$TOOLS/apps.lock"
flock 9
if [ -e "$TOOLS/apps.tar" ] && [ "$wanted" = "$(cat "$TOOLS/apps.stamp" 2>/dev/null)" ]
then
    exit 0
fi

new=$(mktemp -d "$TOOLS/apps.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
root=$new/root

# From where this machine's own packages are, if they are Debian's.
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# shellcheck disable=SC2016 # apt's, not the shell's
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' \
    "Codename: $release" | head -n 1)
debootstrap --variant=minbase --include="$PACKAGES" "$release" "$root" "$mirror" \
    >"$new/said" 2>&1 || { tail -n 20 "$new/said" >&2; fail 'debootstrap failed'; }
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
    "$root"/usr/share/locale/* "$root"/usr/share/man/* "${root:?}"/dev/*

# Apache is called httpd there, and its first process by that name.
apache=$root/usr/local/apache2
mkdir -p "$apache/bin" "$apache/conf" "$apache/logs" "$apache/htdocs"
ln -s /usr/lib/apache2/modules "$apache/modules"
ln -s /usr/sbin/apache2 "$apache/bin/httpd"
cat >"$root/usr/local/bin/httpd-foreground" <<'SCRIPT'
#!/bin/sh
rm -f /usr/local/apache2/logs/httpd.pid
exec /usr/local/apache2/bin/httpd -d /usr/local/apache2 -f conf/httpd.conf -DFOREGROUND "$@"
SCRIPT
chmod 755 "$root/usr/local/bin/httpd-foreground"

# All that nginx writes is below /tmp there, for any user.
cat >"$root/etc/nginx/nginx.conf" <<'NGINX'
pid /tmp/nginx.pid;
error_log /dev/stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/client_temp;
    proxy_temp_path /tmp/proxy_temp;
    fastcgi_temp_path /tmp/fastcgi_temp;
    uwsgi_temp_path /tmp/uwsgi_temp;
    scgi_temp_path /tmp/scgi_temp;
    include /etc/nginx/conf.d/*.conf;
}
NGINX

# A docker archive of one layer: the files, the configuration, and which is which.
tar -C "$root" --numeric-owner --sort=name --mtime=@0 -cf "$new/layer.tar" .
layer=$(sha256sum "$new/layer.tar" | cut -d ' ' -f 1)
cat >"$new/config.json" <<JSON
{"architecture": "$(dpkg --print-architecture)", "os": "linux",
 "config": {"Cmd": ["nginx", "-g", "daemon off;"],
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]},
 "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "get-apps.sh"}]}
JSON
cat >"$new/manifest.json" <<JSON
[{"Config": "config.json", "RepoTags": ["$NAME"], "Layers": ["layer.tar"]}]
JSON
tar -C "$new" -cf "$TOOLS/apps.tar.new" config.json manifest.json layer.tar
mv "$TOOLS/apps.tar.new" "$TOOLS/apps.tar"
printf '%s\n' "$wanted" >"$TOOLS/apps.stamp"
