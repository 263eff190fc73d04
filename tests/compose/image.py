"""What the image promises: small, nobody's shell, nobody's root, one place to write to, what it was built from inside."""

import json
import os
import pathlib
import stat
import subprocess
import tarfile
import tempfile
import time
import urllib.request
import zlib

from project import Failure, run

LIMIT = 25_000_000
SHELLS = {"sh", "ash", "bash", "dash", "busybox", "zsh", "ksh", "toybox", "perl", "python3", "apt", "apk"}
WRITABLE = "var/lib/standfast"
USER = 10001


def promise(holds, what):
    if not holds:
        raise Failure(what)


def examine(image, auditable):
    """Judges an image; gives what it found in words."""
    about = json.loads(run("docker", "image", "inspect", image))[0]
    config = about["Config"]
    promise(config["User"] == f"{USER}:{USER}", f"user {config['User']}")
    promise(config["Healthcheck"]["Test"][1:] == ["/usr/local/bin/standfast", "healthcheck"], "the health check")
    promise(list(config["Volumes"]) == [f"/{WRITABLE}"], "volumes")
    labels = config["Labels"]
    promise(all(labels.get(f"org.opencontainers.image.{name}") for name in ["title", "version", "licenses", "revision"]), labels)
    container = run("docker", "create", image).strip()
    try:
        files, program = read(container)
    finally:
        run("docker", "rm", container)
    promise("etc/ssl/certs/ca-certificates.crt" in files, "no CA certificates")
    shells = [name for name in files if os.path.basename(name) in SHELLS]
    promise(not shells, f"shells: {shells}")
    executable = [name for name, entry in files.items() if entry.isfile() and entry.mode & 0o111]
    promise(executable == ["usr/local/bin/standfast"], f"programs: {executable}")
    for name, entry in files.items():
        promise(not entry.mode & (stat.S_ISUID | stat.S_ISGID), f"{name} is set-uid")
        mine = entry.uid != 0 or entry.gid != 0 or (entry.mode & 0o002 and not entry.issym())
        promise(not mine or name.rstrip("/") == WRITABLE, f"{name} can be written to")
    size = about["Size"]
    parts = components(program)
    if auditable:
        promise(size < LIMIT, f"{size} bytes")
        promise({"tokio", "rustls", "aws-lc-sys"} <= set(parts), f"what it was built from: {len(parts)} crates")
    return f"{size / 1e6:.1f} MB, {len(files)} files, user {USER}, {len(parts)} crates named inside ({about['Architecture']})"


def demonstrate(image):
    """`docker run -p … demo` is reached where its port is published; a browser gets a page."""
    flags = ["--detach", "--rm", "--read-only", "--publish", "127.0.0.1::8080"]
    container = run("docker", "run", *flags, image, "demo").strip()
    try:
        address = run("docker", "port", container, "8080").split()[0]
        request = urllib.request.Request(f"http://{address}/", headers={"Accept": "text/html"})
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=2) as answer:
                    page = answer.read().decode()
                promise("answered by <b>north-" in page, page)
                return "its demo answers"
            except OSError:
                time.sleep(0.1)
        raise Failure(f"no answer of the demo at {address}: {run('docker', 'logs', container)}")
    finally:
        run("docker", "kill", container)


def read(container):
    """The image's files but those that Docker itself puts in, and the program."""
    made_by_docker = {"dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", ".dockerenv"}
    with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as exporting:
        with tarfile.open(fileobj=exporting.stdout, mode="r|") as tar:
            files, program = {}, b""
            for entry in tar:
                name = entry.name.rstrip("/")
                if name in made_by_docker or name.startswith(("dev/", "proc/", "sys/")):
                    continue
                files[name] = entry
                if name == "usr/local/bin/standfast":
                    program = tar.extractfile(entry).read()
    return files, program


def components(program):
    """The names of the crates that cargo-auditable has written into the program."""
    with tempfile.TemporaryDirectory() as folder:
        whole, part = pathlib.Path(folder, "program"), pathlib.Path(folder, "part")
        whole.write_bytes(program)
        subprocess.run(["objcopy", "--dump-section", f".dep-v0={part}", whole, "/dev/null"], stderr=subprocess.DEVNULL)
        if not part.exists():
            return []
        return [package["name"] for package in json.loads(zlib.decompress(part.read_bytes()))["packages"]]


def confinement(project, service, user):
    """What the kernel lets a running container's process do."""
    about = project.inspect(service)
    host = about["HostConfig"]
    promise(host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{service}: {host['CapDrop']}")
    promise(not host["Privileged"] and "no-new-privileges:true" in host["SecurityOpt"], f"{service}: privileges")
    promise(host["Memory"] > 0 and host["NanoCpus"] > 0 and host["PidsLimit"] > 0, f"{service}: limits")
    process = pathlib.Path("/proc", str(about["State"]["Pid"]))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    promise(status["Uid"].split() == [str(user)] * 4, f"{service}: runs as {status['Uid'].split()}")
    for name in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"]:
        promise(int(status[name], 16) == 0, f"{service}: {name} {status[name]}")
    promise(status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2", f"{service}: new privileges")
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    root = next(mount for mount in mounts if mount[4] == "/")
    promise("ro" in root[5].split(","), f"{service}: its root file system can be written to")
    # Docker's own: device nodes and shared memory, no files of anybody's; names and addresses, root's.
    own = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
    return [mount[4] for mount in mounts if "rw" in mount[5].split(",") and not mount[4].startswith(own)]
