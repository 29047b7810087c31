#!/bin/sh
# sshd in the foreground, its log on standard error. Host keys that nobody has bound into /etc/ssh
# are made anew: Ed25519 and ECDSA, in 0.03 s at most. An RSA key, for which ssh-keygen took
# 0.2 to 1.2 s in five tries, is used if it is there.
# usage: ssh.sh [OPTION OF SSHD]...
for type in ed25519 ecdsa; do
    key=/etc/ssh/ssh_host_${type}_key
    [ -s "$key" ] && continue
    if ! ssh-keygen -q -t "$type" -N "" -C "" -f "$key"; then
        echo "sshd: cannot make $key; bind a host key of your own over it" >&2
        exit 1
    fi
    echo "sshd: new host key $(ssh-keygen -l -f "$key")" >&2
done
if [ ! -s /root/.ssh/authorized_keys ]; then
    echo "sshd: nobody can log in: bind a file with keys over /root/.ssh/authorized_keys" >&2
fi
mkdir -p /run/sshd
chmod 0755 /run/sshd
# Who is logged in and was last; sshd complains of each login without them.
for file in /run/utmp /var/log/lastlog; do
    [ -e "$file" ] || : > "$file"
done
exec /usr/sbin/sshd -D -e "$@"
