#!/usr/bin/env python3
"""Applies each mutant of mutants.py to a copy of the decision core and expects the tests to fail.

    python3 tests/mutants/run.py            all
    python3 tests/mutants/run.py NAME...    these

The copy holds only the pure rooms, so that a mutant costs one small build. Fails when a text is not found exactly once, when the
unchanged copy does not pass, or when a mutant survives.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROOMS = ["config", "decision", "digest", "net", "routing", "simulation", "sys", "telemetry", "text", "time", "wire"]
WORLD = ["cargo", "test", "--locked", "--offline", "--quiet", "--test", "world", "--", "--skip", "switch_protocol::"]
UNIT = ["cargo", "test", "--locked", "--offline", "--quiet", "--lib", "decision::"]
FOLLOWING = ["cargo", "test", "--locked", "--offline", "--quiet", "--lib", "--test", "world", "--", "following", "position", "primaries::"]
BUILD_BOUND = 900
BOUND = 180

sys.path.insert(0, str(HERE))
import mutants  # noqa: E402


def copy_of_the_pure_rooms(to):
    shutil.copytree(ROOT / "src", to / "src")
    shutil.copytree(ROOT / "tests" / "world", to / "tests" / "world")
    (to / "tests" / "support").mkdir()
    shutil.copy(ROOT / "tests" / "support" / "fixture.rs", to / "tests" / "support" / "fixture.rs")
    for name in ["Cargo.toml", "Cargo.lock"]:
        shutil.copy(ROOT / name, to / name)
    for entry in (to / "src").iterdir():
        if entry.stem not in ROOMS + ["lib"]:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    lib = to / "src" / "lib.rs"
    text = re.sub(r"^pub (?:mod|use) (\w+)\b.*;\n", lambda m: m.group(0) if m.group(1) in ROOMS else "", lib.read_text(), flags=re.M)
    lib.write_text(text)
    manifest = to / "Cargo.toml"
    text = re.sub(r"^\[\[(bin|bench|test)\]\]\n(.+\n)*", "", manifest.read_text(), flags=re.M)
    text = re.sub(r"^(default-run|readme|build) = .*\n", "", text, flags=re.M)
    manifest.write_text(text)


def run(command, where, bound):
    """Builds, however long that takes, and then runs: a test that goes round for ever is a verdict, a slow machine is none."""
    split = command.index("--") if "--" in command else len(command)
    built = attempt([*command[:split], "--no-run"], where, BUILD_BOUND)
    return built if built[0] != 0 else attempt(command, where, bound)


def attempt(command, where, bound):
    env = dict(os.environ, CARGO_TARGET_DIR=str(where / "target"), CARGO_PROFILE_TEST_DEBUG="0",
               CARGO_PROFILE_DEV_DEBUG="0", RUST_BACKTRACE="0", RUSTFLAGS="-Awarnings")
    env.pop("STANDFAST_SEED", None)
    try:
        done = subprocess.run(command, cwd=where, env=env, timeout=bound, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        # (A build that was cut off in the middle would spoil the next ones.)
        shutil.rmtree(where / "target" / "debug" / "incremental", ignore_errors=True)
        return None, "no verdict within %d s" % bound
    return done.returncode, done.stdout


def verdict(code, output):
    """What became of a mutant: killed, or why not."""
    if code is None:
        return output
    if code == 0:
        return "SURVIVED"
    if "could not compile" in output or "test result: FAILED" not in output:
        return "did not get as far as the test:\n" + output[-3000:]
    return "killed"


def reason(output):
    found = re.search(r"seed \d+.*", output) or re.search(r"^too rarely seen:\n.*", output, flags=re.M)
    return found.group(0)[:140].replace("\n", " ") if found else ""


def main():
    wanted = sys.argv[1:]
    listed = [(m, WORLD) for m in mutants.WORLD] + [(m, UNIT) for m in mutants.UNIT + mutants.COMPANIONS + mutants.TRANSACTIONS] + [(m, FOLLOWING) for m in mutants.FOLLOWING]
    unknown = set(wanted) - {m[0] for m, _ in listed}
    if unknown:
        sys.exit("no such mutant: " + ", ".join(sorted(unknown)))
    chosen = [(m, command) for m, command in listed if not wanted or m[0] in wanted]
    for (name, file, text, _, _), _ in listed:
        found = (ROOT / "src" / "decision" / file).read_text().count(text)
        if found != 1:
            sys.exit(f"{name}: its text stands {found} times in {file}, not once")
    failed = []
    with tempfile.TemporaryDirectory(prefix="standfast-mutants-") as place:
        place = pathlib.Path(place)
        copy_of_the_pure_rooms(place)
        for command in sorted({tuple(command) for _, command in chosen}):
            began = time.monotonic()
            code, output = run(list(command), place, BUILD_BOUND)
            if code != 0:
                sys.exit("the unchanged copy does not pass:\n" + output[-5000:])
            print("%-44s passes (%.0f s)" % ("unchanged: " + " ".join(command[5:7]), time.monotonic() - began), flush=True)
        for (name, file, text, replacement, _), command in chosen:
            source = place / "src" / "decision" / file
            original = source.read_text()
            source.write_text(original.replace(text, replacement))
            began = time.monotonic()
            code, output = run(command, place, BOUND)
            source.write_text(original)
            said = verdict(code, output)
            print("%-44s %s (%.0f s) %s" % (name, said, time.monotonic() - began, reason(output)), flush=True)
            if said != "killed":
                failed.append(name)
    if failed:
        sys.exit("%d of %d mutants were not killed: %s" % (len(failed), len(chosen), ", ".join(failed)))
    print("all %d mutants killed" % len(chosen))


if __name__ == "__main__":
    main()
