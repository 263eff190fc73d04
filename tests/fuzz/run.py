#!/usr/bin/env python3
"""Searches for inputs that break a property of tests/fuzz/properties.

    python3 tests/fuzz/run.py [--seconds N] [--jobs N] [TARGET...]    a minute each, by default
    python3 tests/fuzz/run.py planted [NAME...]                       does each target find the bugs that are planted for it?
    python3 tests/fuzz/run.py keep [TARGET...]                        adds what was found to the corpus, minimised
    python3 tests/fuzz/run.py add TARGET FILE...                      adds these inputs to the corpus

What a search has reached stays in target/fuzz/reached, and the next one goes on from there; what broke a property is in
target/fuzz/findings.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
WORK = TARGET / "fuzz"
# What a target's corpus may take, in bytes of its file.
LARGEST = 20_000
# How long an input may run, and what a target may hold in all.
LIMITS = ["-timeout=10", "-rss_limit_mb=1500"]
# How long a planted bug may stay hidden.
HIDDEN = 60

sys.path.insert(0, str(HERE))
import planted  # noqa: E402


def escaped(data):
    names = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}
    return "".join(names.get(b) or (chr(b) if 32 <= b < 127 else "\\x%02x" % b) for b in data)


def unescaped(line):
    names = {"t": b"\t", "n": b"\n", "r": b"\r", "\\": b"\\"}
    parts = re.findall(r"\\x[0-9a-f]{2}|\\[tnr\\]|[^\\]", line)
    return b"".join(bytes([int(p[2:], 16)]) if p[:2] == "\\x" else names[p[1]] if p[0] == "\\" else p.encode() for p in parts)


def corpus(name):
    """What stands under a comment in a target's corpus, comments included; and all its inputs."""
    path = HERE / "corpus" / (name + ".txt")
    lines = path.read_text().splitlines() if path.exists() else []
    explained = [line for before, line in zip([""] + lines, lines) if "#" in (before[:1], line[:1])]
    return explained, [unescaped(line) for line in lines if not line.startswith("#")]


def unpack(name, to):
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for number, data in enumerate(corpus(name)[1]):
        (to / ("%05d" % number)).write_bytes(data)
    return to


def build(manifest):
    """The program with all targets; `manifest` is that of this folder or of a copy."""
    # The proxy's own versions; libFuzzer and what it needs come on top.
    shutil.copy(ROOT / "Cargo.lock", manifest.parent / "Cargo.lock")
    env = dict(os.environ, RUSTC_WRAPPER=str(HERE / "instrumented"), CARGO_TARGET_DIR=str(TARGET))
    command = ["cargo", "build", "--quiet", "--manifest-path", str(manifest)]
    if subprocess.run(command, env=env).returncode != 0:
        sys.exit("the fuzz targets cannot be built")
    return TARGET / "debug" / "standfast-fuzz"


def targets(program):
    out = subprocess.run([program], env=dict(os.environ, STANDFAST_FUZZ="list"), text=True, stdout=subprocess.PIPE, check=True)
    return {name: int(longest) for name, longest in (line.split() for line in out.stdout.splitlines())}


def run(program, name, *arguments, bug="", bound=None):
    env = dict(os.environ, STANDFAST_FUZZ=name, STANDFAST_PLANTED=bug, RUST_BACKTRACE="0")
    command = [str(program), *map(str, arguments), *LIMITS]
    try:
        done = subprocess.run(command, env=env, cwd=WORK, timeout=bound, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return None, "no end within %d s" % bound
    return done.returncode, done.stdout.decode("utf-8", "replace")


def why(output):
    """What a search says about its finding, in a line."""
    found = re.search(r"panicked at (.*?):\n(.*(?:\n(?!note:|==|thread).*){0,3})", output)
    if found:
        return " ".join((found.group(1) + ": " + found.group(2)).split())[:300]
    found = re.search(r"ERROR: libFuzzer: .*", output)
    return found.group(0) if found else output[-500:]


def search(program, name, longest, seconds):
    """Goes on from the corpus and from what earlier searches reached. Executions, and what was found."""
    reached = WORK / "reached" / name
    findings = WORK / "findings" / name
    reached.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    code, output = run(program, name, reached, unpack(name, WORK / "corpus" / name), f"-max_total_time={seconds}", f"-max_len={longest}",
                       f"-artifact_prefix={findings}/", "-use_value_profile=1", "-print_final_stats=1", bound=seconds + 600)
    executed = re.search(r"stat::number_of_executed_units: *(\d+)", output)
    written = re.search(r"Test unit written to (\S+)", output)
    return code, int(executed.group(1)) if executed else 0, pathlib.Path(written.group(1)) if written else None, output


def search_all(program, wanted, known, seconds, jobs):
    failed = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(search, program, name, known[name], seconds): name for name in wanted}
        for done in concurrent.futures.as_completed(running):
            name = running[done]
            code, executed, found, output = done.result()
            print("%-16s %10d inputs  %s" % (name, executed, "nothing found" if code == 0 else "FOUND"), flush=True)
            if code != 0:
                failed.append(name)
                print("  %s\n  input: %s" % (why(output), escaped(found.read_bytes()) if found else "none"), flush=True)
    if failed:
        sys.exit("a property does not hold: " + ", ".join(sorted(failed)))


