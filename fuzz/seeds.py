#!/usr/bin/env python3
"""Makes the first inputs of the fuzz targets: seeds.py DIRECTORY

Those of `fuzz/seeds`, the configurations that come with the crate, and recorded exchanges where there
are any: in `../shared/wire/exchanges`, or where MODELWAY_EXCHANGES points.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import sys

FUZZ = pathlib.Path(__file__).resolve().parent
CRATE = FUZZ.parent
# Longer ones slow the search down, and say little that shorter ones do not.
MAX_BYTES = 2048
FORMATS = {
    "anthropic.messages": "anthropic",
    "gemini.generateContent": "gemini",
    "gemini.streamGenerateContent": "gemini",
    "openai.chat": "openai_chat",
    "openai.responses": "openai_responses",
}


def main():
    corpus = pathlib.Path(sys.argv[1])
    for target in (FUZZ / "seeds").iterdir():
        shutil.copytree(target, corpus / target.name, dirs_exist_ok=True)
    for file in [CRATE / "config.example.toml", CRATE / "src/config/keyless.toml"]:
        for table in re.split(r"\n(?=\[)", file.read_text()):
            add(corpus / "config", table.encode())

    exchanges = pathlib.Path(
        os.environ.get("MODELWAY_EXCHANGES", CRATE / "../shared/wire/exchanges")
    )
    if not (exchanges / "index.json").is_file():
        print(f"seeds: no recordings in {exchanges}")
        return
    for entry in json.loads((exchanges / "index.json").read_text()):
        add_exchange(corpus, json.loads((exchanges / entry["path"]).read_text()))


def add_exchange(corpus, exchange):
    response = exchange["response"]
    body = response["body_text"].encode()
    if response["status"] >= 300:
        headers = "".join(f"{name}: {value}\n" for name, value in response["headers"].items())
        add(corpus / "failure", f"{response['status']}\n{headers}\n".encode() + body)
        return
    target = FORMATS.get(exchange["api"])
    if target is None:
        return
    # Of a long body the first lines, whole, so that the search need not mend it.
    if len(body) + 2 > MAX_BYTES:
        body = body[: body.rfind(b"\n", 0, MAX_BYTES - 2) + 1]
    # As it is read without and with metadata.
    for how in (b"0", b"p") if exchange["stream"] else (b"1", b"q"):
        add(corpus / target, how + b"0" + body)
    if exchange["stream"]:
        add(corpus / "sse", b"0" + body)


def add(directory, input):
    directory.mkdir(parents=True, exist_ok=True)
    if len(input) <= MAX_BYTES:
        (directory / hashlib.sha1(input).hexdigest()).write_bytes(input)


main()
