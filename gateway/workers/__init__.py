"""`gateway run`: a supervisor, and the workers it forks, one for each core.

    supervisor   signals, starting, stopping; owns the sockets, the embedded store and this:
    reloading    the configuration is read anew
    succession   the generation in force, and those that leave
    oversight    the admin listener: /readyz and /metrics of all workers together
    watch        workers that hang
    crew         the workers of one configuration, a generation
    worker       a worker as the supervisor sees it
    serving      a worker's own process
    reading      the configuration, read in a process that ends with it
    channel, forking, recruiting, exposition, decisions

The supervisor loads what a worker needs and nothing that only reads configuration, so that a fork
is a worker in milliseconds and shares its memory. Everything is handed over by the fork itself:
no secret is on a command line, in a file or on a wire.
"""
