#!/bin/sh
# A sidecar as it is usually written: inotifywait in a loop, and the first process
# that pgrep finds. From the environment: FILE, PROCESS, SIGNAL, and MATCH, which
# is -x for a name of up to 15 bytes and -f, as pgrep(1) says, for a longer one.
while inotifywait -qq -e modify,attrib,move_self,delete_self,create,moved_to "$FILE"; do
    kill "-$SIGNAL" "$(pgrep "${MATCH:--x}" "$PROCESS" | head -n 1)"
done
