"""The life of a session: login, open, refresh, logout; asynchronous, through ports only."""
