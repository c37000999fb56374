"""The inbound wire: uvicorn with the holes of its httptools protocol closed.

* `protocol`: one connection, from its first octet to its last
* `wire`: a connection that has ceased to be HTTP
* `listening`: sockets, the event loop, and how it all stops
"""

from gateway.server.listening import Listener, bind, loop_factory, serve

__all__ = ["Listener", "bind", "loop_factory", "serve"]
