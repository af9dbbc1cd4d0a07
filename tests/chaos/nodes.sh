# nodes.sh: the processes of a cluster, by node name, and what they say of themselves. Sourced by
# inside.

ready_seconds_max=60
write_seconds_max=10
stop_seconds_max=15

declare -A pid_of ending joins
troubled=" " # nodes that others may rightly take for dead

cluster_open() { # SIZE
    local i members="" waiting=""
    nodes=() pid_of=() ending=() joins=() troubled=" "
    for ((i = 1; i <= $1; i++)); do
        nodes+=("node$i")
        if [ $i -gt $(($1 - spares)) ]; then
            waiting+="${waiting:+, }node$i=$(address_of "node$i"):$bus_port"
            joins[node$i]=yes
        else
            members+="${members:+, }node$i=$(address_of "node$i"):$bus_port"
        fi
    done
    (umask 077 && "$PCACHE_BIN/pcadmin" key gen >"$dir/cluster.key") || exit 1
    cat >"$dir/cluster.ini" <<TEXT
[cluster]
name = chaos
key_file = $dir/cluster.key
members = $members
${waiting:+spares = $waiting}
$cluster_settings
[http]
insecure = true
drain_delay = 200ms
[log]
segment_bytes = $segment
$log_settings
TEXT
    net_open
    disks_open
    for node in "${nodes[@]}"; do
        node_start "$node"
    done
}

cluster_close() {
    local node
    for node in "${nodes[@]}"; do
        is_up "$node" && node_kill "$node"
    done
    disks_close
    net_close
}

# ---- one process
is_up() { [ -n "${pid_of[$1]:-}" ] && kill -0 "${pid_of[$1]}" 2>/dev/null; }

excuse() { troubled+="$* "; }

node_start() { # NODE
    local command=("$PCACHE_BIN/pcached" -c "$dir/cluster.ini" --set "node.name=$1"
        --set "node.data_dir=$(data_of "$1")/data" --set "http.listen=$(address_of "$1"):$http_port"
        --set "bus.listen=$(address_of "$1"):$bus_port")
    [ -n "${joins[$1]:-}" ] && command+=(--set cluster.join=true)
    if [ -n "$shim" ]; then
        command=(env LD_PRELOAD="$PCACHE_BIN/chaos/faultfs.so" FAULTFS_CONTROL="$dir/$1.orders"
            FAULTFS_DIR="$(data_of "$1")" "${command[@]}")
    fi
    # Not by a function: $! would be the shell that runs it.
    nsenter --net="$(net_of "$1")" "${command[@]}" >>"$dir/$1.log" 2>&1 &
    pid_of[$1]=$!
    ending[$1]=""
}

# Waits for the end of a process; its exit status is in `ended`.
node_await_end() { # NODE
    local deadline=$((SECONDS + stop_seconds_max))
    while is_up "$1"; do
        [ $SECONDS -lt $deadline ] || { fault "$1 does not end" && return 1; }
        sleep 0.05
    done
    wait "${pid_of[$1]}" 2>/dev/null
    ended=$?
    pid_of[$1]=""
}

node_kill() { # NODE
    excuse "$1"
    [ -n "${pid_of[$1]}" ] || return 0
    kill -KILL "${pid_of[$1]}" 2>/dev/null
    wait "${pid_of[$1]}" 2>/dev/null
    ended=$?
    # One that had ended before was not ended by this.
    [ $ended -eq 137 ] || [ "${ending[$1]}" = "$ended" ] || fault "$1 ended with status $ended"
    pid_of[$1]=""
}

node_stop() { # NODE
    excuse "$1"
    kill -TERM "${pid_of[$1]}" 2>/dev/null
    node_await_end "$1" && { [ $ended -eq 0 ] || fault "$1 stopped with status $ended"; }
}

node_signal() { # SIGNAL NODE
    excuse "$2"
    kill "-$1" "${pid_of[$2]}" || fault "$2 does not run"
}

# What a fault is expected to make of a process: that it ends, with this status.
expect_end() { # NODE STATUS
    excuse "$1"
    ending[$1]=$2
}

