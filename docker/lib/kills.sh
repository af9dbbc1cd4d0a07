# kills.sh: any node killed, then any other: every order of two kills by role, with the spare,
# without it, and without it but with auto_shrink; and which parts of the service go on after it.
# Two killed at once, and the last one goes on in a branch. Sourced by docker/experiments.

kill_orders=("follower follower" "follower leader" "leader follower" "leader leader")
parts=$work/parts

# A new cluster of this kind. What is formed with a spare has it from the beginning.
kills_open() { # SPARES AUTO_SHRINK
    cluster_down
    export PCACHE_SPARES=$1 PCACHE_AUTO_SHRINK=$2
    compose up -d && await_three
}

# The next experiments have three nodes alone again.
kills_close() {
    checked=("${nodes[@]}")
    cluster_down
    export PCACHE_SPARES="" PCACHE_AUTO_SHRINK=off
    unset PCACHE_ON_QUORUM_LOSS PCACHE_SOLO_AFTER PCACHE_PROBE_INTERVAL
    compose up -d && await_ready_quietly
}

# Who is in. Where no spare is wanted its container has ended, and its server, which keeps its last
# address, is up when another node has got that: it says nothing then.
in_balancer() {
    curl -s --max-time 1 "http://127.0.0.1:$stats_port/;csv" |
        awk -F, '$1 == "nodes" && $18 ~ /^UP/ && $2 != "BACKEND" { print $2 }' |
        grep -vx "${PCACHE_SPARES:+no-}spare"
}

# A field of what the first node that is in the balancer says of the cluster. The port of the spare
# is not published: of any three that serve, two have one.
cluster_says() { # FIELD
    local node
    node=$(in_balancer | grep -m 1 '^node')
    [ -n "$node" ] && curl -s --max-time 1 "http://127.0.0.1:$(port_of "$node")/v1/status" |
        grep -oE "\"$1\":[^,}]*" | head -n 1 | cut -d: -f2
}

# Waits until so many vote, and so many of them may be lost.
await_votes() { # VOTERS REDUNDANCY
    local deadline=$((SECONDS + 60))
    until [ "$(cluster_says voters)" = "$1" ] && [ "$(cluster_says redundancy)" = "$2" ]; do
        if [ $SECONDS -ge $deadline ]; then
            fault "$(cluster_says voters) voters of which $(cluster_says redundancy) may be lost," \
                "not $1 and $2"
            return 1
        fi
        sleep 0.2
    done
}

# Three that serve, whoever they are, and one of them may be lost.
await_three() {
    local deadline=$((SECONDS + 60))
    until [ "$(in_balancer | wc -l)" -eq 3 ]; do
        if [ $SECONDS -ge $deadline ]; then
            fault "in the balancer: $(in_balancer | xargs)"
            return 1
        fi
        sleep 0.1
    done
    await_votes 3 1
}

victim() { # ROLE
    local found
    found=$(leader)
    [ "$1" = leader ] || found=$(in_balancer | grep -vx "$found" | head -n 1)
    echo "$found"
}

# Milliseconds until one of these requests succeeds, or `no` after so many seconds.
goes_on() { # SECONDS METHOD [CURL-OPTION...]
    local from deadline=$((SECONDS + $1)) method=$2
    from=$(now_ms)
    shift 2
    until [ "$(ask "$method" "http://127.0.0.1:$lb_port/v1/kv/two-kills" "$@" | cut -c1)" = 2 ]; do
        [ $SECONDS -lt $deadline ] || { echo no && return; }
        sleep 0.05
    done
    echo $(($(now_ms) - from))
}

# What this node has in memory.
local_read() { # NODE
    docker exec "$(container_of "$1")" pcadmin -t 2s get --local two-kills >/dev/null 2>&1 &&
        echo yes || echo no
}

# Kills one, waits until the rest has made of it what it can, kills another one, looks, and starts
# both again.
kill_two_in_turn() { # FIRST-ROLE SECOND-ROLE VOTERS REDUNDANCY GOES-ON(yes|no)
    local first second survivor writes reads local wait=5
    [ "$5" = yes ] && wait=$((10 + 5 * slack))
    goes_on 20 PUT -d known >/dev/null
    first=$(victim "$1")
    compose kill "$first"
    await_votes "$3" "$4" || return
    second=$(victim "$2")
    survivor=$(in_balancer | grep -vxE "$first|$second" | head -n 1)
    compose kill "$second"
    writes=$(goes_on $wait PUT -d again)
    reads=$(goes_on $wait GET)
    local=$(local_read "$survivor")
    printf '%-12s  %-8s  %-8s  %9s  %9s  %5s\n' "${name#kills_}" "$1" "$2" "$writes" "$reads" \
        "$local" >>"$parts"
    [ "$local" = yes ] || fault "$survivor does not answer a local read"
    if [ "$5" = no ]; then
        [ "$writes" = no ] && [ "$reads" = no ] || fault "there is no quorum, and it goes on"
    elif [ "$writes" = no ] || [ "$reads" = no ]; then
        fault "after the $1 and then the $2: writes $writes, reads $reads"
    else
        limit "to the next write" "$writes" 8000
    fi
    compose start "$first" "$second"
    await_three
}

# Each node that serves has everything; one that is the spare now answers nobody.
kills_end() {
    mapfile -t checked < <(in_balancer | grep -x 'node.')
}

case_kills_spare() {
    local order
    kills_open spare=spare:7946 off || return
    load_begin
    for order in "${kill_orders[@]}"; do
        # shellcheck disable=SC2086 # two roles
        kill_two_in_turn $order 3 1 yes || break
    done
    kills_end
}

case_kills_alone() {
    local order
    kills_open "" off || return
    load_begin
    for order in "${kill_orders[@]}"; do
        # shellcheck disable=SC2086 # two roles
        kill_two_in_turn $order 3 0 no || break
    done
    kills_end
}

# Of two voters the leader may go on alone, and the other one cannot know that it may.
case_kills_shrink() {
    local order
    kills_open "" on || return
    load_begin
    for order in "${kill_orders[@]}"; do
        # shellcheck disable=SC2086 # two roles
        case $order in
        *leader) kill_two_in_turn $order 2 0 no || break ;;
        *) kill_two_in_turn $order 2 0 yes || break ;;
        esac
    done
    kills_end
}

