# load.sh: the clients of a scenario, their record and what it proves; and crowds of clients that
# are only a nuisance. Sourced by inside.

load_pid=""

addresses() { # NODE...: NAME=ADDRESS:PORT,...
    local node list=""
    for node in "$@"; do
        list+=",$node=$(address_of "$node"):$http_port"
    done
    echo "${list#,}"
}

# What the nodes must be found to understand. What they do not, is not tried: no increments and no
# request ids, as long as there are none.
features=cas,put

# Clients at every node, which remember every question and answer in $dir/history.
load_begin() {
    local deadline=$((SECONDS + 30))
    : >"$dir/figures" >"$dir/client"
    nsenter --net="$(net_of client)" "$PCACHE_BIN/chaos-client" --out "$dir/history" \
        --nodes "$(addresses "${nodes[@]}")" --prefix "$name" \
        --seed "$CHAOS_SEED" --rotate-ms 4000 \
        >"$dir/client" 2>"$dir/client.err" &
    load_pid=$!
    until grep -q '^started' "$dir/client"; do
        [ $SECONDS -lt $deadline ] && kill -0 $load_pid 2>/dev/null || {
            fault "the clients do not start: $(tail -n 1 "$dir/client.err")"
            return 1
        }
        sleep 0.05
    done
    grep -qx "started features=$features" "$dir/client" ||
        fault "the nodes understand other things than $features: $(head -n 1 "$dir/client")"
}

load_end() {
    kill -TERM "$load_pid" 2>/dev/null
    wait "$load_pid" || fault "the clients ended with $?: $(tail -n 1 "$dir/client.err")"
    load_pid=""
}

# Every key from every node, then the verdict on everything. Its words become figures.
load_check() {
    in_net client "$PCACHE_BIN/chaos-client" --final --nodes "$(addresses "${nodes[@]}")" \
        --out "$dir/history" >>"$dir/client" 2>>"$dir/client.err" ||
        unread="not every key could be read on every node: $(tail -n 1 "$dir/client.err")"
    "$PCACHE_BIN/lincheck" "$dir/history" >"$dir/verdict" 2>&1
    tail -n 1 "$dir/verdict" >"$dir/figures"
}

load_judge() {
    local unread=""
    load_check
    [ -z "$unread" ] || fault "$unread"
    [ "$(figure verdict)" = good ] ||
        fault "verdict: $(figure verdict): $(head -n 1 "$dir/verdict")"
    # A judgement on nothing would be a good one.
    [ "$(figure ok)" -ge 100 ] || fault "only $(figure ok) operations succeeded"
    [ "$(figure final_reads)" -gt 0 ] || fault "nothing was read at the end"
}

word_of() { tr ' ' '\n' <"$1" | sed -n "s/^$2=//p"; } # FILE NAME
figure() { word_of "$dir/figures" "$1"; }

# ---- crowds
crowd_nodes=()
crowd_begin() { # OPTION...
    local node to=()
    for node in "${crowd_nodes[@]:-${nodes[@]}}"; do
        to+=("$(address_of "$node"):$http_port")
    done
    nsenter --net="$(net_of client)" "$PCACHE_BIN/chaos/crowd" "$@" "${to[@]}" >"$dir/crowd" &
    crowd_pid=$!
    sleep 2 # until they have come
}

crowd_end() {
    kill -TERM "$crowd_pid"
    wait "$crowd_pid" || fault "the crowd ended with $?"
}

crowd_figure() { word_of "$dir/crowd" "$1"; }
