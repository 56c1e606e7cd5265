#!/bin/sh
# Its twin that polls; INTERVAL is in seconds.
known=$(sha256sum "$FILE")
while sleep "$INTERVAL"; do
    new=$(sha256sum "$FILE") || continue
    if [ "$new" != "$known" ]; then
        known=$new
        kill "-$SIGNAL" "$(pgrep "$MATCH" "$PROCESS" | head -n 1)"
    fi
done
