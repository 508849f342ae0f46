"""Takes credentials out of texts and settings before they reach any artefact.

Works on final strings, because credentials arrive by many ways: URLs in a job file, messages of
libraries, headers in an exception. What is taken out reads ``***``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

#: Cheap test before any pattern: without one of these no pattern can match.
_TRIGGERS = (
    "://",
    "akia",
    "asia",
    "authorization",
    "bearer ",
    "key",
    "passw",
    "pwd",
    "secret",
    "sig",
    "token",
    "credential",
    "x-amz-",
    "x-goog-",
)

_NAME = (
    r"[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|credentials?"
    r"|(?:api|access|account|private|secret|shared|encryption)[_-]?key(?:[_-]?id)?)"
)
_QUERY = (
    r"sig|signature|x-amz-[\w-]+|x-goog-[\w-]+|awsaccesskeyid|accesskeyid|googleaccessid"
    r"|key|code|key-pair-id|policy|auth|sas|se|sp|sv|skoid|sktid|access_token|pl"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    # user:password@ of a URL; the user name alone may be a token too (https://TOKEN@host)
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s?#\"'<>]+@"), rf"\1{MASK}@"),
    (re.compile(rf"(?i)([?&](?:{_QUERY})=)[^&#\s\"'<>\\]+"), rf"\1{MASK}"),
    (
        re.compile(r"(?i)((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:[a-z0-9-]+\s+)?[^\s\"',;]+"),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{8,}"), rf"\1{MASK}"),
    (re.compile(r"(?i)(x-(?:amz|goog|ms)-[\w-]*(?:token|signature|credential|key)[\w-]*[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;]+"), rf"\1{MASK}"),
    (re.compile(rf"(?i)({_NAME}[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"'&,;<>]+)"), rf"\1{MASK}"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
)
_SECRET_KEY = re.compile(
    rf"(?i)^(?:{_NAME}|.*[_.-]key|key|authorization|(?:.*[_.-])?(?:sig|signature|sas|auth))$"
)


def redact(text: str) -> str:
    """``text`` with every credential that it shows replaced by ``***``.

    Idempotent. A text without credentials comes back as the same object.
    """
    low = text.lower()
    if not any(trigger in low for trigger in _TRIGGERS):
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def suspicious(text: str) -> bool:
    """Whether ``text`` may hold a credential: fast, with false alarms, without misses."""
    low = text.lower()
    return any(trigger in low for trigger in _TRIGGERS)


def secret_name(name: str) -> bool:
    """Whether a setting or field called ``name`` (the last part of a dotted key) is a secret."""
    return bool(_SECRET_KEY.match(name))


def redact_value(value: Any, name: str = "") -> Any:
    """A JSON-like ``value`` with the credentials in it replaced; ``name`` is its own key.

    Mappings, lists and tuples are walked (tuples come back as lists); other objects stay.
    """
    if isinstance(value, Mapping):
        return {key: redact_value(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(entry, name) for entry in value]
    if name and secret_name(name) and value not in ("", None) and not isinstance(value, bool):
        return MASK
    return redact(value) if isinstance(value, str) else value
