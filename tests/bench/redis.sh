# redis.sh: a Redis beside the nodes, with its file of commands. Sourced by run.

# redis_start: sets RPORT, RPID and BEGUN. Its files stay in $work/redis.
redis_start() {
    mkdir -p "$work/redis"
    take_port && RPORT=$PORT
    BEGUN=$EPOCHREALTIME
    redis-server --port "$RPORT" --bind 127.0.0.1 --dir "$work/redis" --appendonly yes \
        --appendfsync everysec --save "" --loglevel warning >>"$work/redis.log" 2>&1 &
    RPID=$!
    started
}

# redis_ready_ms: milliseconds from BEGUN until it has loaded everything.
redis_ready_ms() {
    until [ "$(redis-cli -p "$RPORT" ping 2>/dev/null)" = PONG ]; do
        sleep 0.005
    done
    awk -v from="$BEGUN" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.0f", (to - from) * 1000 }'
}

# redis_fill: the keys and the sizes of `memory`, as commands.
redis_fill() {
    awk -v n="$keys" 'BEGIN {
        value = sprintf("%032d", 0)
        for (i = 0; i < n; i++)
            printf "*3\r\n$3\r\nSET\r\n$16\r\nkey-%012d\r\n$32\r\n%s\r\n", i, value
    }' | redis-cli -p "$RPORT" --pipe >>"$work/redis.log" 2>&1 || die "redis is not filled"
}

redis_stop() {
    redis-cli -p "$RPORT" shutdown nosave >/dev/null 2>&1
    ended "$RPID"
}