# Mends everything that can be mended, and has every node run.
heal() {
    local node
    net_heal
    cpu_release
    for node in "${nodes[@]}"; do
        [ -n "$shim" ] && orders "$node"
        disk_relieve "$node"
        if is_up "$node"; then
            kill -CONT "${pid_of[$node]}"
            continue
        fi
        if [ -n "${pid_of[$node]}" ]; then
            node_await_end "$node"
            [ "${ending[$node]}" = "$ended" ] || {
                fault "$node ended with status $ended: $(last_words "$node")"
            }
        fi
        node_start "$node"
    done
}

last_words() {
    { grep -h level=error "$dir/$1.log" || cat "$dir/$1.log"; } | tail -n 1 | cut -c 1-300
}

# ---- what they say
ask() { # NODE PATH [CURL-OPTION...]
    local url="http://$(address_of "$1"):$http_port$2"
    shift 2
    in_net client curl -s --max-time 2 "$@" "$url"
}

# A spare that lacks nothing else is as ready as it gets.
is_ready() {
    local lacks
    ask "$1" /readyz -f -o /dev/null && return
    lacks=$(ask "$1" /readyz | grep '^\[-\]') && ! grep -qv '^\[-\]spare' <<<"$lacks"
}

is_spare() { [ "$(status_field "$1" role)" = spare ]; }

voters() { # that run
    local node
    for node in "${nodes[@]}"; do
        is_up "$node" && ! is_spare "$node" && echo "$node"
    done
}

await_ready() { # NODE...
    local node deadline=$((SECONDS + ready_seconds_max))
    for node in "$@"; do
        until is_ready "$node"; do
            is_up "$node" || { fault "$node does not run: $(last_words "$node")" && return 1; }
            if [ $SECONDS -ge $deadline ]; then
                fault "$node is not ready: $(ask "$node" /readyz | grep -v '^\[+\]' | tr '\n' ' ')"
                return 1
            fi
            sleep 0.1
        done
    done
}

# A node that was refused something once must not refuse for ever.
await_writes() { # NODE...
    local node status deadline
    for node in "$@"; do
        is_spare "$node" && continue
        deadline=$((SECONDS + write_seconds_max))
        until status=$(ask "$node" "/v1/kv/$name/healed/$node" -X PUT -d again -o /dev/null \
            -w '%{http_code}') && [[ $status == 2?? ]]; do
            if [ $SECONDS -ge $deadline ]; then
                fault "$node takes no writes, though all is mended: $status"
                return 1
            fi
            sleep 0.1
        done
    done
}

# A field of the status, as text; the first of its name is the node's own.
status_field() { # NODE FIELD
    ask "$1" /v1/status | grep -o "\"$2\": *[^,}]*" | head -n 1 | cut -d: -f2 | tr -d '" '
}

metric() { # NODE NAME
    ask "$1" /metrics | awk -v name="$2" '$1 == name { print $2 }'
}

# The leader that has the highest term: one that was cut off may not know yet. When there is none
# for long, any node that runs: what the clients see of that is in the figures.
leader() {
    local node found best deadline=$((SECONDS + 20)) term
    while [ $SECONDS -lt $deadline ]; do
        found="" best=0
        for node in "${nodes[@]}"; do
            is_up "$node" && [ "$(status_field "$node" role)" = leader ] || continue
            term=$(status_field "$node" term)
            [ "${term:-0}" -gt "$best" ] && best=$term found=$node
        done
        [ -n "$found" ] && echo "$found" && return
        sleep 0.05
    done
    for node in "${nodes[@]}"; do
        is_up "$node" && echo "$node" && return
    done
}

others_than() { # NODE...
    local node
    for node in "${nodes[@]}"; do
        [[ " $* " == *" $node "* ]] || echo "$node"
    done
}

term() {
    local node highest=0 term
    for node in "${nodes[@]}"; do
        term=$(status_field "$node" term)
        [ "${term:-0}" -gt $highest ] && highest=$term
    done
    echo $highest
}

