#!/usr/bin/env python3
"""Stand-ins for the images that docker/ builds and runs with, where no registry can be reached: made from the files of this
machine's Debian packages and its Rust toolchain, under names of their own (stand-ins.env).

    python3 tests/compose/stand_ins.py              # all of them; needs docker, gcc, cargo, prometheus, prometheus-alertmanager
    python3 tests/compose/stand_ins.py --program F  # the Rust image's cargo hands out F in place of building: minutes less

There is none for Grafana, which Debian does not have.
"""

import argparse
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUST = "standfast-stand-in/rust:1"
PROMETHEUS = "standfast-stand-in/prometheus:1"
ALERTMANAGER = "standfast-stand-in/alertmanager:1"
# What the Dockerfile's commands need, by Debian package; what these depend on comes along.
PACKAGES = ["bash", "dash", "coreutils", "findutils", "sed", "grep", "dpkg", "tar", "gcc", "libc6-dev", "binutils"]
# What the profile-guided build needs beside them: left out where this machine has none.
TRAINING = ["nghttp2-client", "openssl"]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
NOBODY = 65534
# What is made in another way is another image.
SELF = pathlib.Path(__file__).read_text()


def output(*command, **options):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, **options).stdout


class Tree:
    """A file system as a tar, as `docker import` takes it."""

    def __init__(self, sink):
        self.tar = tarfile.open(fileobj=sink, mode="w|")
        self.seen = set()

    def add(self, path, name=None, recursive=False):
        """A file of this machine, at its real place or as `name`."""
        parent, last = os.path.split(path)
        name = (name or os.path.join(os.path.realpath(parent), last)).lstrip("/")
        if name in self.seen:
            return
        self.seen.add(name)
        self.tar.add(path, name, recursive=recursive, filter=owned_by_root)

    def text(self, name, text, mode=0o644):
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.size, entry.mode = len(text.encode()), mode
        self.tar.addfile(entry, io.BytesIO(text.encode()))

    def link(self, name, target):
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self.seen.add(entry.name)
        self.tar.addfile(entry)

    def folder(self, name, owner=0, mode=0o755):
        entry = tarfile.TarInfo(name.lstrip("/"))
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self.tar.addfile(entry)

    def merged_usr(self):
        for name in ["bin", "sbin", "lib", "lib64"]:
            self.folder(f"usr/{name}")
            self.link(name, f"usr/{name}")


