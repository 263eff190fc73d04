#!/usr/bin/env python3
"""The API of a running instance against its description, config/openapi.json: the description is valid OpenAPI, and Schemathesis
finds no request that is answered otherwise than described.

    python3 tests/openapi/run.py                  # about a minute and a half
    python3 tests/openapi/run.py --long           # ten minutes
    python3 tests/openapi/run.py --program FILE   # a program that is built already
    python3 tests/openapi/run.py --required       # missing tools are a failure, not a reason to skip

The tools come from PyPI into a virtual environment in the target folder, once.
"""

import argparse
import http.server
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
DESCRIPTION = ROOT / "config" / "openapi.json"
TOOLS = ["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"]
# Seconds that requests are made for; examples and coverage take what they take.
SHORT, LONG = 60, 600
# The short run makes up the same requests each time, so that it judges the change and not the day; the long one makes up new ones.
SEED = 16_777
# For the start, and for each request beside the search.
PATIENCE = 20


class Failure(Exception):
    pass


def say(text):
    print(f"openapi: {text}", flush=True)


def tools():
    """The folder of the tools' programs; None where they cannot be had."""
    folder = TARGET / "openapi-tools"
    marker = folder / "tools.txt"
    wanted = "\n".join(TOOLS)
    if not (marker.exists() and marker.read_text() == wanted):
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
            subprocess.run([folder / "bin" / "pip", "install", "--quiet", *TOOLS], check=True, capture_output=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            return None, f"{' and '.join(TOOLS)} cannot be installed: {(getattr(error, 'stderr', None) or b'').decode()[-300:] or error}"
        marker.write_text(wanted)
    return folder / "bin", None


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def endpoint():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_address[1]}"


class Instance:
    """A running instance with two services, each with two pools that can serve."""

    def __init__(self, program, folder):
        def pool(name):
            return f"{{name: {name}, endpoints: ['{endpoint()}', '{endpoint()}']}}"

        (folder / "standfast.yaml").write_text(f"""
admin: {{bind: 127.0.0.1:0, tokens_file: ./tokens}}
workers: 1
listeners: [{{name: web, bind: 127.0.0.1:0, routes: [{{service: shop}}, {{match: {{host: pay}}, service: pay}}]}}]
services:
  shop: {{health_check: {{http: /}}, pools: [{pool('north')}, {pool('south')}]}}
  pay: {{health_check: {{http: /}}, pools: [{pool('near')}, {pool('far')}]}}
""")
        create = [program, "token", "create", "--name", "fuzzer", "--role", "admin", "--never", "--file", folder / "tokens"]
        self.token = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()
        self.log = folder / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([program, "run", "standfast.yaml"], cwd=folder, stdout=log, stderr=log)
        port = self.until("the port is open", lambda: re.search(r"admin[^\n]*127\.0\.0\.1:([1-9]\d*)", self.log.read_text()))
        self.url = f"http://127.0.0.1:{port.group(1)}"
        self.until("it is ready", lambda: self.get("/readyz")[0] == 200)
        for service in ["shop", "pay"]:
            available = lambda: all(pool["available"] for pool in json.loads(self.get(f"/v1/services/{service}")[1])["pools"])
            self.until(f"both pools of {service} can serve", available)

    def until(self, what, ask):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            if found := ask():
                return found
            time.sleep(0.05)
        raise Failure(f"waited in vain: {what}\n{self.log.read_text()[-3000:]}")

    def get(self, path, body=None):
        fields = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body else None
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, data, fields), timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=PATIENCE)


def check(instance, programs, seconds, seed, folder):
    described = instance.get("/v1/openapi.json")[1]
    if described != DESCRIPTION.read_bytes():
        raise Failure("config/openapi.json is not that of the program: UPDATE=1 cargo test --test admin manual")
    # So that there is a switch to ask for.
    switch = {"command": "switchover", "service": "pay", "pool": "far", "reason": "a switch to ask for"}
    if instance.get("/v1/acts", switch)[0] != 200:
        raise Failure("a switchover was not carried out")
    validator = subprocess.run([programs / "openapi-spec-validator", DESCRIPTION], capture_output=True, text=True)
    if validator.returncode != 0:
        raise Failure(f"not valid:\n{validator.stdout}{validator.stderr}")
    say("the description is valid OpenAPI 3.1")
    command = [
        programs / "schemathesis", "--config-file", HERE / "schemathesis.toml", "run", DESCRIPTION, "--url", instance.url,
        "--header", f"Authorization: Bearer {instance.token}", "--checks", "all", "--continue-on-failure",
        "--phases", "examples,coverage,fuzzing,stateful", "--max-time", str(seconds), "--request-timeout", "20",
    ]
    if seed:
        command += ["--seed", str(seed)]
    # It keeps what it found in its folder.
    found = subprocess.run(command, cwd=folder, env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")})
    if instance.process.poll() is not None or instance.get("/livez")[0] != 200:
        raise Failure(f"the instance has ended\n{instance.log.read_text()[-3000:]}")
    if found.returncode != 0:
        raise Failure("Schemathesis found answers that are not as described (above)")
    if "panicked" in instance.log.read_text():
        raise Failure(f"a panic\n{instance.log.read_text()[-3000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--required", action="store_true")
    options = parser.parse_args()
    programs, missing = tools()
    if missing:
        say(f"{'FAILED' if options.required else 'SKIPPED'}: {missing}")
        return 1 if options.required else 0
    if not options.program:
        subprocess.run(["cargo", "build", "--locked"], cwd=ROOT, check=True)
    program = (options.program or TARGET / "debug" / "standfast").resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        instance = None
        try:
            instance = Instance(program, folder)
            seconds, seed = (LONG, None) if options.long else (SHORT, SEED)
            check(instance, programs, seconds, seed, folder)
            say("every answer was as described")
        except Failure as failure:
            say(f"FAILED: {failure}")
            return 1
        finally:
            if instance:
                instance.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
