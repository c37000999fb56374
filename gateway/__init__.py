"""The BFF session gateway: tokens stay on the server, the browser holds one cookie."""

__version__ = "0.1.0"
