#!/bin/sh
# The shell sidecar: inotifywait in a loop, and the first process of the name.
# FILE, PROCESS and SIGNAL come from the environment.
while inotifywait -qq -e modify,attrib,move_self,delete_self,create,moved_to "$FILE"; do
    pid=$(pgrep -o -x "$PROCESS") && kill "-$SIGNAL" "$pid"
done
