"""Signatures as Standard Webhooks has them."""

from __future__ import annotations

from pydantic import SecretStr

from daemon.notify.signing import sign
from daemon.webhooks import key_of

SECRET = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OTHER = SecretStr("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
BODY = b'{"test": 2432232314}'
ARGUMENTS = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, BODY)


def test_the_published_example() -> None:
    assert sign([key_of(SECRET)], *ARGUMENTS) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_several_keys_sign_each() -> None:
    both = sign([key_of(OTHER), key_of(SECRET)], *ARGUMENTS).split(" ")
    assert both == [sign([key_of(OTHER)], *ARGUMENTS), sign([key_of(SECRET)], *ARGUMENTS)]
    assert both[0] != both[1]
