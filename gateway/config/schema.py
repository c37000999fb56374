"""The configuration file's JSON Schema, for editors, for pipelines and for our own overrides."""

from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from gateway.config.document import Document

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Pydantic's schema without what says nothing: made-up titles, and null for "not set"."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002  pydantic's signature
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        written = super().default_schema(schema)
        if "default" in written and written["default"] is None:
            del written["default"]
        return written


@cache
def _generated() -> dict[str, Any]:
    written = Document.model_json_schema(schema_generator=_Generator)
    for definition in written["$defs"].values():
        definition.pop("title", None)
    return {"$schema": _DIALECT, **written, "title": "BFF session gateway"}


def json_schema() -> dict[str, Any]:
    """Return the schema; the same one every time, not to be changed."""
    return _generated()
