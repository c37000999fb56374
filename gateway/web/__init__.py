"""The gateway as an ASGI application: the pipeline, the endpoints and the pages."""
