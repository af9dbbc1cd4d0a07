# cluster.sh: the cluster of docker-compose.yml as the experiments handle it: by service name, with
# its ports, its containers and what they say. Sourced by docker/experiments.

project=pcache-test
nodes=(node1 node2 node3)
export PCACHE_IMAGE=pcache-test PCACHE_LB_IMAGE=pcache-lb-test PCACHE_NETWORK=pcache-test
# Three nodes alone, unless an experiment says otherwise.
export PCACHE_SPARES="" PCACHE_AUTO_SHRINK=off
lb_port=${PCACHE_LB_PORT:-5000}
node_ports=("${PCACHE_NODE1_PORT:-8001}" "${PCACHE_NODE2_PORT:-8002}" "${PCACHE_NODE3_PORT:-8003}")
stats_port=${PCACHE_STATS_PORT:-5404}
compose_command=(docker-compose)

port_of() { echo "${node_ports[${1#node} - 1]}"; }

ports_of() { # NODE...
    local node list=""
    for node in "$@"; do
        list+=,$(port_of "$node")
    done
    echo "${list#,}"
}

# The words of a person who follows the README; what they print goes to a file.
compose() {
    "${compose_command[@]}" -p $project "$@" >>"$work/compose.log" 2>&1 || {
        fault "${compose_command[*]} $* failed"
        tail -n 5 "$work/compose.log" >&2
        return 1
    }
}

container_of() {
    docker ps -aq --filter label=com.docker.compose.project=$project \
        --filter label=com.docker.compose.service="$1" | head -n 1
}

volume_of() { # NODE
    docker volume ls -q --filter label=com.docker.compose.project=$project \
        --filter label=com.docker.compose.volume="$1" | head -n 1
}

network_name() {
    docker network ls --filter label=com.docker.compose.project=$project --format '{{.Name}}' |
        head -n 1
}

address_of() {
    docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
        "$(container_of "$1")"
}

now_ms() { date +%s%3N; }

# When the last of these containers began to run, by the engine's own record.
started_ms() { # NODE...
    local node latest=0 at
    for node in "$@"; do
        at=$(docker inspect -f '{{.State.StartedAt}}' "$(container_of "$node")")
        at=$(date -d "$at" +%s%3N)
        [ "$at" -gt "$latest" ] && latest=$at
    done
    echo "$latest"
}

# Waits until these nodes are ready; `ready_ms` is the time from FROM until they were.
await_ready() { # FROM_MS NODE...
    local from=$1 at node
    shift
    if at=$("$recorder" ready -w 60000 -p "$(ports_of "$@")" 2>>"$work/recorder.log"); then
        ready_ms=$((at > from ? at - from : 0))
        return 0
    fi
    fault "$* not ready within 60 s"
    for node in "$@"; do
        curl -s --max-time 1 "http://127.0.0.1:$(port_of "$node")/readyz" |
            sed "s/^/    $node /" >&2
    done
    return 1
}

# Waits until the balancer has exactly these nodes in.
await_in_balancer() { # NODE...
    local deadline=$((SECONDS + 20)) in_now
    while [ $SECONDS -lt $deadline ]; do
        in_now=$(curl -s --max-time 1 "http://127.0.0.1:$stats_port/;csv" |
            awk -F, '$1 == "nodes" && $2 ~ /^node/ && $18 ~ /^UP/ { printf "%s ", $2 }')
        [ "$in_now" = "$* " ] && return 0
        sleep 0.05
    done
    fault "the balancer has '$in_now' in, not '$*'"
    return 1
}

# Waits until each of these nodes says that the cluster has all its voters and may lose one. A node
# that was wiped is ready, and serves, before it has taken the place of the one that it was.
await_redundancy() { # NODE...
    local deadline=$((SECONDS + 60)) node status
    for node in "$@"; do
        until status=$(curl -s --max-time 1 "http://127.0.0.1:$(port_of "$node")/v1/status") &&
            grep -q "\"voters\":${#nodes[@]}," <<<"$status" &&
            grep -q '"redundancy":[1-9]' <<<"$status"; do
            if [ $SECONDS -ge $deadline ]; then
                fault "$node does not say that one may be lost: $status"
                return 1
            fi
            sleep 0.1
        done
    done
}

leader() {
    local deadline=$((SECONDS + 20)) name node
    while [ $SECONDS -lt $deadline ]; do
        for node in "${nodes[@]}"; do
            name=$(curl -s --max-time 1 "http://127.0.0.1:$(port_of "$node")/v1/status" |
                sed -n 's/.*"leader": *"\([^"]*\)".*/\1/p')
            [ -n "$name" ] && echo "$name" && return
        done
        sleep 0.05
    done
    return 1
}

others_than() { # NODE
    local node
    for node in "${nodes[@]}"; do
        [ "$node" = "$1" ] || echo "$node"
    done
}

# HTTP status and seconds of a request, as one word each; 000 when there is no answer.
ask() { # METHOD URL [CURL-OPTION...]
    local method=$1 url=$2
    shift 2
    curl -s -o /dev/null --max-time 10 -w '%{http_code} %{time_total}\n' -X "$method" "$@" "$url"
}

# Waits for a line in what a container printed.
await_log() { # SERVICE PATTERN
    local deadline=$((SECONDS + 20))
    until docker logs "$(container_of "$1")" 2>&1 | grep -qE -- "$2"; do
        if [ $SECONDS -ge $deadline ]; then
            fault "$1 does not say: $2"
            return 1
        fi
        sleep 0.1
    done
}

# Containers that only take addresses, so that the next ones get others: as many as it takes until
# each of these is somebody's. The engine may give what has just become free to the next but one.
take_addresses() { # ADDRESS...
    local i taken left=" $* "
    for ((i = 0; i < 20; i++)); do
        [ -n "${left// /}" ] || return 0
        docker run -d --rm --name "$project-taker$i" --network "$(network_name)" \
            --entrypoint sleep $PCACHE_IMAGE 600 >/dev/null || break
        taken=$(docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' \
            "$project-taker$i")
        left=${left/ $taken / }
    done
    fault "no container takes the addresses$left"
}

give_addresses_back() {
    docker ps -aq --filter name="$project-taker" | xargs -r docker rm -f >/dev/null 2>&1
}

cluster_close() {
    give_addresses_back
    "${compose_command[@]}" -p $project down -v -t 1 --remove-orphans >>"$work/compose.log" 2>&1
    docker rmi -f $PCACHE_IMAGE $PCACHE_LB_IMAGE >/dev/null 2>&1
    docker image prune -f --filter label=pcache.stage >/dev/null 2>&1
}
