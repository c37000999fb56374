"""`{env: NAME}` and `{file: PATH}`: where a secret is, in place of the secret."""

from dataclasses import dataclass, field

from pydantic.json_schema import JsonSchemaValue

from gateway.config.values import Kind, Text, meant


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Where a secret is, never what it is. Exactly one of the two is set."""

    env: str = field(default="", repr=False)  # a secret may have been written here by mistake
    file: str = field(default="", repr=False)


_PLACES = {
    "env": "The name of an environment variable.",
    "file": "The path of a file, relative to the configuration file.",
}


class BySecretReference(Kind):
    """`{env: NAME}` or `{file: PATH}`."""

    def read(self, value: object) -> SecretReference:
        """Return the reference; raises ValueError."""
        if not isinstance(value, dict):
            raise ValueError(  # noqa: TRY004  pydantic wants ValueError
                "a secret is never written here: name its place, {env: NAME} or {file: PATH}, "
                "and replace this one, for it has been stored in clear"
            )
        if len(value) != 1 or not value.keys() <= _PLACES.keys():
            near = next((name for key in value if (name := meant(key, _PLACES))), None)
            hint = f" (did you mean {near}?)" if near and near not in value else ""
            raise ValueError(f"must be either {{env: NAME}} or {{file: PATH}}{hint}")
        ((kind, name),) = value.items()
        if not isinstance(name, str) or not name.strip():
            raise ValueError("needs the name of an environment variable or the path of a file")
        return SecretReference(**{kind: name})

    def schema(self) -> JsonSchemaValue:
        """Return the two forms."""
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {kind: {"type": "string", "minLength": 1, "description": about}},
                    "required": [kind],
                    "additionalProperties": False,
                }
                for kind, about in _PLACES.items()
            ]
        }


class Address(Kind):
    """A store's address in clear, or a reference to one that holds a password."""

    def read(self, value: object) -> str | SecretReference:
        """Return the address or the reference; raises ValueError."""
        if isinstance(value, dict):
            return BySecretReference().read(value)
        return Text().read(value)

    def schema(self) -> JsonSchemaValue:
        """Return both forms."""
        return {"anyOf": [Text().schema(), *BySecretReference().schema()["oneOf"]]}