# One index and one digest on all nodes. Nothing may write meanwhile.
await_equal() {
    local node seen last deadline=$((SECONDS + ready_seconds_max))
    while [ $SECONDS -lt $deadline ]; do
        seen=$(for node in "${nodes[@]}"; do
            ask "$node" /v1/status | grep -oE '"(commit|applied|digest)": *"?[0-9a-f]+' |
                grep -oE '[0-9a-f]+$' | tr '\n' ' '
            echo
        done | awk 'NF == 3 && $1 == $2' | sort | uniq -c)
        last=$seen
        [ "$(awk 'NR == 1 { print $1 }' <<<"$seen")" = ${#nodes[@]} ] && return 0
        sleep 0.1
    done
    fault "the nodes are not equal: $(tr '\n' ';' <<<"$last")"
    return 1
}

# The nodes whose death somebody announced, once for each announcement.
deaths() {
    local node
    for node in "${nodes[@]}"; do
        grep -E 'msg="?member"? .*state=dead' "$dir/$node.log"
    done | grep -oE 'member="?node[0-9]+' | grep -oE 'node[0-9]+'
}

# ---- members
# Asks for a change until it is made: a leader may be on its way out. What was made by a question
# whose answer was lost is refused the next time: the members tell.
member_change() { # VERB NODE
    local through deadline=$((SECONDS + 40))
    through=$(others_than "$2" | head -n 1)
    until in_net client "$PCACHE_BIN/pcadmin" -t 5s -e "$(address_of "$through"):$http_port" \
        member "$1" "$2" >"$dir/member.answer" 2>&1; do
        is_member "$through" "$2" && [ "$1" = add ] && return
        is_member "$through" "$2" || [ "$1" != remove ] || return
        if [ $SECONDS -ge $deadline ]; then
            fault "member $1 $2: $(tail -n 1 "$dir/member.answer")"
            return 1
        fi
        sleep 0.2
    done
}

is_member() { # THROUGH NODE
    ask "$1" /v1/members | grep -q "\"name\": *\"$2\""
}

# Waits until all of these say that so many vote and that one may be lost.
await_voters() { # COUNT NODE...
    local node count=$1 deadline=$((SECONDS + ready_seconds_max))
    shift
    for node in "$@"; do
        until [ "$(status_field "$node" voters)" = "$count" ] &&
            [[ $(status_field "$node" redundancy) == [1-9] ]]; do
            if [ $SECONDS -ge $deadline ]; then
                fault "$node: $(status_field "$node" voters) voters, not $count that may lose one"
                return 1
            fi
            sleep 0.1
        done
    done
}

wipe() { rm -rf "$(data_of "$1")/data"; } # NODE that does not run

# Of nodes that nothing was done to.
false_deaths() {
    local node
    deaths | while read -r node; do
        [[ $troubled == *" $node "* ]] || echo "$node"
    done | wc -l
}

# ---- processor time
cpu_group() {
    if [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ]; then
        echo "/sys/fs/cgroup/cpu/${CHAOS_WORK##*/}"
    elif grep -qsw cpu /sys/fs/cgroup/cgroup.subtree_control; then
        echo "/sys/fs/cgroup/${CHAOS_WORK##*/}"
    fi
}

# Leaves a node so many percent of one processor: by a control group, or by halting it again and
# again where there is none.
cpu_starve() { # NODE PERCENT
    local group
    group=$(cpu_group)
    if [ -n "$group" ] && mkdir -p "$group" 2>/dev/null; then
        if [ -e "$group/cpu.max" ]; then
            echo "$(($2 * 1000)) 100000" >"$group/cpu.max"
        else
            echo 100000 >"$group/cpu.cfs_period_us" &&
                echo $(($2 * 1000)) >"$group/cpu.cfs_quota_us"
        fi && echo "${pid_of[$1]}" >"$group/cgroup.procs" && return
    fi
    say "no control group for processor time: halting the process instead"
    : >"$dir/halts"
    while kill -STOP "${pid_of[$1]}" 2>/dev/null; do
        echo >>"$dir/halts"
        sleep "0.$(printf %03d $((100 - $2)))"
        kill -CONT "${pid_of[$1]}"
        sleep "0.$(printf %03d "$2")"
    done &
    starver=$!
}

cpu_throttled() { # prints how often the node had to wait for its next share
    local group
    group=$(cpu_group)
    [ -n "$starver" ] && wc -l <"$dir/halts" && return
    awk '$1 == "nr_throttled" { print $2 }' "$group/cpu.stat"
}

starver=""
cpu_release() {
    local group
    group=$(cpu_group)
    [ -n "$starver" ] && kill "$starver" 2>/dev/null
    starver=""
    if [ -e "$group/cpu.max" ]; then
        echo max >"$group/cpu.max"
    elif [ -e "$group/cpu.cfs_quota_us" ]; then
        echo -1 >"$group/cpu.cfs_quota_us"
    fi
}
