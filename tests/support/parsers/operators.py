"""The parsers of configuration, of the store and of cookies: what operators and Redis hold."""

import json
import math
from pathlib import Path

from redis.asyncio.connection import AbstractConnection

from gateway.adapters.redis_address import store_address
from gateway.adapters.redis_scripts import Layout, Step, pack, unpack
from gateway.adapters.redis_tracking import Tracking
from gateway.config import check_text, json_schema
from gateway.config.document import Basics
from gateway.config.findings import Report
from gateway.config.network import build_forwarded
from gateway.config.overrides import apply_overrides
from gateway.config.secret_reference import BySecretReference, SecretReference
from gateway.config.values import Duration, Kind, Size, Text, Workers
from gateway.config.yaml_text import NotYaml, read_document, read_value
from gateway.errors import Misconfigured
from gateway.ports import LookupId, StoredRecord
from gateway.secret import KeyMaterial, SessionHandle, StoreUrl
from gateway.session import codec, revocation_entries
from gateway.session.sealing import CannotOpen, KeyRing, RingKey, b64, unb64
from tests.support.parsers import Parser


class CountingEntropy:
    """The same octets in every run, so that a corpus of sealed things stays one."""

    def __init__(self) -> None:
        self._count = 0

    def octets(self, count: int) -> bytes:
        self._count += 1
        return self._count.to_bytes(8, "big").rjust(count, b"\xa5")[:count]


RING = KeyRing([RingKey("a", KeyMaterial(b"k" * 32))], CountingEntropy())
HANDLE = SessionHandle(bytes(range(32)))
LOOKUP = KeyRing.lookup(HANDLE)
LAYOUT = Layout("gw:")
SCHEMA = json_schema()
NOWHERE = Path("/nonexistent")
SECRET = "hunter2"


def _session_cookie(octets: bytes) -> None:
    text = octets.decode("latin-1")
    handle = RING.read_handle(text)
    assert handle is None or RING.cookie_value(handle) == text
    binding = RING.read_binding(text)
    assert binding is None or binding.reveal() == text


def _sealed_text(octets: bytes) -> None:
    """Base64url of a sealed envelope; whatever opens was sealed here."""
    text = octets.decode("latin-1")
    assert b64(unb64(text)) == text
    key_id, plain = RING.open_envelope("state", text)
    assert (key_id, plain) == ("a", b"plain")


def _record(octets: bytes) -> None:
    """A value of the store."""
    record = unpack(octets)
    if record is None:
        return
    assert pack(record) == octets
    session = codec.open_session(RING, HANDLE, LOOKUP, record)
    assert session.facts.subject == "ada"


def _revocation_entry(octets: bytes) -> None:
    """A member of the queue; whatever opens was sealed here, whatever stands in front of it."""
    written_at = revocation_entries.written_at(octets)
    assert written_at is None or 0 <= written_at < 1e12
    given_back = revocation_entries.unseal(RING, octets)
    assert (given_back.token.reveal(), given_back.issuer) == ("rt", "https://id.example")


class Heard:
    """`Changes`, as they are told."""

    def __init__(self) -> None:
        self.sessions: list[LookupId] = []
        self.locks: list[LookupId] = []

    def changed(self, lookup: LookupId) -> None:
        self.sessions.append(lookup)

    def grant_changed(self, lookup: LookupId) -> None:
        self.locks.append(lookup)

    def everything(self) -> None:
        raise AssertionError("nothing was proven, so nothing is forgotten")


def _announcement(octets: bytes) -> None:
    heard = Heard()
    tracking = Tracking(_no_connection, _no_write, LAYOUT, heard)
    tracking._hear(octets)
    assert not tracking.is_proven()
    assert len(heard.sessions) == octets.startswith(b"gw:s:")
    assert len(heard.locks) == octets.startswith(b"gw:g:")
    # However the store answers, its shape is judged and nothing else happens.
    try:
        reply = json.loads(octets)
    except (ValueError, RecursionError):
        reply = octets
    record = StoredRecord(1, b"x")
    steps = [LAYOUT.read([LOOKUP]), LAYOUT.create(LOOKUP, record, 1.0), LAYOUT.ping()]
    steps += [LAYOUT.own_id(), LAYOUT.listen(), *LAYOUT.end(LookupId("x"), [])]
    assert all(step.fits(reply) in (True, False) for step in steps)