def keep(program, name, longest, inputs=()):
    """The smallest set of inputs that reaches what all of them reach; those that stand under a comment stay."""
    explained, _ = corpus(name)
    unpack(name, WORK / "corpus" / name)
    fresh = WORK / "fresh" / name
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for number, data in enumerate(inputs):
        (fresh / ("%05d" % number)).write_bytes(data)
    reached = WORK / "reached" / name
    reached.mkdir(parents=True, exist_ok=True)
    least = WORK / "least" / name
    shutil.rmtree(least, ignore_errors=True)
    least.mkdir(parents=True)
    code, output = run(program, name, "-set_cover_merge=1", f"-max_len={longest}", least, WORK / "corpus" / name, fresh, reached)
    if code != 0:
        sys.exit("%s: %s" % (name, why(output)))
    lines, size = [], 0
    for data in sorted((path.read_bytes() for path in least.iterdir()), key=lambda data: (len(escaped(data)), data)):
        size += len(escaped(data)) + 1
        if size <= LARGEST and data and data[0] != ord("#") and escaped(data) not in explained:
            lines.append(escaped(data))
    text = "".join(line + "\n" for line in explained + sorted(lines))
    (HERE / "corpus" / (name + ".txt")).write_text(text)
    print("%-16s %4d inputs, %d bytes" % (name, len(lines), len(text)), flush=True)


def plant(to):
    """A copy of the proxy with every bug in it, asleep until STANDFAST_PLANTED names one."""
    texts = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "src").rglob("*") if path.is_file()}
    texts |= {path.relative_to(ROOT): path.read_text() for part in ["properties", "src"] for path in (HERE / part).rglob("*.rs")}
    fixture = pathlib.Path("tests/support/fixture.rs")
    for path in [pathlib.Path("Cargo.toml"), pathlib.Path("README.md"), fixture, (HERE / "Cargo.toml").relative_to(ROOT)]:
        texts[path] = (ROOT / path).read_text()
    manifest = pathlib.Path("Cargo.toml")
    texts[manifest] = re.sub(r"^\[\[(bench|test)\]\]\n(.+\n)*", "", texts[manifest], flags=re.M)
    for name, _, file, text, replacement, _ in planted.BUGS:
        path = pathlib.Path("src") / file
        assert "PLANTED" in replacement, name
        if texts[path].count(text) != 1:
            sys.exit(f"{name}: its text stands {texts[path].count(text)} times in {file}, not once")
        texts[path] = texts[path].replace(text, replacement.replace("PLANTED", f'crate::is_planted("{name}")'))
    texts[pathlib.Path("src/lib.rs")] += """
/// Is this the bug that is awake?
pub(crate) fn is_planted(name: &str) -> bool {
    static AWAKE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    AWAKE.get_or_init(|| std::env::var("STANDFAST_PLANTED").ok()).as_deref() == Some(name)
}
"""
    for path in list(to.rglob("*")):
        if path.is_file() and path.relative_to(to) not in texts:
            path.unlink()
    # What is the same stays untouched, so that it is not compiled again.
    for path, text in texts.items():
        if not (to / path).is_file() or (to / path).read_text() != text:
            (to / path).parent.mkdir(parents=True, exist_ok=True)
            (to / path).write_text(text)
    return to / "tests" / "fuzz" / "Cargo.toml"


def find_planted(names):
    known = {bug[0] for bug in planted.BUGS}
    if unknown := set(names) - known:
        sys.exit("no such bug: " + ", ".join(sorted(unknown)))
    program = build(plant(WORK / "planted"))
    longest = targets(program)
    if without := set(longest) - {bug[1] for bug in planted.BUGS}:
        sys.exit("no bug is planted for " + ", ".join(sorted(without)))
    hidden = []
    for name in sorted(longest):
        code, output = run(program, name, unpack(name, WORK / "corpus" / name), "-runs=0")
        if code != 0:
            sys.exit(f"{name} does not keep its properties with all bugs asleep: {why(output)}")
    findings = WORK / "findings" / "planted"
    findings.mkdir(parents=True, exist_ok=True)
    for name, target, *_ in planted.BUGS:
        if names and name not in names:
            continue
        began = time.monotonic()
        # What the corpus holds stays as it is: a bug that it shows is found at once.
        reached = WORK / "reached" / "planted"
        shutil.rmtree(reached, ignore_errors=True)
        reached.mkdir(parents=True)
        arguments = [reached, WORK / "corpus" / target, f"-max_total_time={HIDDEN}", f"-max_len={longest[target]}", "-use_value_profile=1",
                     f"-artifact_prefix={findings}/", "-seed=1", "-print_final_stats=1"]
        code, output = run(program, target, *arguments, bug=name, bound=HIDDEN + 120)
        found = code is not None and code != 0 and ("panicked at" in output or "libFuzzer: timeout" in output)
        by = "by the corpus" if "INITED" not in output else "by searching"
        print("%-40s %-16s %s (%.0f s)" % (name, target, "found " + by if found else "HIDDEN", time.monotonic() - began), flush=True)
        if not found:
            hidden.append(name)
    if hidden:
        sys.exit("not found: " + ", ".join(hidden))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    words = options.words
    if words[:1] == ["planted"]:
        return find_planted(words[1:])
    program = build(HERE / "Cargo.toml")
    known = targets(program)
    command = words.pop(0) if words[:1] and words[0] in ("keep", "add") else "search"
    files = [words.pop() for _ in range(len(words) - 1)] if command == "add" else []
    if unknown := set(words) - set(known):
        sys.exit("no such target: %s; there are %s" % (", ".join(sorted(unknown)), ", ".join(known)))
    if command == "search":
        return search_all(program, words or list(known), known, options.seconds, options.jobs)
    for name in words or list(known):
        keep(program, name, known[name], [pathlib.Path(file).read_bytes() for file in files])


if __name__ == "__main__":
    main()
