from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geobatch_tui.observability.redact import (
    MASK,
    redact,
    redact_value,
    secret_name,
    suspicious,
)

KEY_ID = "AKIA" + "ABCDEFGHIJKLMNOP"


@pytest.mark.parametrize(
    "text",
    [
        "https://me:canary@host/a.tif",
        "https://canary@host/a.tif",
        "there is no job file https:/me:canary@host/job.toml",
        "https:/canary@host/a.tif",
        "https://me:can@canary@host/a",
        "cannot open 'postgres://u:canary@db/x'",
        "/vsicurl/https://h/a.tif?sig=canary&se=2020",
        "https://h/a?X-Amz-Credential=canary%2Fx&X-Amz-Signature=canary",
        "https://h/a?x-goog-signature=canary",
        "https://h/a?Signature=canary&Expires=1",
        "https://h/a?a=1&token=canary",
        "https://h/a?access_token=canary#x",
        "https://h/a?GoogleAccessId=canary",
        "https://h/a?key=canary",
        "/vsicurl?url=https%3A%2F%2Fh%2Fa%3FX-Amz-Signature%3Dcanary%26b%3D1",
        "/vsicurl?url=https%3A%2F%2Fme%3Acanary%40h%2Fa",
        "Authorization: Bearer canary",
        "authorization: Basic canary==",
        "{'Authorization': 'Bearer canary.canary'}",
        '"authorization":"token canary"',
        "sent Bearer canary-canary.x",
        "AWS_SECRET_ACCESS_KEY=canary",
        "GDAL_HTTP_USERPWD=me:canary",
        "AccountName=x;AccountKey=canary;",
        "password: canary",
        "db_password='ca canary'",
        '{"client_secret": "canary"}',
        "SharedAccessSignature=canary",
        "X-Amz-Security-Token: canary",
    ],
)
def test_credentials_are_taken_out(text):
    """No form in which a credential is written survives, and a second pass changes nothing."""
    clean = redact(text)
    assert "canary" not in clean
    assert MASK in clean
    assert redact(clean) == clean
    assert suspicious(text)


def test_access_key_ids_are_taken_out():
    """AWS access key ids go wherever they stand."""
    assert redact(f"x_{KEY_ID}/y {KEY_ID.replace('AKIA', 'ASIA')}") == f"x_{MASK}/y {MASK}"


@pytest.mark.parametrize(
    "text",
    [
        "https://host/a.tif?x=1",
        "s3://bucket/key/a.tif",
        "chunk key relief.tif@3,4",
        "user@example.org",
        "signal 11 in tokenless design",
        "/data/passage/secretary.tif",
        "",
    ],
)
def test_what_is_no_credential_stays(text):
    """Evidence that only resembles a credential is kept."""
    assert redact(text) == text


@given(
    st.lists(
        st.sampled_from(
            ["://", "@", "u:p", "?sig=", "&", "token", "=", ":", " ", "'", '"', "Bearer ", "abcdefgh",
             "Authorization", KEY_ID, "%3A%2F%2F", "%40", "%26", "\\", "\n", "password", "***"]
        )
    ).map("".join)
)  # fmt: skip
def test_redaction_is_stable(text):
    """What was redacted once is not changed by the next layer that redacts."""
    once = redact(text)
    assert redact(once) == once
    assert (once == text) or suspicious(text)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("db_password", True),
        ("api_key", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("x-amz-security-token", True),
        ("HTTP_USERPWD", True),
        ("op.api_token", True),
        ("authorization", True),
        ("key", False),
        ("chunk_key", False),
        ("author", False),
        ("compress", False),
        ("passes", False),
    ],
)
def test_names_of_secrets(name, secret):
    """A telling name is enough; keys of chunks and of joins are none."""
    assert secret_name(name) is secret


def test_values_are_walked():
    """Secrets in nested values go by name or by form; what is empty or a switch stays."""
    value = {
        "inputs": ["https://u:canary@h/a", ("x",)],
        "api_token": "canary",
        "token": ["canary"],
        "password": "",
        "secret": True,
        "level": 3,
    }
    assert redact_value(value) == {
        "inputs": [f"https://{MASK}@h/a", ["x"]],
        "api_token": MASK,
        "token": [MASK],
        "password": "",
        "secret": True,
        "level": 3,
    }
