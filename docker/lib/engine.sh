# engine.sh: a container engine, docker-compose and the base image: found, or made and removed.
# Sourced by docker/experiments. Everything made here lies in $work or has a name in $made_*.

base_image=debian:bookworm-slim
base_release=bookworm
engine_pid=""
made_base=""

# There is no way to run containers here: said, and told from a failure by the exit status.
no_engine() {
    echo "experiments: no container engine can run here: $*" >&2
    exit 77
}

# Debian and Ubuntu; as root only: what is installed stays, as with `make deps`.
engine_install() { # COMMAND:PACKAGE...
    local item missing=()
    for item in "$@"; do
        command -v "${item%%:*}" >/dev/null || missing+=("${item#*:}")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return 1
    say "installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get update -qq >>"$work/apt.log" 2>&1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >>"$work/apt.log" 2>&1
}

# An engine of our own: its images, its socket and its state lie in $work and go with it.
engine_start() {
    [ "$(id -u)" -eq 0 ] || no_engine "none runs, and only root may start one"
    engine_install dockerd:docker.io iptables:iptables || no_engine "docker.io is not installed"
    ip link show docker0 >/dev/null 2>&1 || network_remember
    export DOCKER_HOST=unix://$work/docker.sock
    say "starting an engine"
    setsid dockerd --data-root "$work/engine" --exec-root "$work/engine-run" \
        --pidfile "$work/dockerd.pid" -H "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 </dev/null &
    engine_pid=$!
    local deadline=$((SECONDS + 60))
    until docker info >/dev/null 2>&1; do
        if ! kill -0 "$engine_pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            tail -n 5 "$work/dockerd.log" >&2
            no_engine "dockerd does not start"
        fi
        sleep 0.2
    done
}

engine_open() {
    engine_install docker:docker.io || no_engine "there is no docker command"
    docker info >/dev/null 2>&1 || engine_start
    say "engine: $(docker info --format '{{.ServerVersion}}, {{.Driver}}' 2>/dev/null)"
}

# An engine routes, and leaves its bridge, its rules and its policy behind when it ends. Where no
# other one had made them before, they go as well.
forward_file=/proc/sys/net/ipv4/ip_forward
network_remember() {
    made_bridge=yes
    forward_before=$(cat $forward_file)
    policy_before=$(iptables -S FORWARD | awk '$1 == "-P" { print $3 }')
}

network_forget() {
    local table rule chain
    ip link delete docker0
    echo "$forward_before" >$forward_file
    iptables -P FORWARD "${policy_before:-ACCEPT}"
    for table in nat filter; do
        iptables -t $table -S 2>/dev/null | grep -E -- '^-A .*(docker0|DOCKER)' |
            while read -r rule; do
                # shellcheck disable=SC2086 # a rule is many words
                iptables -t $table ${rule/#-A/-D}
            done
        for chain in $(iptables -t $table -S 2>/dev/null | sed -n 's/^-N \(DOCKER.*\)/\1/p'); do
            iptables -t $table -F "$chain" && iptables -t $table -X "$chain"
        done
    done
}

engine_close() {
    local deadline=$((SECONDS + 30))
    [ -n "$made_base" ] && [ -z "$engine_pid" ] && docker rmi "$base_image" >/dev/null 2>&1
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid" 2>/dev/null
    # Ended and not yet collected counts as ended.
    while grep -qs ') [^Z] ' "/proc/$engine_pid/stat" && [ $SECONDS -lt $deadline ]; do
        sleep 0.1
    done
    kill -KILL "$engine_pid" 2>/dev/null
    [ -n "${made_bridge:-}" ] && network_forget >/dev/null 2>&1
    # What the engine had mounted for containers goes before its files.
    awk -v dir="$work/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r |
        while read -r mount; do umount "$mount" 2>/dev/null; done
}

# ---- the base image
# The base image made here asks for packages where this machine does: its sources and its settings.
base_configure() { # ROOT
    local codename
    apt-config dump | grep -E '^Acquire::(https?::|Check-|Retries)' \
        >"$1/etc/apt/apt.conf.d/90this-machine"
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ "$codename" = "$base_release" ] || return 0
    [ -s /etc/apt/sources.list ] && cp /etc/apt/sources.list "$1/etc/apt/sources.list"
    if [ -s /etc/apt/sources.list.d/debian.sources ]; then
        cp /etc/apt/sources.list.d/debian.sources "$1/etc/apt/sources.list.d/"
        [ -s /etc/apt/sources.list ] || rm -f "$1/etc/apt/sources.list"
    fi
    return 0
}

base_make() {
    [ "$(id -u)" -eq 0 ] || no_engine "$base_image cannot be pulled, and only root may make it"
    engine_install debootstrap:debootstrap || no_engine "debootstrap is not installed"
    say "making $base_image with debootstrap"
    debootstrap --variant=minbase --include=ca-certificates "$base_release" "$work/base" \
        >"$work/debootstrap.log" 2>&1 || {
        tail -n 5 "$work/debootstrap.log" >&2
        no_engine "$base_image can be neither pulled nor made"
    }
    base_configure "$work/base"
    rm -rf "$work/base"/var/cache/apt/archives/*.deb "$work/base"/var/lib/apt/lists/*
    tar -C "$work/base" -c . | docker import -c 'CMD ["bash"]' - "$base_image" >/dev/null ||
        no_engine "$base_image cannot be imported"
    made_base=yes
    rm -rf "$work/base"
}

base_open() {
    docker image inspect "$base_image" >/dev/null 2>&1 && return
    say "pulling $base_image"
    timeout 60 docker pull -q "$base_image" >/dev/null 2>&1 && {
        made_base=yes
        return
    }
    base_make
}