# ---- solo

# The status of an answer of this node, and the branch that it is of, or -; its body is in $answer.
answer=$work/answer
solo_ask() { # NODE METHOD KEY [CURL-OPTION...]
    local url
    url=http://127.0.0.1:$(port_of "$1")/v1/kv/$3
    curl -s -o "$answer" -D "$answer.head" --max-time 10 -X "$2" "${@:4}" "$url"
    awk 'NR == 1 { status = $2 } tolower($1) == "x-pc-branch:" { branch = $2 }
        END { print status + 0, branch == "" ? "-" : branch }' <(tr -d '\r' <"$answer.head")
}

# Writes until one is acknowledged; ready_ms is the time from FROM until then. Without a quorum no
# answer but a marked one may say yes. Of those before it the log may have some, which come true
# with the quorum: nothing is said of this key later.
await_branch() { # FROM_MS NODE
    local status branch deadline=$((SECONDS + 30 + 10 * slack))
    while [ $SECONDS -lt $deadline ]; do
        read -r status branch < <(solo_ask "$2" PUT solo-tried -d alone)
        if [ "${status:0:1}" = 2 ]; then
            [ "$branch" != - ] || fault "$2 acknowledged alone, and did not mark it"
            ready_ms=$(($(now_ms) - $1))
            return
        fi
        sleep 0.1
    done
    fault "$2 does not go on alone"
    return 1
}

solo_write() { # NODE KEY VALUE STATUS
    local status branch
    read -r status branch < <(solo_ask "$1" PUT "$2" -d "$3")
    [ "$status" = "$4" ] && [ "$branch" != - ] || fault "a write alone gave $status $branch"
}

# Every node has this value, or (-) nothing, under the key, and none calls it a branch's.
expect_everywhere() { # KEY VALUE
    local node status branch
    for node in "${nodes[@]}"; do
        read -r status branch < <(solo_ask "$node" GET "$1")
        [ "$branch" = - ] || fault "$node still answers from a branch"
        if [ "$2" = - ]; then
            [ "$status" = 404 ] || fault "$node has $1, which only the branch has made"
        else
            [ "$status" = 200 ] && [ "$(cat "$answer")" = "$2" ] ||
                fault "$1 of $node is not '$2': $status $(head -c 60 "$answer")"
        fi
    done
}

rollback() { # NODE COMMAND...
    docker exec "$(container_of "$1")" pcadmin -t 5s rollback "${@:2}" 2>>"$work/rollback.log"
}

# The name of the one closed branch of this node.
await_rollback() { # NODE
    local found deadline=$((SECONDS + 20))
    until found=$(rollback "$1" list | grep -o '[^ ]*\.kvr'); do
        [ $SECONDS -lt $deadline ] || { fault "$1 lists no closed branch" && return 1; }
        sleep 0.2
    done
    echo "$found"
}

# What was written alone: listed, shown, not there until it is replayed, and not replayed twice.
solo_bring_back() { # NODE
    local closed
    closed=$(await_rollback "$1") || return
    rollback "$1" show "$closed" | grep -q 'solo-made' || fault "$closed does not show its records"
    expect_everywhere solo-edited known
    expect_everywhere solo-made -
    rollback "$1" replay "$closed" --if-unchanged >"$work/replayed" ||
        fault "the replay ended with $?: $(tail -n 1 "$work/rollback.log")"
    expect_everywhere solo-edited alone
    expect_everywhere solo-made new
    rollback "$1" replay "$closed" --if-unchanged >/dev/null && fault "it is replayed twice"
    rollback "$1" remove "$closed" || fault "$closed cannot be removed"
}

# What the clients were told before stands in the record, and is looked for at the end, on every
# node. Behind the kills they would be told of a branch, which the record must not believe.
case_kills_solo() {
    local last killed_ms status branch
    export PCACHE_ON_QUORUM_LOSS=solo PCACHE_SOLO_AFTER=1s PCACHE_PROBE_INTERVAL=300ms
    kills_open "" off || return
    load_begin
    kill -TERM "$load_pid" 2>/dev/null
    tail --pid="$load_pid" -f /dev/null
    last=$(leader)
    mapfile -t dead < <(others_than "$last")
    ask PUT "http://127.0.0.1:$(port_of "$last")/v1/kv/solo-edited" -d known >/dev/null
    killed_ms=$(now_ms)
    compose kill "${dead[@]}"
    await_branch "$killed_ms" "$last" || return
    limit "to go on alone" "$ready_ms" 10000
    solo_write "$last" solo-edited alone 200
    solo_write "$last" solo-made new 201
    [ "$(goes_on 10 PUT -d x)" = no ] && fault "the balancer does not send clients to $last"
    compose start "${dead[@]}"
    await_three || return
    solo_bring_back "$last"
}

kills_report() {
    [ -s "$parts" ] || return
    echo
    printf '%-12s  %-8s  %-8s  %9s  %9s  %5s\n' "two kills" first second "writes ms" "reads ms" \
        local
    cat "$parts"
}
