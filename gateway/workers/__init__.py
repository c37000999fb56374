"""`gateway run`: a supervisor, and the workers it forks, one for each core.

    supervisor   signals, reloads, stopping; owns the sockets, the embedded store and this:
    oversight    the admin listener: /readyz and /metrics of all workers together
    crew         a worker as the supervisor sees it; the workers of one configuration
    serving      a worker's own process
    reading      the configuration, read in a process that ends with it
    channel, forking, exposition, decisions

The supervisor loads what a worker needs and nothing that only reads configuration, so that a fork
is a worker in milliseconds and shares its memory. Everything is handed over by the fork itself:
no secret is on a command line, in a file or on a wire.
"""
