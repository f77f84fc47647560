"""How every process of Headrace lives: settings, log, clock, retry, loops, state machines, start and stop."""
