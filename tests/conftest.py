"""For every test: how long Hypothesis searches is said on the command line."""

from tests.support.examples import register_profiles

register_profiles()
