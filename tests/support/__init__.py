"""The fakes, and the real servers tests start."""
