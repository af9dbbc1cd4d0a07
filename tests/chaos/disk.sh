# disk.sh: every node's data lies on an ext4 file system of its own, in an image file. Sourced by
# inside.

data_of() { echo "$dir/$1.mnt"; }

# Tried before the first scenario: later on, a mount that fails is a failure like any other.
disk_prepare() {
    local try=$CHAOS_WORK/try
    truncate -s 8M "$try.img" && mkdir "$try" && mkfs.ext4 -q -F "$try.img" &&
        mount -o loop,noatime "$try.img" "$try" || {
        rm -rf "$try" "$try.img"
        not_here "no loop mounts"
    }
    umount "$try" && rmdir "$try" && rm "$try.img"
}

disk_mount() { # NODE
    mount -o loop,noatime "$dir/$1.img" "$(data_of "$1")" ||
        fault "the disk of $1 cannot be mounted"
}

disks_open() {
    local node
    for node in "${nodes[@]}"; do
        truncate -s "${disk_mb}M" "$dir/$node.img" && mkdir "$(data_of "$node")" &&
            mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 "$dir/$node.img" || exit 1
        disk_mount "$node" || exit 1
    done
}

disk_unmount() { # NODE
    local tries=100
    until umount "$(data_of "$1")" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { fault "the disk of $1 stays in use" && return 1; }
        sleep 0.1
    done
}

disks_close() {
    local node
    for node in "${nodes[@]}"; do
        mountpoint -q "$(data_of "$node")" && disk_unmount "$node"
        rmdir "$(data_of "$node")" 2>/dev/null
    done
}

# The power of all nodes at once: the disks first, so that nothing that is done after it counts.
power_cut() {
    local node dirs=()
    for node in "${nodes[@]}"; do
        dirs+=("$(data_of "$node")")
    done
    "$PCACHE_BIN/chaos/powercut" "${dirs[@]}" || fault "the power did not fail"
    for node in "${nodes[@]}"; do
        node_kill "$node"
    done
    for node in "${nodes[@]}"; do
        disk_unmount "$node" && disk_mount "$node"
    done
}

# ---- what faultfs.so is told: words, none = behave
orders() { # NODE WORD...
    local node=$1
    shift
    rm -f "$dir/$node.orders.done"
    echo "$*" >"$dir/$node.orders.new" && mv "$dir/$node.orders.new" "$dir/$node.orders"
}

# Waits until an order had effect: a fault that never happened proves nothing.
await_done() { # NODE ORDER
    local deadline=$((SECONDS + 20))
    until grep -qs "^$2" "$dir/$1.orders.done"; do
        [ $SECONDS -lt $deadline ] || { fault "$1 never met $2" && return 1; }
        sleep 0.05
    done
}

# ---- space
disk_fill() { # NODE
    dd if=/dev/zero of="$(data_of "$1")/ballast" bs=64k 2>/dev/null
    dd if=/dev/zero of="$(data_of "$1")/ballast" bs=1k oflag=append conv=notrunc 2>/dev/null
    [ "$(df --output=avail -k "$(data_of "$1")" | tail -n 1)" -lt 64 ] ||
        fault "the disk of $1 is not full"
}

disk_relieve() { rm -f "$(data_of "$1")/ballast"; }

# ---- rot
flip_bit() { # FILE OFFSET
    local byte bit=$((RANDOM % 8))
    byte=$(od -An -tu1 -j "$2" -N 1 "$1") || return 1
    printf '%b' "\\x$(printf %02x $((byte ^ (1 << bit))))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

# Flips a bit in each of five entries of a node that does not run: of those entries that are number
# PART when the log is divided into PARTS. The last ones are left alone: nothing behind them proves
# that they were whole once.
rot() { # NODE PART PARTS
    local log file offset damage=5 seed=$RANDOM
    log=$(data_of "$1")/data/log
    rot_fixes "$1" >"$dir/$1.fixes"
    "$PCACHE_BIN/pclog" dump "$log" >"$dir/$1.dump" || fault "the log of $1 was not good before"
    awk '$2 == "entry" && $5 !~ /x/ { print $1 }' "$dir/$1.dump" | head -n -20 |
        awk -v part="$2" -v parts="$3" '{ line[NR] = $0 }
            END { for (i = int(NR * (part - 1) / parts) + 1; i <= int(NR * part / parts); i++)
                      print line[i] }' >"$dir/$1.places"
    while IFS=+ read -r file offset; do
        flip_bit "$log/$file" $((offset + RANDOM % 96)) || fault "no bit flipped in $1"
        echo "$file+$offset" >>"$dir/$1.rot"
    done < <(shuf -n $damage --random-source=<(yes "$seed") "$dir/$1.places")
    "$PCACHE_BIN/pclog" verify "$log" >"$dir/$1.verify" 2>&1
    [ $? -eq 8 ] || fault "pclog finds nothing wrong with $1: $(tail -n 1 "$dir/$1.verify")"
}

# What repairs have left in the log of a node, each with what tells it from a later one.
rot_fixes() { # NODE
    find "$(data_of "$1")/data/log" -name 'fix-*.seg' -printf '%f %i %T@\n' | sort
}

# A node fetches what it has lost from the others, and then becomes ready. That an earlier damage
# was repaired proves nothing.
rot_await() { # NODE...
    local node
    await_ready "$@" || return 1
    for node in "$@"; do
        rot_fixes "$node" | comm -13 "$dir/$node.fixes" - | grep -q . ||
            fault "$node has repaired nothing: $(tail -n 1 "$dir/$node.verify")"
    done
}
