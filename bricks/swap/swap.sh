#!/bin/sh
# usage: swap.sh --path /var/FILE --size N[K|M|G] [--encrypt] [--debug]
#                [--condition part:DIRECTORY[:REQUIRED]]
#                [--condition partsize:DIRECTORY:SIZE[:REQUIRED]]
# Status 0 when the system swaps there, and when a condition does not hold that is not `required`
# (true); else 1.
fail() {
    echo "swap: $*" >&2
    exit 1
}

# SIZE in bytes: a number with K, M or G behind it.
bytes() {
    number=${1%[KMGkmg]}
    case $number in '' | *[!0-9]*) fail "$1 is no size: a number, and K, M or G" ;; esac
    case $1 in
        *[Kk]) echo $((number * 1024)) ;;
        *[Mm]) echo $((number * 1024 * 1024)) ;;
        *[Gg]) echo $((number * 1024 * 1024 * 1024)) ;;
        *) echo "$number" ;;
    esac
}

# unmet REQUIRED WHAT: ends for want of WHAT.
unmet() {
    [ "$1" != true ] || fail "$2"
    echo "swap: no swap: $2"
    exit 0
}

is_mounted() { grep -q "^[^ ]* $1 " /proc/mounts; }

# condition KIND:DIRECTORY[:SIZE][:REQUIRED]
condition() {
    kind=${1%%:*}
    rest=${1#*:}
    place=${rest%%:*}
    case $rest in *:*) rest=${rest#*:} ;; *) rest= ;; esac
    case $kind in
        part) is_mounted "$place" || unmet "$rest" "nothing is mounted at $place" ;;
        partsize)
            wanted=$(bytes "${rest%%:*}") || exit 1
            case $rest in *:*) required=${rest#*:} ;; *) required= ;; esac
            is_mounted "$place" || unmet "$required" "nothing is mounted at $place"
            set -- $(df -P -k "$place" | grep " $place\$")
            [ $(($2 * 1024)) -ge "$wanted" ] ||
                unmet "$required" "$place has $2 KiB, not ${rest%%:*}"
            ;;
        *) fail "unknown condition $1: part:DIRECTORY or partsize:DIRECTORY:SIZE" ;;
    esac
}

path= size= encrypt= conditions=
while [ $# -gt 0 ]; do
    case $1 in
        --encrypt) encrypt=yes ;;
        --debug) set -x ;;
        --path | --size | --condition)
            [ $# -gt 1 ] || fail "$1 wants a value"
            case $1 in
                --path) path=$2 ;;
                --size) size=$2 ;;
                --condition) conditions="$conditions $2" ;;
            esac
            shift
            ;;
        *) fail "unknown option $1" ;;
    esac
    shift
done
case $path in
    *..*) fail "--path has to be without .." ;;
    /var/?*) ;;
    *) fail "--path has to be below /var, where disks are mounted" ;;
esac
[ "$size" ] || fail "--size is missing: a number, and K, M or G"
size=$(bytes "$size") || exit 1
for one in $conditions; do condition "$one"; done

folder=${path%/*}
mkdir -p "$folder" || exit 1
case $(stat -f -c %T "$folder") in
    tmpfs | ramfs) fail "$folder is in memory: mount a disk there first" ;;
esac
# A file that is being written has another name: what has the right one is whole, after a power
# cut, too.
if [ "$(stat -c %s "$path" 2>/dev/null)" != "$size" ]; then
    rm -f "$path" "$path.new"
    (umask 077 && : > "$path.new") || fail "cannot write $path.new"
    dd if=/dev/zero of="$path.new" bs=64K count="$size" iflag=count_bytes conv=fsync 2>/dev/null ||
        { rm -f "$path.new"; fail "no room for $size bytes in $folder"; }
    mv "$path.new" "$path" || exit 1
fi
chmod 0600 "$path"
# Nobody writes to a file that the kernel swaps to (ETXTBSY); the first bytes of swap space mean
# nothing. /proc/swaps is no help: it has the name that another container saw.
if ! dd if="$path" of="$path" bs=1 count=1 conv=notrunc 2>/dev/null ||
    grep -q "/mapper/swapfile " /proc/swaps; then
    echo "swap: the system swaps to $path already"
    exit 0
fi

target=$path
if [ "$encrypt" ]; then
    # The key is forgotten with the machine's memory, so that every boot makes a new one, on the
    # same file.
    cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 \
        --key-file /dev/urandom "$path" swapfile ||
        fail "cannot encrypt $path: the kernel wants its modules dm_crypt, loop and xts"
    target=/dev/mapper/swapfile
fi
mkswap "$target" >/dev/null || fail "cannot make swap space of $target"
swapon "$target" || fail "cannot swap to $target"
echo "swap: $size bytes in $path"