def owned_by_root(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def docker_import(tag, key, changes, fill):
    """Makes the image, unless one of the same key is there. Its parts go through a pipe: nothing lies about afterwards."""
    key = hashlib.sha256(repr((key, changes)).encode()).hexdigest()[:16]
    there = subprocess.run(["docker", "image", "inspect", "-f", '{{index .Config.Labels "stand-in"}}', tag],
                           text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()
    if there == key:
        print(f"{tag}: as before")
        return
    changes = [*changes, f"LABEL stand-in={key}"]
    command = ["docker", "import", *(part for change in changes for part in ("-c", change)), "-", tag]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as importing:
        tree = Tree(importing.stdin)
        fill(tree)
        tree.tar.close()
        importing.stdin.close()
    if importing.returncode:
        sys.exit(f"{tag}: docker import failed")
    print(f"{tag}: made")


def packages_with_dependencies():
    found, queue = set(), PACKAGES + TRAINING
    while queue:
        name = queue.pop()
        if name in found:
            continue
        listing = subprocess.run(["dpkg-query", "-W", "-f", "${Status}|${Pre-Depends}, ${Depends}", name],
                                 text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        status, _, depends = listing.partition("|")
        if "ok installed" not in status:
            continue
        found.add(name)
        queue += [re.split(r"[ (:|]", part.strip())[0] for part in depends.split(",") if part.strip()]
    missing = set(PACKAGES) - found
    if missing:
        sys.exit(f"not installed: {', '.join(sorted(missing))}")
    return sorted(found)


def add_packages(tree, packages):
    tree.merged_usr()
    for path in output("dpkg-query", "-L", *packages).splitlines():
        if path.startswith(("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info")):
            continue
        if os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path)):
            tree.add(path)
    tree.link("usr/bin/cc", "gcc")
    tree.add(CERTIFICATES)
    tree.folder("tmp", mode=0o1777)
    tree.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")


def rust(program=None):
    packages = packages_with_dependencies()
    environment = ["ENV PATH=/usr/local/cargo/bin:/usr/local/bin:/usr/bin:/bin"]
    if program:
        target = "target/$(uname -m)-unknown-linux-gnu/release"
        cargo = f"#!/bin/sh\nset -e\nmkdir -p {target}\ncp /program {target}/standfast\n"

        def fill(tree):
            add_packages(tree, packages)
            tree.add(program, "program")
            for name in ["cargo", "cargo-auditable"]:
                tree.text(f"usr/local/cargo/bin/{name}", cargo, 0o755)

        stat = os.stat(program)
        return docker_import(RUST, (packages, stat.st_mtime, stat.st_size, SELF), environment, fill)

    lock = (ROOT / "Cargo.lock").read_text()
    auditable = re.search(r"ARG CARGO_AUDITABLE=(\S+)", (ROOT / "docker/Dockerfile").read_text()).group(1)
    subprocess.run(["cargo", "fetch", "--locked", "--quiet"], cwd=ROOT, check=True)
    if not shutil.which("cargo-auditable"):
        subprocess.run(["cargo", "install", "--locked", "--quiet", "--version", auditable, "cargo-auditable"], check=True)
    sysroot = pathlib.Path(output("rustc", "--print", "sysroot", cwd=ROOT).strip())
    registry = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")) / "registry"
    crates = {f"{name}-{version}.crate" for name, version in
              re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "registry', lock)}

    def fill(tree):
        add_packages(tree, packages)
        tree.add(shutil.which("cargo-auditable"), "usr/local/cargo/bin/cargo-auditable")
        for name in ["cargo", "rustc"]:
            tree.add(sysroot / "bin" / name, f"usr/local/cargo/bin/{name}")
        # Beside bin/, where rustc looks for its libraries.
        for path in sorted((sysroot / "lib").rglob("*")):
            if "/src/" not in str(path) and not path.is_dir():
                tree.add(path, f"usr/local/cargo/{path.relative_to(sysroot)}")
        for path in sorted(registry.glob("index/*/**/*")) + sorted(registry.glob("cache/*/*.crate")):
            if path.is_file() and (path.suffix != ".crate" or path.name in crates):
                tree.add(path, f"usr/local/cargo/registry/{path.relative_to(registry)}")

    key = (packages, lock, auditable, output("rustc", "-vV", cwd=ROOT), SELF)
    return docker_import(RUST, key, [*environment, "ENV CARGO_HOME=/usr/local/cargo CARGO_NET_OFFLINE=true"], fill)


def server(tag, programs, folder, *files):
    """A Go program of a Debian package, as its makers' image has it: under /bin, run by nobody."""
    paths = {name: shutil.which(path) for name, path in programs.items()}
    if None in paths.values():
        sys.exit(f"{tag}: {', '.join(programs.values())} must be installed (Debian: prometheus, prometheus-alertmanager)")

    def fill(tree):
        tree.merged_usr()
        libraries = output("ldd", *paths.values())
        for path in sorted(set(re.findall(r"(/\S+\.so\S*) \(", libraries))):
            tree.add(path)
            tree.add(os.path.realpath(path))
        for name, path in paths.items():
            tree.add(path, f"usr/bin/{name}")
        for path in files:
            tree.add(path)
        tree.add(CERTIFICATES)
        tree.text("etc/passwd", f"nobody:x:{NOBODY}:{NOBODY}:nobody:/home:/bin/false\n")
        tree.text("etc/nsswitch.conf", "hosts: files dns\n")
        tree.folder("tmp", mode=0o1777)
        tree.folder(folder, NOBODY)

    first = next(iter(programs))
    stats = [(path, os.stat(path).st_size) for path in paths.values()]
    changes = ["USER nobody", f'ENTRYPOINT ["/bin/{first}"]', f"VOLUME {folder}", f"WORKDIR {folder}"]
    docker_import(tag, (stats, SELF), changes, fill)


def make(program=None):
    rust(program)
    server(PROMETHEUS, {"prometheus": "prometheus", "promtool": "promtool"}, "/prometheus")
    server(ALERTMANAGER, {"alertmanager": "prometheus-alertmanager", "amtool": "amtool"}, "/alertmanager",
           *map(str, pathlib.Path("/usr/share/prometheus/alertmanager").glob("*.tmpl")))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", help="a static build of Standfast")
    make(arguments.parse_args().program)
