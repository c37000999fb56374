"""How much Hypothesis tries: as much as fits into every run, or fifty times that on request.

`make fuzz`, or `pytest --hypothesis-profile=long`, is the second: see CONTRIBUTING.md.
"""

from typing import Any

from hypothesis import HealthCheck, settings

USUAL = 100  # examples of Hypothesis's own default, which a profile multiplies
LONG = 50


def register_profiles() -> None:
    settings.register_profile(
        "long",
        max_examples=USUAL * LONG,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


def examples(count: int, **more: Any) -> settings:
    """This many examples, multiplied as the profile says; no opinion on how fast they are."""
    profile = settings.default
    assert profile is not None
    return settings(max_examples=count * profile.max_examples // USUAL, deadline=None, **more)
