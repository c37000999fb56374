"""One port, one library each: the only code that touches the world."""
