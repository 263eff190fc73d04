//! The program in a network namespace whose ways out can be taken away. Needs root and `ip`: without them these tests say that they
//! skip.

use super::*;

/// A namespace with one link to here, and addresses behind it that only its default route leads to.
struct Namespace {
    name: String,
    /// The link's end on this side, where this side's addresses are.
    link: String,
    /// Third octet of its networks.
    number: u8,
}

impl Namespace {
    fn new(number: u8) -> Option<Namespace> {
        let tag = std::process::id() % 10_000;
        let namespace =
            Namespace { name: format!("standfast-{tag}-{number}"), link: format!("sf{tag}{number}"), number };
        let (name, link, far) = (&namespace.name, &namespace.link, format!("{}x", namespace.link));
        let steps = [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name {far} netns {name}"),
            format!("addr add {}/30 dev {link}", namespace.near()),
            format!("addr add {}/32 dev {link}", namespace.behind(1)),
            format!("addr add {}/32 dev {link}", namespace.behind(2)),
            format!("link set {link} up"),
            format!("-n {name} addr add {}/30 dev {far}", namespace.inside()),
            format!("-n {name} link set lo up"),
            format!("-n {name} link set {far} up"),
            format!("-n {name} route add default via {}", namespace.near()),
        ];
        if let Some(step) = steps.iter().find(|step| !ip(step)) {
            eprintln!("skipped: needs a network namespace, and `ip {step}` failed");
            return None;
        }
        Some(namespace)
    }

    fn near(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number, 1)
    }

    fn inside(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number, 2)
    }

    fn behind(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 214, self.number, host)
    }

    fn route(&self, change: &str) {
        assert!(ip(&format!("-n {} route {change}", self.name)), "ip route {change}");
    }

    /// The program in it, with both upstreams behind the link, and the default route it had.
    fn program(&self, service: &str) -> (Upstream, Upstream, Program) {
        let (home, standby) =
            (Upstream::start_at(self.behind(1), "home"), Upstream::start_at(self.behind(2), "standby"));
        let mut program = Program::at(self.inside(), Some(self.name.clone()));
        program.configure(&home, &standby, "", service);
        program.start();
        program.healthy(&home);
        program.healthy(&standby);
        (home, standby, program)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("link del {}", self.link));
        ip(&format!("netns del {}", self.name));
    }
}

fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    output.is_ok_and(|output| output.status.success())
}

/// GETs and POSTs that begin now, each on a connection of its own.
fn requests(program: &Program) -> Vec<thread::JoinHandle<io::Result<(u16, String)>>> {
    let web = (program.host, program.web).into();
    (0..6).map(|n| thread::spawn(move || ask(web, ["GET", "POST"][n % 2], "/"))).collect()
}

fn answers(asking: Vec<thread::JoinHandle<io::Result<(u16, String)>>>) -> Vec<(u16, String)> {
    asking.into_iter().map(|asking| asking.join().unwrap().expect("an answer")).collect()
}

fn assert_unmoved(program: &Program) {
    let status = program.status();
    assert!(status.incidents.is_empty(), "{:?}", status.incidents);
    assert_eq!(status.services[0].active.as_deref(), Some("home"));
    assert!(!program.said().contains("endpoint condemned"), "{}", program.said());
}

#[test]
fn a_moment_without_a_default_route_moves_nothing() {
    let Some(namespace) = Namespace::new(1) else { return };
    let (_home, _standby, program) = namespace.program("");
    for _ in 0..3 {
        namespace.route("del default");
        let asking = requests(&program);
        thread::sleep(Duration::from_millis(30));
        namespace.route(&format!("add default via {}", namespace.near()));
        answers(asking).into_iter().for_each(|answer| assert_eq!(answer, (200, "home".into())));
    }
    assert_unmoved(&program);
}

#[test]
fn seconds_without_a_default_route_move_nothing_and_are_told() {
    let Some(namespace) = Namespace::new(2) else { return };
    let (_home, _standby, program) = namespace.program("hold_requests: 20s");
    namespace.route("del default");
    let asking = requests(&program);
    thread::sleep(Duration::from_secs(3));
    namespace.route(&format!("add default via {}", namespace.near()));
    answers(asking).into_iter().for_each(|answer| assert_eq!(answer, (200, "home".into())));
    eventually("the log tells", || program.said().contains("all pools became unreachable at once").then_some(()));
    assert_unmoved(&program);
}

#[test]
fn where_only_the_route_to_home_is_gone_the_standby_serves() {
    let Some(namespace) = Namespace::new(3) else { return };
    let (_home, _standby, program) = namespace.program("");
    namespace.route(&format!("add unreachable {}", namespace.behind(1)));
    answers(requests(&program)).into_iter().for_each(|answer| assert_eq!(answer, (200, "standby".into())));
    let service = program.active("standby");
    assert_eq!(service.why, Some(SwitchKind::Failover));
    let incident = program.status().incidents.pop().unwrap();
    assert!(incident.evidence[0].detail.contains("no route"), "{incident:?}");
}
