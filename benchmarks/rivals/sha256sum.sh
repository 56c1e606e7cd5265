#!/bin/sh
# Its twin that polls. FILE, PROCESS, SIGNAL and INTERVAL (in seconds) come from
# the environment; FILE may be a directory.
digest() {
    if [ -d "$FILE" ]; then
        find "$FILE" -type f -exec sha256sum {} + | sha256sum
    else
        sha256sum "$FILE"
    fi
}

known=$(digest)
while sleep "$INTERVAL"; do
    new=$(digest)
    if [ "$new" != "$known" ]; then
        known=$new
        pid=$(pgrep -o -x "$PROCESS") && kill "-$SIGNAL" "$pid"
    fi
done
