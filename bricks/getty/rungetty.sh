#!/bin/sh
# A getty on each console= of the kernel's command line, again and again. Runs under tini, which reaps.
serve() {
    tty=$1 speed=$2 term=$3 line=$4
    while true; do
        # shellcheck disable=SC2086  # $line is an option or nothing
        if [ "$INSECURE" = true ]; then
            setsid getty $line -n -l /usr/bin/autologin "$speed" "$tty" "$term"
        else
            setsid getty $line -l /usr/bin/login "$speed" "$tty" "$term"
        fi
        sleep 1
    done
}

if [ -f /hostroot/etc/getty.shadow ]; then
    cp /hostroot/etc/getty.shadow /etc/shadow
    echo >> /etc/shadow
    chmod 0600 /etc/shadow
fi
seen=" "
started=
for word in $(cat /proc/cmdline); do
    case $word in console=*) ;; *) continue ;; esac
    word=${word#console=}
    tty=${word%%,*}
    speed=115200
    case $word in *,*) speed=${word#*,}; speed=${speed%%[!0-9]*} ;; esac
    case $seen in *" $tty "*) continue ;; esac
    seen="$seen$tty "
    if [ ! -c "/dev/$tty" ]; then
        echo "getty: no device /dev/$tty" >&2
        continue
    fi
    case $tty in
        ttyS* | ttyAMA* | ttyUSB* | ttyMFD*) serve "$tty" "${speed:-115200}" vt100 -L & ;;
        tty[0-9]*) serve "$tty" 38400 linux "" & ;;
        *) serve "$tty" "${speed:-115200}" linux "" & ;;
    esac
    started=yes
done
[ -n "$started" ] || echo "getty: the kernel's command line names no usable console" >&2
wait
