"""The curl commands of the API's document. Where there is no curl, the same request is sent without it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from itertools import pairwise
from typing import Any

import requests


def run(command: str) -> Any:
    """Run one command line of the document's form (method, URL, headers, body) and return the JSON it prints."""
    words = shlex.split(command.replace("\\\n", " "))
    if shutil.which("curl"):
        done = subprocess.run([*words, "--silent", "--show-error"], capture_output=True, check=True, timeout=60)
        return json.loads(done.stdout)
    options = dict(pairwise(words))
    url = next(word for word in words if word.startswith("http://"))
    headers = dict([options["-H"].split(": ", 1)]) if "-H" in options else {}
    body = options.get("-d")
    return requests.request(options.get("-X", "GET"), url, data=body, headers=headers, timeout=60).json()
