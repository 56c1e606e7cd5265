#!/bin/sh
# A reload of nginx on this machine, and a configuration that it refuses:
# sh run.sh, or PORT=8081 sh run.sh. All that it makes and starts is gone after it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:$here/../../.venv/bin:$here/../../.quickstart/bin:/usr/sbin
port=${PORT:-8080}

say() { printf '\n== %s\n' "$*"; }
fail() { printf '%s\n' "run.sh: $*" >&2; exit 1; }

command -v pollreload >/dev/null || fail \
    'pollreload is not here: pip install . in a clone, as the README says'
command -v nginx >/dev/null || fail 'nginx is not here: apt-get install nginx'

place=$(mktemp -d)
conf=$place/conf.d
log=$place/pollreload.log
: >"$log"  # which is looked at before anything is in it
server=
sidecar=
cleanup() {
    trap - EXIT
    # QUIT lets nginx's workers end with it.
    [ -z "$sidecar" ] || { kill "$sidecar" && wait "$sidecar"; } 2>/dev/null || :
    [ -z "$server" ] || { kill -QUIT "$server" && wait "$server"; } 2>/dev/null || :
    rm -rf "$place"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# swap: make standard input the content of conf.d/site.conf, as the kubelet does.
swap() {
    new=$(mktemp -d "$conf/..XXXXXX")
    chmod 755 "$new"
    cat >"$new/site.conf"
    old=$(readlink "$conf/..data" || :)
    ln -s "${new##*/}" "$conf/..data_tmp"
    mv -T "$conf/..data_tmp" "$conf/..data"
    [ -z "$old" ] || rm -r "${conf:?}/$old"
}

ask() { python3 -c "$get" "$port" 2>/dev/null; }
get='import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
connection.request("GET", "/hello")
print(connection.getresponse().read().decode().strip())'

# await WHAT COMMAND...: until it succeeds, for 10 s at most.
await() {
    what=$1
    tries=0
    shift
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { cat "$place"/*.log >&2; fail "no $what"; }
        kill -0 "$server" 2>/dev/null || { cat "$place"/*.log >&2; fail 'nginx ended'; }
        sleep 0.1
    done
}
# logged PATTERN TIMES: whether pollreload has logged that, so often.
logged() { [ "$(grep -c "$1" "$log")" -ge "$2" ]; }

# answer TEXT: the site, with another answer on the port of this run.
answer() { sed "s/8080/127.0.0.1:$port/; s/hello from nginx/$1/" "$here/site.conf"; }

chmod 755 "$place"
mkdir "$conf"
ln -s ..data/site.conf "$conf/site.conf"
answer 'the first answer' | swap
cat >"$place/nginx.conf" <<CONF
daemon off;
pid $place/nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path $place/body;
    proxy_temp_path $place/proxy;
    fastcgi_temp_path $place/fastcgi;
    uwsgi_temp_path $place/uwsgi;
    scgi_temp_path $place/scgi;
    include $conf/*.conf;
}
CONF

ask >/dev/null && fail "port $port is in use; try PORT=8081 sh run.sh"
say 'nginx starts'
nginx -e stderr -p "$place" -c "$place/nginx.conf" 2>"$place/nginx.log" &
server=$!
await 'answer from nginx' ask

test="nginx -t -q -e stderr -p $place -c $place/nginx.conf"
# --cmdline only because this machine may run another nginx.
say "pollreload watch --process nginx --cmdline $place --signal HUP \\
    --verify-workers --validate '$test' \\
    --interval 500ms --settle 200ms $conf"
pollreload watch --process nginx --cmdline "$place" --signal HUP \
    --verify-workers --validate "$test" \
    --interval 500ms --settle 200ms "$conf" 2>"$log" &
sidecar=$!
await 'take the baseline' logged ' baseline: ' 1

say 'the configuration changes'
answer 'the second answer' | swap
await 'verified reload' logged ' verified: ' 1
ask

say 'a broken one: nginx -t refuses it, and nginx is not signalled'
echo 'server {' | swap
await 'refusal' logged ' held: --validate ' 1
ask

say 'repaired'
answer 'the third answer' | swap
await 'verified reload' logged ' verified: ' 2
ask

say 'what pollreload logged'
cat "$log"
