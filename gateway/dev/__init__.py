"""The development world: an identity provider, a sample API and a sample app.

Nothing here is part of a deployment; only the `dev` command and the tests import it.
"""
