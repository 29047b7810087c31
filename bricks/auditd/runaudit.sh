#!/bin/sh
# Load the rules, then auditd in the foreground. usage: runaudit.sh [OPTION OF AUDITD]...
mkdir -p /var/log/audit && chmod 0700 /var/log/audit || exit 1
if ! auditctl -R /etc/audit/audit.rules >/dev/null; then
    echo "auditd: /etc/audit/audit.rules is not taken (is audit=0 on the command line?)" >&2
    exit 1
fi
exec auditd -n "$@"
