"""The inbound wire: uvicorn with the holes of its httptools protocol closed.

* `protocol`: one connection, from its first octet to its last
* `wire`: a connection that has ceased to be HTTP
* `sockets`: where connections come from
* `listening`: servers, the event loop, and how it all stops
* `departure`: when it does
"""

from gateway.server.departure import Departure
from gateway.server.listening import Listener, loop_factory, serve
from gateway.server.sockets import bind

__all__ = ["Departure", "Listener", "bind", "loop_factory", "serve"]
