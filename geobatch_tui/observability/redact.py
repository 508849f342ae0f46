"""Takes credentials out of texts and settings before they reach a file or a screen.

It works on final strings, because credentials come in many ways: URLs in a job file, messages of
libraries, headers in an exception. ``***`` stands in their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

MASK = "***"
#: A reference to a variable that holds a secret, which is no secret itself.
ENV_REFERENCE = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")

#: Cheap test before any pattern: without one of these no pattern can match.
_TRIGGERS = (
    ":/", "%3a%2f%2f", "accessid", "akia", "asia", "auth=", "auth%3d", "authorization", "bearer ",
    "credential", "passphrase", "passw", "pwd", "sas=", "sas%3d", "secret", "sig=", "sig%3d",
    "signature", "token", "x-amz-", "x-goog-",
)  # fmt: skip

#: The same for a word that is in many names: monkey.tif is no secret.
_KEY_TRIGGER = re.compile(r"key(?:[\"'\s:=\\]|%3d|-pair|[_-]?id)")

# No pattern starts with an unbounded repeat, or looks ahead without a bound: time stays linear in
# the length of the text.
_NAME = (
    r"(?:password|passwd|passphrase|pwd|secret|token|credentials?|signature"
    r"|(?:api|access|account|private|secret|shared|encryption)[_-]?key(?:[_-]?id)?)"
)
_QUERY = (
    r"(?:sig|signature|x-amz-[\w-]+|x-goog-[\w-]+|(?:aws)?accesskeyid|googleaccessid"
    r"|key|key-pair-id|auth|sas|[\w-]{0,32}token)"
)
_REPLACEMENTS = (
    # user:password@ in a URL; a user alone may be a token too. A path keeps one of its slashes.
    (r"(://|(?:https?|ftps?|postgres(?:ql)?|s3|gs):/)[^/\s?#\"'<>]+@", rf"\1{MASK}@"),
    (r"(%3A%2F%2F)[^/\s?#&\"'<>]{1,512}?%40", rf"\1{MASK}%40"),
    (
        # percent-encoded too: GDAL takes /vsicurl?url=... with a whole URL inside
        rf"((?:[?&;]|%3F|%26){_QUERY}(?:=|%3D))(?:(?!%26)[^&#\s\"'<>\\])+",
        rf"\1{MASK}",
    ),
    (
        r"(authorization[\"']?\s*[:=]\s*[\"']?)(?:[a-z0-9-]+[ \t]+)?[^\s\"',;]+",
        rf"\1{MASK}",
    ),
    (r"(bearer\s+)[a-z0-9._~+/=-]{8,}", rf"\1{MASK}"),
    (
        r"(x-(?:amz|goog)-[\w-]{1,64}[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;]+",
        rf"\1{MASK}",
    ),
    (rf"({_NAME}[\"']?\s*[:=]\s*\")[^\"]+\"", rf'\1{MASK}"'),
    (rf"({_NAME}[\"']?\s*[:=]\s*')[^']+'", rf"\1{MASK}'"),
    (rf"({_NAME}[\"']?\s*[:=]\s*[\"']?)[^\s\"'&,;<>]+", rf"\1{MASK}"),
    (r"(?:AKIA|ASIA)[A-Z0-9]{16}", MASK),
)
# Not a bare "key": chunks, items and join columns have keys that are no secrets
_SECRET_KEY = re.compile(
    rf"(?i)(?:.*[_.-])?(?:{_NAME}|\w*(?:password|pwd|secret|token)|auth|authorization|sig|sas)"
)


def redact(text: str) -> str:
    """Replace every credential in ``text`` by ``***``.

    Idempotent. A text without credentials comes back as the same object.
    """
    if not suspicious(text):
        return text
    for pattern, replacement in _patterns():
        text = pattern.sub(replacement, text)
    return text


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compile the patterns once there is a text that may need them, as most runs have none."""
    return tuple((re.compile(text, re.IGNORECASE), mask) for text, mask in _REPLACEMENTS)


def suspicious(text: str) -> bool:
    """Whether ``text`` may hold a credential: fast, with false alarms, without misses."""
    low = text.lower()
    for trigger in _TRIGGERS:  # without a generator, which takes longer than to look
        if trigger in low:
            return True
    return "key" in low and _KEY_TRIGGER.search(low) is not None


def secret_name(name: str) -> bool:
    """Whether a setting or field called ``name`` (the last part of a dotted key) is a secret."""
    return _SECRET_KEY.fullmatch(name) is not None


def redact_value(value: object, name: str = "") -> Any:
    """Replace the credentials in a JSON-like ``value``; ``name`` is its own key.

    Mappings, lists and tuples are walked (tuples come back as lists); other objects stay.
    """
    if isinstance(value, Mapping):
        return {key: redact_value(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [redact_value(entry, name) for entry in value]
    if name and secret_name(name) and value not in ("", None) and not isinstance(value, bool):
        reference = isinstance(value, str) and ENV_REFERENCE.fullmatch(value)
        return value if reference else MASK
    return redact(value) if isinstance(value, str) else value
