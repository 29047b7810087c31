#!/bin/sh
# usage: poweroff.sh [SECONDS]
# Powers the system down after SECONDS (30): services stop, disks are unmounted. What does not end
# within two minutes is cut off.
seconds=${1:-30}
case $seconds in
    *[!0-9]*) echo "poweroff: $seconds is no number of seconds" >&2; exit 1 ;;
esac
sleep "$seconds"
poweroff
sleep 120
exec poweroff -f
