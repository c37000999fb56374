"""What every mapping of the configuration has in common."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict

from gateway.config.values import Text

Line = Annotated[str, Text()]


class Section(BaseModel):
    """A mapping with known keys. Unknown ones are errors.

    `explained` holds keys that people expect here, and why they do not exist.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
    explained: ClassVar[Mapping[str, str]] = {}
