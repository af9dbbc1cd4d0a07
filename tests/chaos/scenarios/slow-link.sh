title="the leader's link has 1 Mbit/s"
trouble() {
    throttle "$(leader)" 1mbit
    sleep "$seconds"
}
after() { least "packets held up" $held_up 10; }
