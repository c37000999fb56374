"""Pure decisions about one HTTP exchange: no I/O, no clock, no randomness, no framework."""
