title="the leader's link has 1 Mbit/s"
gap_ms=5000
trouble() {
    throttle "$(leader)" 1mbit
    sleep "$seconds"
}
after() { least "packets held up" $held_up 10; }
