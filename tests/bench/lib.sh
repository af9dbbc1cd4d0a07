# lib.sh: nodes on loopback for the benchmarks. Sourced by run; what it starts is ended by pid.
#
# A cluster is an array of nodes 1..N: PID[i], HTTP[i], BUS[i]; its files are in $CLUSTER.

bin=$(cd "${PCACHE_BIN:?the build directory}" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/pcache-bench.XXXXXX")
STARTED=()
PID=() HTTP=() BUS=()
NODES=0
CLUSTER=
SAVED=
NEXT_PORT=$((20000 + RANDOM % 8000))

# started: notes the process just put into the background. Disowned: its end is no news.
started() {
    STARTED+=("$!")
    disown "$!"
}

# ended PID: waits until a process that has been killed is gone, and forgets it.
ended() {
    tail --pid="$1" -s 0.01 -f /dev/null
    local pid rest=()
    for pid in "${STARTED[@]}"; do
        [ "$pid" = "$1" ] || rest+=("$pid")
    done
    STARTED=("${rest[@]}")
}

end_all() {
    local pid
    for pid in "${STARTED[@]}"; do
        kill -9 "$pid" 2>/dev/null && ended "$pid"
    done
}
trap 'end_all; rm -rf "$work" ${MEMORY:+"$MEMORY"}' EXIT
trap 'exit 130' INT TERM

die() {
    echo "bench: $*" >&2
    [ -n "$CLUSTER" ] && tail -n 5 "$CLUSTER"/*.log >&2
    exit 1
}

# take_port: sets PORT to one that nobody listens on.
take_port() {
    while :; do
        NEXT_PORT=$((NEXT_PORT + 1))
        (exec 3<>"/dev/tcp/127.0.0.1/$NEXT_PORT") 2>/dev/null || break
    done
    PORT=$NEXT_PORT
}

# cluster_make N: chooses ports and writes the settings; starts nothing.
cluster_make() {
    local i members=
    NODES=$1
    CLUSTER=$(mktemp -d "${PLACE:-$work}/cluster.XXXX")
    PID=() HTTP=() BUS=()
    for ((i = 1; i <= NODES; i++)); do
        take_port && HTTP[i]=$PORT
        take_port && BUS[i]=$PORT
        members+="${members:+, }node$i=127.0.0.1:${BUS[i]}"
    done
    (umask 077 && "$bin/pcadmin" key gen >"$CLUSTER/key") || die "pcadmin key gen"
    printf '[cluster]\nname = bench\nmembers = %s\nkey_file = %s\n' \
        "$members" "$CLUSTER/key" >"$CLUSTER/cluster.ini"
}

# node_start I [OPTION...]: sets BEGUN to the time of the start.
node_start() {
    BEGUN=$EPOCHREALTIME
    "$bin/pcached" -c "$CLUSTER/cluster.ini" --set "node.name=node$1" \
        --set "node.data_dir=$CLUSTER/node$1" --set "http.listen=127.0.0.1:${HTTP[$1]}" \
        --set "bus.listen=127.0.0.1:${BUS[$1]}" "${@:2}" >>"$CLUSTER/node$1.log" 2>&1 &
    PID[$1]=$!
    started
}

node_kill() {
    kill -9 "${PID[$1]}" 2>/dev/null
    ended "${PID[$1]}"
}

# ports_of I...: their HTTP ports, with commas.
ports_of() {
    local i list=
    for i in "$@"; do
        list+="${list:+,}${HTTP[i]}"
    done
    echo "$list"
}

# ready_ms SINCE I...: milliseconds from SINCE until all of them answer /readyz with 200.
ready_ms() {
    local since=$1 out
    shift
    out=$("$bin/bench/bench_ready" -s "$since" -p "$(ports_of "$@")") || die "not ready: $*"
    echo "${out#ready_ms=}"
}

# cluster_start N: makes and starts one; sets READY_MS.
cluster_start() {
    local i begun=
    cluster_make "$1"
    for ((i = 1; i <= NODES; i++)); do
        node_start "$i"
        begun=${begun:-$BEGUN}
    done
    READY_MS=$(ready_ms "$begun" $(seq "$NODES")) || exit 1
}

cluster_end() {
    local i
    for i in "${!PID[@]}"; do
        node_kill "$i"
    done
    rm -rf "$CLUSTER"
    CLUSTER=
}

# memory_make: sets MEMORY to a directory in memory, if this machine has room there; else to one
# beside the others.
memory_make() {
    local free
    free=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1)
    if [ -w /dev/shm ] && [ "${free:-0}" -gt $((4 * 1024 * 1024)) ]; then
        MEMORY=$(mktemp -d /dev/shm/pcache-bench.XXXXXX)
    else
        MEMORY=$work/memory
        mkdir -p "$MEMORY"
    fi
}

# cluster_save: ends the nodes and puts their files aside; cluster_restore DIR: their files are
# below DIR, as they were then, and on the disk; no node runs.
cluster_save() {
    local i
    for i in "${!PID[@]}"; do
        node_kill "$i"
    done
    SAVED=$CLUSTER.saved
    mv "$CLUSTER" "$SAVED"
}
cluster_restore() {
    CLUSTER=$1/restored
    PID=()
    cp -r "$SAVED" "$CLUSTER"
    sed -i "s|^key_file = .*|key_file = $CLUSTER/key|" "$CLUSTER/cluster.ini"
    sync -f "$CLUSTER"
}
cluster_forget() {
    rm -rf "$SAVED" "$MEMORY"
    SAVED= MEMORY=
}

# status_field I FIELD: a plain field of /v1/status.
status_field() {
    curl -s -m 5 "http://127.0.0.1:${HTTP[$1]}/v1/status" |
        sed -nE "s/.*\"$2\": *\"?([^\",}]*).*/\1/p" | head -n 1
}

# find_roles: sets LEADER to the number of the leader and FOLLOWERS to those of the others.
find_roles() {
    local i name tries
    for ((tries = 0; tries < 200; tries++)); do
        name=$(status_field 1 leader)
        [[ $name == node* ]] && break
        name=$(status_field "$NODES" leader)
        [[ $name == node* ]] && break
    done
    [[ $name == node* ]] || die "no leader"
    LEADER=${name#node} FOLLOWERS=()
    for ((i = 1; i <= NODES; i++)); do
        [ "$i" = "$LEADER" ] || FOLLOWERS+=("$i")
    done
}

rss_kib() {
    awk '/^VmRSS/ { print $2 }' "/proc/${PID[$1]}/status"
}

# median N...: the median; spread N...: "median (min-max)".
median() {
    printf '%s\n' "$@" | sort -g | awk '{ v[NR] = $1 }
        END { printf "%g", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
spread() {
    local sorted
    sorted=($(printf '%s\n' "$@" | sort -g))
    echo "$(median "$@") (${sorted[0]}-${sorted[-1]})"
}

# figure NAME LINE: one field of a line of name=value pairs.
figure() {
    local rest=" $2"
    rest=${rest##* "$1"=}
    echo "${rest%% *}"
}

# load ARGS...: runs bench_load; sets LINE. Errors are shown, never hidden in a rate.
load() {
    LINE=$("$bin/bench/bench_load" "$@") || die "bench_load $*"
    [ "$(figure errors "$LINE")" = 0 ] || echo "  !! bench_load $*: $LINE"
}

row() {
    printf '%-46s %s\n' "$1" "$2"
}
