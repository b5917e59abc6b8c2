"""Signatures by Standard Webhooks (https://www.standardwebhooks.com), which libraries in many languages verify."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header ``webhook-signature``: one signature for each key. ``timestamp``: unix seconds."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digests = (hmac.new(key, signed, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
