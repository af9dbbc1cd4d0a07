# cases.sh: the experiments. Each function is one: it does to the cluster what its title says, while
# `load_begin` has clients work through the balancer, sets ready_ms, and calls `fault` for whatever
# is not as promised. Sourced by docker/experiments.

# A node does not go on without the key, and says what it waits for.
case_key() {
    compose up -d --no-deps node1 || return
    await_log node1 "waiting for the cluster's key"
    local begun=$SECONDS
    compose stop node1
    [ $((SECONDS - begun)) -lt 8 ] || fault "a waiting container does not end on SIGTERM"
    compose up -d key
    await_log key "made a key"
}

case_form() {
    compose up -d || return
    await_ready "$(started_ms "${nodes[@]}")" "${nodes[@]}" || return
    limit ready "$ready_ms" 5000
    await_in_balancer "${nodes[@]}"
    load_begin
    sleep 3
    check_privacy
}

# No root, no key where it does not belong, nobody beside this machine can connect.
check_privacy() {
    local node id key
    for node in "${nodes[@]}" lb; do
        id=$(docker exec "$(container_of "$node")" id -u)
        [ "${id:-0}" -ne 0 ] || fault "$node runs as root"
        docker inspect -f '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}' \
            "$(container_of "$node")" | tr ' ' '\n' | grep -vE '^(127\.0\.0\.1)?$' &&
            fault "$node is published beyond loopback"
    done
    key=$(docker exec "$(container_of node1)" cat /run/pcache-key/cluster.key)
    [ ${#key} -eq 64 ] || fault "the key is not one"
    # shellcheck disable=SC2046 # identifiers are words
    docker inspect $(docker ps -aq) "$PCACHE_IMAGE" | grep -q "$key" &&
        fault "inspect shows the key"
    docker exec "$(container_of node1)" sh -c 'echo x >/run/pcache-key/x' 2>/dev/null &&
        fault "a node can write to the key's volume"
    await_healthy
}

await_healthy() {
    local node deadline=$((SECONDS + 30)) health
    for node in "${nodes[@]}"; do
        while health=$(docker inspect -f '{{.State.Health.Status}}' "$(container_of "$node")") &&
            [ "$health" != healthy ]; do
            [ $SECONDS -lt $deadline ] || { fault "$node is $health to the engine" && return; }
            sleep 0.2
        done
    done
}

# Kill one, go on without it, start it again: dead for longer than a gap may last, so that waiting
# for its return would show.
kill_and_start() { # NODE
    compose kill "$1"
    sleep $((2 + 2 * slack))
    compose start "$1"
    await_ready "$(started_ms "$1")" "${nodes[@]}"
    await_in_balancer "${nodes[@]}"
    limit_after trouble 1000 gap 1000
}

case_kill_one() {
    load_begin
    kill_and_start "$(others_than "$(leader)" | head -n 1)"
}

case_kill_leader() {
    load_begin
    kill_and_start "$(leader)"
}

# The last of three: local reads yes, everything else 503, soon. Back as soon as there are two.
case_kill_two() {
    local last url status seconds method
    local -A body=([PUT]=x)
    last=$(leader)
    mapfile -t dead < <(others_than "$last")
    url=http://127.0.0.1:$(port_of "$last")/v1/kv
    ask PUT "$url/two" -d known >/dev/null
    load_begin
    compose kill "${dead[@]}"
    sleep 1
    read -r status _ < <(ask GET "$url/two?consistency=local")
    [ "$status" = 200 ] || fault "a local read gave $status"
    for method in GET PUT; do
        read -r status seconds < <(ask $method "$url/two" ${body[$method]:+-d "${body[$method]}"})
        [ "$status" = 503 ] || fault "$method without a quorum gave $status"
        seconds=$(awk -v s="$seconds" 'BEGIN { print int(s * 1000) }')
        # By a decision, not by [limits] request_timeout, however slow the machine is.
        limit "$method without a quorum" "$seconds" 2500
        [ "$seconds" -lt 2950 ] || fault "$method without a quorum ran into a timeout"
    done
    read -r status _ < <(ask GET "http://127.0.0.1:$lb_port/v1/kv/two")
    [ "$status" = 503 ] || fault "the balancer gave $status without a quorum"
    compose start "${dead[0]}"
    back_from_ms=$(started_ms "${dead[0]}")
    sleep 2
    compose start "${dead[1]}"
    await_ready "$(started_ms "${dead[1]}")" "${nodes[@]}"
    await_in_balancer "${nodes[@]}"
    limit_after back 1000 slowest 4000
}

case_kill_all() {
    load_begin
    compose kill "${nodes[@]}"
    sleep 1
    compose start "${nodes[@]}"
    await_ready "$(started_ms "${nodes[@]}")" "${nodes[@]}"
    limit ready "$ready_ms" 5000
    await_in_balancer "${nodes[@]}"
}

case_down_up() {
    load_begin
    compose down
    compose up -d
    await_ready "$(started_ms "${nodes[@]}")" "${nodes[@]}"
    limit ready "$ready_ms" 5000
    await_in_balancer "${nodes[@]}"
}

case_any_order() {
    compose stop
    load_begin
    compose start lb
    compose start node3
    sleep 1
    compose start node1
    await_ready "$(started_ms node1)" node1 node3
    compose start node2
    await_ready "$(started_ms node2)" "${nodes[@]}"
    limit ready "$ready_ms" 5000
    await_in_balancer "${nodes[@]}"
}

# Containers are made anew while others sit on their addresses.
return_elsewhere() { # NODE...
    local node before=()
    for node in "$@"; do
        before+=("$(address_of "$node")")
    done
    compose rm -sf "$@"
    take_addresses "${before[@]}"
    compose up -d "$@"
    for node in "$@"; do
        [ "$(address_of "$node")" != "${before[0]}" ] || fault "$node has its old address"
        before=("${before[@]:1}")
    done
    await_ready "$(started_ms "$@")" "${nodes[@]}"
    limit ready "$ready_ms" 5000
    await_in_balancer "${nodes[@]}"
    give_addresses_back
}

case_other_address() {
    load_begin
    return_elsewhere node2
    fail_at_most 0
}

case_other_addresses() {
    load_begin
    return_elsewhere "${nodes[@]}"
}

# Its promises went with its disk: it has no vote until it has been taken in, in the place of the
# one that it was, and has the data.
case_wiped() {
    local status
    load_begin
    compose rm -sf node2
    compose kill node3
    docker volume rm "$(volume_of node2)" >/dev/null || fault "the volume cannot be removed"
    compose up -d --no-deps node2
    sleep 3
    # With its old vote there would be a quorum now.
    [ "$(ask GET "http://127.0.0.1:$(port_of node2)/readyz" | cut -c1-3)" = 503 ] ||
        fault "the wiped node is ready"
    read -r status _ < <(ask PUT "http://127.0.0.1:$(port_of node1)/v1/kv/wiped" -d x)
    [ "$status" = 503 ] || fault "a write gave $status: the wiped node voted"
    compose start node3
    await_ready "$(started_ms node3)" "${nodes[@]}"
    await_in_balancer "${nodes[@]}"
    local from
    from=$(now_ms)
    await_redundancy "${nodes[@]}" && limit "the way to its vote" $(($(now_ms) - from)) 15000
}

case_pause_leader() {
    local paused
    paused=$(leader)
    load_begin
    compose pause "$paused"
    sleep 30
    local from
    from=$(now_ms)
    compose unpause "$paused"
    await_ready "$from" "${nodes[@]}"
    await_in_balancer "${nodes[@]}"
    # Its connections stay open: what was under way on them waits for [limits] request_timeout.
    limit_after gap 2000 trouble 4000
}

case_cut_off() {
    local cut from
    cut=$(leader)
    load_begin
    docker network disconnect "$(network_name)" "$(container_of "$cut")" || fault "not cut off"
    sleep 10
    from=$(now_ms)
    docker network connect --alias "$cut" "$(network_name)" "$(container_of "$cut")" ||
        fault "not joined again"
    await_in_balancer "${nodes[@]}"
    # The engine does not publish its port again before it starts again: asked from within.
    ready_ms=$(($(now_ms) - from))
    docker exec "$(container_of "$cut")" pcadmin -t 2s health >/dev/null ||
        fault "$cut is not ready"
    limit ready "$ready_ms" 5000
    limit_after gap 2000 trouble 4000 # as above: nobody hangs up
    compose_restart_after=$cut
}

case_rolling() {
    local node
    load_begin
    for node in "${nodes[@]}"; do
        compose stop "$node"
        compose start "$node"
        await_ready "$(started_ms "$node")" "${nodes[@]}" || return
        await_in_balancer "${nodes[@]}"
    done
    limit_after gap 1000
    fail_at_most 0
}

# Much to catch up with: not asked for anything before it has.
case_catch_up() {
    local node figures staying
    node=$(others_than "$(leader)" | tail -n 1)
    mapfile -t staying < <(others_than "$node")
    compose kill "$node"
    # What was on its way to it when the balancer noticed is not this experiment's question.
    await_in_balancer "${staying[@]}"
    figures=$("$recorder" fill -p "$lb_port" -n fill -c "$fill_count" -t 64) ||
        fault "not all of $fill_count were acknowledged: $figures"
    say "  missed by $node: $figures"
    load_begin
    compose start "$node"
    silent_node=$node silent_from=$(started_ms "$node")
    await_ready "$silent_from" "$node"
    silent_until=$((silent_from + ready_ms))
    limit ready "$ready_ms" 3000
    await_in_balancer "${nodes[@]}"
    sleep 1
    fail_at_most 0
}