def _no_connection() -> AbstractConnection:
    raise AssertionError


async def _no_write(_: Step) -> object:
    raise AssertionError


def _store_address(octets: bytes) -> None:
    address = store_address(StoreUrl(octets.decode("latin-1")))
    assert address.path or address.host


def _yaml_document(octets: bytes) -> None:
    report = Report()
    values = read_document(octets.decode("utf-8", "replace"), report)
    assert values == {} or not report.has_errors or isinstance(values, dict)


def _yaml_value(octets: bytes) -> object:
    return read_value(octets.decode("utf-8", "replace"))


def _settings_file(octets: bytes) -> None:
    settings, findings = check_text(octets.decode("utf-8", "replace"), NOWHERE, {})
    assert settings is not None or findings
    # The path holds names, and names are said; no value is.
    assert not any(SECRET in finding.message for finding in findings)


def _environment(octets: bytes) -> None:
    """`NAME=value`, the name without its prefix."""
    name, _, value = octets.decode("utf-8", "replace").partition("=")
    report = Report()
    apply_overrides({}, {f"GATEWAY__{name}": value}, SCHEMA, report)


def _secret_reference(octets: bytes) -> None:
    reference = BySecretReference().read(_yaml_value(octets))
    assert isinstance(reference, SecretReference)
    assert bool(reference.env) != bool(reference.file)
    assert SECRET not in repr(reference)


def _values(octets: bytes) -> None:
    """The octets as YAML, as each kind of value."""
    value = _yaml_value(octets)
    kinds: tuple[Kind, ...] = (Duration("0s", "365d"), Size("0", "1GiB"), Text(), Workers())
    refused = 0
    for kind in kinds:
        try:
            read = kind.read(value)
        except ValueError:
            refused += 1
            continue
        assert not isinstance(read, float) or math.isfinite(read)
    if refused == len(kinds):
        raise ValueError


def _trusted_proxies(octets: bytes) -> None:
    basics = Basics(
        public_origin="https://app.example.com", trusted_proxies=[octets.decode("latin-1")]
    )
    report = Report()
    policy = build_forwarded(basics, report)
    if not report.has_errors:
        assert policy.trusted
        assert all(network.prefixlen >= 7 for network in policy.trusted)


PARSERS = (
    Parser("session_cookie", "session/sealing.py", _session_cookie),
    Parser("sealed_text", "session/sealing.py", _sealed_text, errors=(CannotOpen,)),
    Parser("stored_record", "session/codec.py", _record, errors=(CannotOpen,)),
    Parser(
        "revocation_entry",
        "session/revocation_entries.py",
        _revocation_entry,
        errors=(CannotOpen,),
    ),
    Parser("announcement", "adapters/redis_tracking.py", _announcement),
    Parser("store_address", "adapters/redis_address.py", _store_address, errors=(Misconfigured,)),
    Parser("yaml_document", "config/yaml_text.py", _yaml_document),
    Parser("yaml_value", "config/yaml_text.py", _yaml_value, errors=(NotYaml,)),
    Parser("settings_file", "config/reading.py", _settings_file, examples=30),
    Parser("environment", "config/overrides.py", _environment),
    Parser(
        "secret_reference",
        "config/secret_reference.py",
        _secret_reference,
        errors=(ValueError, NotYaml),
    ),
    Parser("values", "config/values.py", _values, errors=(ValueError, NotYaml)),
    Parser("trusted_proxies", "config/network.py", _trusted_proxies, errors=(ValueError,)),
)
