#!/usr/bin/env python3
"""The compose project of docker/, built and run for real: containers are stopped, killed and cut off under load, the proxy is
restarted and reloaded, and Prometheus is asked what it saw.

    python3 tests/compose/run.py                  # everything, with the image built from source (minutes)
    python3 tests/compose/run.py --program FILE   # the image made from a static build that is there already
    python3 tests/compose/run.py --required       # no Docker is a failure, not a reason to skip

A static build for --program:
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --target x86_64-unknown-linux-gnu
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import dashboards
import image
import stand_ins
from image import promise
from project import PATIENCE, ROOT, SERVICES, Failure, Load, Project, run, until

BEGUN = time.monotonic()
COUNT = {"passed": 0, "failed": 0}


def say(text):
    print(f"[{time.monotonic() - BEGUN:5.0f} s] {text}", flush=True)


def engine():
    """Is there a Docker engine? One that is installed is started where nobody has."""
    if not shutil.which("docker"):
        return None, "docker is not installed"
    if not (shutil.which("docker-compose") or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0):
        return None, "neither docker compose nor docker-compose is installed"
    answers = lambda: subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    if answers():
        return True, None
    if not shutil.which("dockerd"):
        return None, "no Docker engine answers"
    log = open(pathlib.Path(tempfile.gettempdir(), "standfast-dockerd.log"), "w")
    daemon = subprocess.Popen(["dockerd"], stdout=log, stderr=log)
    try:
        until("the Docker engine answers", lambda: daemon.poll() is not None or answers(), 30)
    except Failure:
        daemon.terminate()
    return (daemon, None) if daemon.poll() is None else (None, f"the Docker engine cannot be started: {log.name}")


def pool(project, name, service="shop"):
    return lambda: project.status(service)["active"] == name


def home(project):
    """Waits for the way home, until it has proven itself (confirm_window), and for Prometheus to have seen it."""
    until("back home", lambda: all(project.status(name)["active"] == "north" and project.status(name)["for_ms"] > 6000
                                   for name in ["shop", "lines"]))
    until("home says Prometheus", lambda: project.value('service:standfast_on_standby:bool{service="shop"}') == 0)
    until("StandfastOnStandby is over", lambda: project.quiet("StandfastOnStandby"))


def it_builds(project, arguments):
    project.compose("build")
    found = image.examine("standfast:test", auditable=not arguments.program)
    return f"{found}; {image.demonstrate('standfast:test')}"


def it_comes_up(project, _):
    project.compose("up", "-d", *SERVICES)
    for service in SERVICES:
        until(f"{service} is healthy", lambda service=service: project.healthy(service))
    promise(project.get("/hello")[1].startswith("hello from north-"), "an answer of north")
    # By name, from inside: what is linked statically can resolve names.
    run("docker", "exec", project.container("standfast"), "/usr/local/bin/standfast", "healthcheck",
        "--admin", "prometheus:9090", "--path", "/-/ready")
    shown = run("docker", "exec", project.container("standfast"), "/usr/local/bin/standfast", "status")
    promise("shop" in shown and "DOWN" not in shown, shown)
    until("Prometheus scrapes", lambda: project.value('up{job="standfast"}') == 1)
    until("at home says Prometheus", lambda: project.value('service:standfast_on_standby:bool{service="shop"}') == 0)
    firing = project.query('ALERTS{alertstate="firing"}')
    promise(not firing, firing)
    return f"{len(SERVICES)} containers, all healthy; no alert"


def it_is_confined(project, _):
    users = {"prometheus": 65534, "alertmanager": 65534}
    writable = {service: image.confinement(project, service, users.get(service, image.USER)) for service in SERVICES}
    promise(writable["standfast"] == ["/var/lib/standfast"], writable["standfast"])
    # The upstreams get the image's volume too; nothing else may be written to.
    promise(all(len(places) <= 1 for places in writable.values()), writable)
    return "no root, no capability, no new privilege, read-only, limited: " + ", ".join(SERVICES)


def a_stopped_pool_costs_nobody_anything(project, _):
    with Load(project.web) as load:
        time.sleep(2)
        project.compose("stop", "north-1", "north-2")
        until("on south", pool(project, "south"))
        promise(project.get()[1].startswith("hello from south-"), "an answer of south")
        until("Prometheus tells", lambda: project.firing("StandfastOnStandby", service="shop", severity="warning"))
        promise(project.value('standfast_service_up{service="shop"}') == 1, "degraded is not down")
        promise(not project.firing("StandfastServiceDown"), "degraded is not down")
    promise(not load.failed("GET") and not load.failed("POST"), load.told())
    rto = until("the recovery time is known", lambda: project.value('standfast_last_recovery_seconds{service="shop"}'))
    with Load(project.web) as back:
        project.compose("start", "north-1", "north-2")
        home(project)
    promise(not back.failed("GET") and not back.failed("POST"), back.told())
    return f"{load.told()}; recovery {rto * 1000:.1f} ms as Prometheus has it; the way home: {back.told()}"


def a_killed_pool_costs_no_safe_request(project, _):
    with Load(project.web) as load:
        time.sleep(2)
        project.compose("kill", "north-1", "north-2")
        until("on south", pool(project, "south"))
        time.sleep(2)
    promise(not load.failed("GET"), load.told())
    promise(set(load.failed("POST")) <= {"502"}, load.failed("POST"))
    until("two failovers, says Prometheus", lambda: project.value('standfast_switches_total{service="shop",kind="failover"}') == 2)
    until("flapping is told", lambda: project.firing("StandfastFlapping", service="shop"))
    recovery = project.value('standfast_last_recovery_seconds{service="shop"}')
    project.compose("start", "north-1", "north-2")
    home(project)
    return f"{load.told()}; recovery {recovery * 1000:.1f} ms"


def a_network_that_is_cut_is_noticed(project, _):
    with Load(project.web, posts=False) as load:
        time.sleep(2)
        project.cut("north-1")
        project.cut("north-2")
        until("on south", pool(project, "south"))
        time.sleep(2)
    promise(not load.failed("GET"), load.told())
    until("Prometheus sees south", lambda: project.value('standfast_pool_active{service="shop",pool="south"}') == 1)
    until("three failovers, says Prometheus",
          lambda: project.value('standfast_switches_total{service="shop",kind="failover"}') == 3)
    recovery = project.value('standfast_last_recovery_seconds{service="shop"}')
    promise(recovery < 5, f"recovery {recovery} s, promised 5 s")
    return f"{load.told()}; recovery {recovery:.2f} s"


def a_restart_forgets_nothing(project, _):
    before = project.value("process_start_time_seconds{job='standfast'}")
    project.compose("restart", "standfast")
    until("ready again", lambda: project.json(project.admin, "/status")["ready"])
    promise(project.status()["active"] == "south", "still on standby after the restart")
    promise(project.get()[1].startswith("hello from south-"), "an answer of south")
    until("Prometheus sees another process", lambda: project.value("process_start_time_seconds{job='standfast'}") > before)
    until("healthy again", lambda: project.healthy("standfast"))
    until("on standby, says Prometheus", lambda: project.value('service:standfast_on_standby:bool{service="shop"}') == 1)
    # What was cut off comes back at another address, if Docker gives it one: others have taken the old ones.
    for other in ("prometheus", "alertmanager"):
        run("docker", "network", "connect", "standfast-test_pools", project.container(other))
    project.mend("north-2")
    project.mend("north-1")
    home(project)
    addresses = {f"{project.address(service)}:8080" for service in ("north-1", "north-2")}
    known = lambda: {e["address"] for e in project.status()["pools"][0]["endpoints"]} == addresses
    until("the names stand for the new addresses", known)
    until("Prometheus has them", lambda: project.value('standfast_dns_addresses{name="north-1:8080"}') == 1)
    for other in ("prometheus", "alertmanager"):
        run("docker", "network", "disconnect", "standfast-test_pools", project.container(other))
    return f"on standby before and after, without DNS; home again when the network was mended, at {', '.join(sorted(addresses))}"


def too_many_switches_freeze_the_way_home(project, _):
    project.compose("kill", "north-1", "north-2")
    until("on south", pool(project, "south"))
    until("frozen is told", lambda: project.firing("StandfastFrozen", service="shop"))
    project.compose("start", "north-1", "north-2")
    until("home is well", lambda: project.status()["pools"][0]["available"])
    return "the fourth failover within ten minutes"


def a_refused_reload_is_told(project, config):
    file = config / "standfast.yaml"
    good = file.read_text()
    file.write_text(good.replace("services:", "services:\n  unused: {pools: []}\n  shop2:"))
    project.compose("kill", "-s", "HUP", "standfast")
    until("told", lambda: project.firing("StandfastConfigReloadFailed"))
    promise(project.get()[0] == 200, "the configuration of before serves")
    file.write_text(good)
    project.compose("kill", "-s", "HUP", "standfast")
    until("accepted", lambda: project.value("standfast_config_last_reload_successful") == 1)
    return "and the next one accepted"


def when_all_is_down_there_is_the_page(project, _):
    project.compose("stop", "south-1", "south-2", "north-1", "north-2")
    until("the page", lambda: project.get() == (503, "Both pools are down. Back soon.\n"))
    until("told", lambda: project.firing("StandfastAllPoolsDown", service="shop", severity="critical"))
    until("a service without a page is down", lambda: project.firing("StandfastServiceDown", service="lines"))
    until("and a page is no service", lambda: project.firing("StandfastServiceDown", service="shop"))
    project.compose("start", "north-1", "north-2")
    until("served again", lambda: project.get()[0] == 200)
    until("all-down is over", lambda: project.quiet("StandfastAllPoolsDown"))
    return "503 with the page; served again when a pool was back"


def a_standby_that_is_away_is_told(project, _):
    until("home", pool(project, "north"))
    until("told", lambda: project.firing("StandfastStandbyUnhealthy", service="shop", pool="south"))
    project.compose("start", "south-1", "south-2")
    until("over", lambda: project.quiet("StandfastStandbyUnhealthy"))
    return "while home serves"


def dashboards_show_what_is_there(project, _):
    return dashboards.live(project)


STEPS = [it_builds, it_comes_up, it_is_confined, a_stopped_pool_costs_nobody_anything, a_killed_pool_costs_no_safe_request,
         a_network_that_is_cut_is_noticed, a_restart_forgets_nothing, too_many_switches_freeze_the_way_home,
         a_refused_reload_is_told, when_all_is_down_there_is_the_page, a_standby_that_is_away_is_told,
         dashboards_show_what_is_there]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", help="a static build of Standfast, in place of building in the image")
    parser.add_argument("--required", action="store_true", help="no Docker is a failure")
    parser.add_argument("--keep", action="store_true", help="leave the containers running")
    arguments = parser.parse_args()
    docker, reason = engine()
    if not docker:
        print(f"SKIPPED: {reason}; the compose project has not been run")
        return 1 if arguments.required else 0
    stand_ins.make(arguments.program)
    with tempfile.TemporaryDirectory(prefix="standfast-compose-") as folder:
        config = pathlib.Path(folder, "standfast")
        shutil.copytree(ROOT / "docker/standfast", config)
        for path in [pathlib.Path(folder), config]:
            path.chmod(0o755)
        project = Project(config)
        say(f"with {' '.join(project.tool)}")
        try:
            project.compose("down", "-v", "--remove-orphans")
            for step in STEPS:
                told = step(project, config if step is a_refused_reload_is_told else arguments)
                COUNT["passed"] += 1
                say(f"ok  {step.__name__.replace('_', ' ')}: {told}")
        except (Failure, OSError) as failure:
            COUNT["failed"] += 1
            say(f"FAILED  {step.__name__.replace('_', ' ')}: {failure}")
            print(project.compose("logs", "--tail", "60", "standfast"))
        finally:
            if not arguments.keep:
                project.compose("down", "-v")
            if isinstance(docker, subprocess.Popen):
                docker.terminate()
                docker.wait(PATIENCE)
    print(f"{COUNT['passed']} passed, {COUNT['failed']} failed")
    return 1 if COUNT["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
