# net.sh: one namespace per node, one for the clients, and a bridge between them in a namespace of
# its own. Node n is 10.77.0.n, the clients are 10.77.0.100. Sourced by inside.

net_prefix=chaos-${CHAOS_WORK##*.}
netns_dir=/run/netns
client_address=10.77.0.100
http_port=8001
bus_port=7946

address_of() { echo "10.77.0.${1#node}"; }
net_of() { echo "$netns_dir/$net_prefix-$1"; }

# Runs a command in the namespace of a node, of `client` or of `hub`. Not by `ip netns exec`, which
# copies all mounts and so keeps file systems in use.
in_net() { # NAME COMMAND...
    local net
    net=$(net_of "$1")
    shift
    nsenter --net="$net" "$@"
}

# The names of namespaces are mounts: on a file system of this run they go with it.
net_prepare() {
    mkdir -p $netns_dir && mount -t tmpfs chaos $netns_dir || not_here "no mounts are permitted"
    ip netns add "$net_prefix-try" && in_net try iptables -w 5 -A INPUT -p udp -m statistic \
        --mode random --probability 0.5 -j DROP || not_here "no namespaces with iptables"
    ip netns delete "$net_prefix-try"
}

net_join() { # NAME ADDRESS
    local ns=$net_prefix-$1
    ip netns add "$ns" &&
        ip -n "$net_prefix-hub" link add "$1" type veth peer name eth0 netns "$ns" &&
        ip -n "$net_prefix-hub" link set "$1" master br0 up &&
        ip -n "$ns" link set lo up && ip -n "$ns" link set eth0 up &&
        ip -n "$ns" address add "$2/24" dev eth0
}

net_open() {
    local node
    dropped=0 held_up=0
    ip netns add "$net_prefix-hub" && ip -n "$net_prefix-hub" link add br0 type bridge &&
        ip -n "$net_prefix-hub" link set br0 up || exit 1
    for node in "${nodes[@]}"; do
        net_join "$node" "$(address_of "$node")" || exit 1
    done
    net_join client $client_address || exit 1
}

net_close() {
    local file
    for file in "$netns_dir/$net_prefix"-*; do
        [ -e "$file" ] && ip netns delete "${file##*/}"
    done
}

# TO hears nothing of FROM any more; FROM still hears TO.
deafen() { # TO FROM
    in_net "$1" iptables -w 5 -A INPUT -s "$(address_of "$2")" -j DROP || fault "no rule at $1"
}

sever() { # A B
    deafen "$1" "$2"
    deafen "$2" "$1"
}

# Nobody of the first list reaches anybody of the second one.
sever_sides() { # "NODE..." "NODE..."
    local a b
    for a in $1; do
        for b in $2; do
            sever "$a" "$b"
        done
    done
}

# A part of what the other nodes send is lost, the rest comes late and out of order.
jitter_pids=()
disturb() { # NODE PROBABILITY LOW-MS HIGH-MS [udp]
    local rule=(-m iprange --src-range 10.77.0.1-10.77.0.9)
    [ -n "${5:-}" ] && rule+=(-p "$5")
    in_net "$1" iptables -w 5 -A INPUT "${rule[@]}" -m statistic --mode random \
        --probability "$2" -j DROP || fault "no rule at $1"
    if [ ! -x "$PCACHE_BIN/chaos/jitter" ]; then
        say "packets are lost, not late: no jitter is built (libnetfilter-queue-dev is missing)"
        return
    fi
    nsenter --net="$(net_of "$1")" "$PCACHE_BIN/chaos/jitter" "$3" "$4" &
    jitter_pids+=($!)
    in_net "$1" iptables -w 5 -A INPUT "${rule[@]}" -j NFQUEUE --queue-num 0 ||
        fault "no queue at $1"
}

# What a node sends, and what is sent to it.
throttle() { # NODE RATE
    in_net "$1" tc qdisc add dev eth0 root tbf rate "$2" burst 16kb latency 200ms &&
        in_net hub tc qdisc add dev "$1" root tbf rate "$2" burst 16kb latency 200ms ||
        fault "no limit at $1"
}

# Ends all of this. What it has done adds up in `dropped` and `held_up`, packets: trouble that did
# not happen proves nothing.
net_heal() {
    local node pid
    for node in "${nodes[@]}"; do
        dropped=$((dropped + $(in_net "$node" iptables -w 5 -nvxL INPUT |
            awk '$3 == "DROP" { n += $1 } END { print n + 0 }')))
        held_up=$((held_up + $(in_net "$node" tc -s qdisc show dev eth0 |
            awk '/tbf/ { tbf = 1 } tbf && /overlimits/ { gsub(/[^0-9 ]/, " "); n = $4 }
                END { print n + 0 }')))
        in_net "$node" iptables -w 5 -F INPUT
        in_net "$node" tc qdisc delete dev eth0 root 2>/dev/null
        in_net hub tc qdisc delete dev "$node" root 2>/dev/null
    done
    for pid in "${jitter_pids[@]}"; do
        kill "$pid" 2>/dev/null
    done
    jitter_pids=()
}
