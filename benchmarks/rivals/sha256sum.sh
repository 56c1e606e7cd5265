#!/bin/sh
# Its twin that polls. Also from the environment: INTERVAL, in seconds; FILE may be
# a directory.
digest() {
    if [ -d "$FILE" ]; then
        find "$FILE" -type f -exec sha256sum {} + | sha256sum
    else
        sha256sum "$FILE"
    fi
}

known=$(digest)
while sleep "$INTERVAL"; do
    new=$(digest) || continue
    if [ "$new" != "$known" ]; then
        known=$new
        kill "-$SIGNAL" "$(pgrep "${MATCH:--x}" "$PROCESS" | head -n 1)"
    fi
done
