"""Asks a scenario many times by the JSON door, through an SDK that retries by status and headers; prints a line for each call."""

import sys

import openai

RETRIES = 3


def outcome(client):
    """OK, or the code and reason of a failure."""
    body = {"scenario": "chat", "messages": [{"role": "ROLE_USER", "text": "Hello"}]}
    try:
        client.post("/generate", body=body, cast_to=object)
    except openai.APIStatusError as error:
        status = error.response.json()
        reasons = [detail["reason"] for detail in status["details"] if "reason" in detail]
        return f"{error.status_code} {' '.join(reasons)}"
    return "OK"


def main(address, key, times):
    client = openai.OpenAI(base_url=f"http://{address}/v1", api_key=key, max_retries=RETRIES)
    for _ in range(int(times)):
        print(outcome(client))


main(*sys.argv[1:])
