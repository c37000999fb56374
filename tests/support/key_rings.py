"""A second key for the ring, and settings that have it."""

from dataclasses import replace

from gateway.secret import KeyMaterial
from gateway.session.sealing import RingKey
from gateway.settings import Settings

NEW = RingKey("k-2027", KeyMaterial(bytes(range(100, 132))))


def with_keys(settings: Settings, *keys: RingKey) -> Settings:
    return replace(settings, keys=keys)
