"""The exact requests that a browser sends for a page of another site, and for a name that was bound to this machine."""

from __future__ import annotations

import json

import pytest

from daemon.web.addresses import TASKS
from integration.web.installation import Api, Installation

TASK = "task_20250702_173932"
ONE, MANY = f"{TASKS}/{TASK}", TASKS
BODY = json.dumps({"confirm": True, "task_ids": [TASK]})
AGENT = "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36"
FORM = "Content-Type: application/x-www-form-urlencoded"
TEXT = "Content-Type: text/plain;charset=UTF-8"
JSON = "Content-Type: application/json"
PAGE = "Origin: http://evil.example"


def fetch(site: str, mode: str, dest: str = "empty") -> list[str]:
    return [f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {dest}"]


PREFLIGHT = ["Access-Control-Request-Method: DELETE", "Access-Control-Request-Headers: content-type"]
REBOUND = "Host: evil.example:8084"
OWN = "Origin: http://evil.example:8084"
REQUESTS: dict[str, tuple[str, str, list[str], str]] = {
    "form": ("POST", ONE, [PAGE, FORM, *fetch("cross-site", "navigate", "document")], "confirm=true&_method=DELETE"),
    "form-as-text": ("POST", MANY, [PAGE, "Content-Type: text/plain", *fetch("cross-site", "navigate")], BODY),
    "form-of-a-sandbox": ("POST", ONE, ["Origin: null", FORM, *fetch("cross-site", "navigate", "iframe")], "a=b"),
    "no-cors": ("POST", MANY, [PAGE, TEXT, *fetch("cross-site", "no-cors")], BODY),
    "beacon": ("POST", MANY, [PAGE, TEXT, *fetch("cross-site", "no-cors")], BODY),
    "preflight": ("OPTIONS", ONE, [PAGE, *PREFLIGHT, *fetch("cross-site", "cors")], ""),
    "preflight-private-network": (
        "OPTIONS",
        ONE,
        [PAGE, *PREFLIGHT, "Access-Control-Request-Private-Network: true", *fetch("cross-site", "cors")],
        "",
    ),
    # a browser would not get so far without an answer to the preflight
    "cors": ("DELETE", ONE, [PAGE, JSON, *fetch("cross-site", "cors")], BODY),
    "cors-many": ("DELETE", MANY, [PAGE, JSON, *fetch("cross-site", "cors")], BODY),
    "same-site": ("DELETE", ONE, ["Origin: http://other.localhost", JSON, *fetch("same-site", "cors")], BODY),
    "extension": ("DELETE", ONE, ["Origin: chrome-extension://abcdef", JSON, *fetch("none", "cors")], BODY),
    "old-browser": ("DELETE", ONE, [PAGE, JSON], BODY),
    "link": ("GET", f"{ONE}?confirm=true", fetch("cross-site", "navigate", "document"), ""),
    "image": ("GET", f"{ONE}?confirm=true&_method=DELETE", fetch("cross-site", "no-cors", "image"), ""),
    "script": ("GET", TASKS, fetch("cross-site", "no-cors", "script"), ""),
    "frame": ("GET", TASKS, fetch("cross-site", "navigate", "iframe"), ""),
    "websocket": ("GET", TASKS, [PAGE, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"], ""),
    # DNS rebinding: to the browser it is the page's own site
    "rebound": (
        "DELETE",
        ONE,
        [REBOUND, JSON, *fetch("same-origin", "cors"), "Origin: http://evil.example:8084"],
        BODY,
    ),
    "rebound-get": ("GET", TASKS, [REBOUND, *fetch("same-origin", "cors")], ""),
    "rebound-old-browser": ("DELETE", ONE, [REBOUND, JSON], BODY),
    "rebound-form": ("POST", ONE, [REBOUND, FORM, OWN], "a=b"),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_page_of_another_site_learns_and_deletes_nothing(
    api: Api, installation: Installation, name: str
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    method, target, headers, body = REQUESTS[name]
    host = [] if any(header.startswith("Host: ") for header in headers) else ["Host: localhost:8084"]
    lines = [f"{method} {target} HTTP/1.1", *host, AGENT, "Accept: */*", *headers, f"Content-Length: {len(body)}"]
    answer = await api.raw("\r\n".join([*lines, "", body]).encode())
    expected = "HOST_NOT_ALLOWED" if REBOUND in headers else "ORIGIN_NOT_ALLOWED"
    assert (answer.status, answer.body["error_code"]) == (403, expected)
    assert "data" not in answer.body
    assert not [header for header in answer.headers if header.lower().startswith("access-control-")]
    assert installation.everything() == before
