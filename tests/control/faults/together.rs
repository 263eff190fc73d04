//! Services that move together: the example of Jenkins and its agents, before upstreams of the test.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use standfast::decision::{ActCommand, Operational, SwitchKind};

use crate::support::{Behaviour, Client, Instance, Upstream, get, within};

/// A controller's port for agents: it says its name, and waits.
async fn agents_of(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(name.as_bytes()).await;
                let _ = stream.read(&mut [0]).await;
            });
        }
    });
    address
}

/// An agent, and the controller that it has reached.
async fn agent(proxy: &Instance) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(proxy.address("agents")).await.unwrap();
    let mut name = [0; 4];
    within(stream.read_exact(&mut name)).await.unwrap();
    (stream, String::from_utf8(name.to_vec()).unwrap())
}

async fn page(proxy: &Instance) -> String {
    let mut client = Client::connect(proxy.address("page")).await;
    client.ask(get("/login", "1")).await.text().to_owned()
}

/// The example, with the ports of this test.
fn example(jenkins: [SocketAddr; 2], agents: [SocketAddr; 2]) -> String {
    let text = include_str!("../../../config/jenkins-standby.yaml");
    let settings = ["admin:", "state:"];
    let text: String = text
        .lines()
        .filter(|line| !settings.iter().any(|key| line.starts_with(key)))
        .flat_map(|line| [line, "\n"])
        .collect();
    text.replace("10.0.1.20:8080", &jenkins[0].to_string())
        .replace("10.0.2.20:8080", &jenkins[1].to_string())
        .replace("10.0.1.20:50000", &agents[0].to_string())
        .replace("10.0.2.20:50000", &agents[1].to_string())
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("0.0.0.0:50000", "127.0.0.1:0")
        .replace("interval: 2s", "interval: 50ms, fast_interval: 20ms, timeout: 1s")
}

#[tokio::test]
async fn agents_go_where_their_controller_goes() {
    let (mut main, standby) =
        (Upstream::start(Behaviour::ok("main")).await, Upstream::start(Behaviour::ok("else")).await);
    let agents = [agents_of("main").await, agents_of("else").await];
    let mut proxy = Instance::start(&example([main.address, standby.address], agents));
    proxy.serves("jenkins", 0).await;
    proxy.serves("agents", 0).await;
    assert_eq!(page(&proxy).await, "main");
    let (mut before, at) = agent(&proxy).await;
    assert_eq!(at, "main");

    // The controller dies, and its port for agents goes on: an agent that stayed would be lost to the other one.
    main.refuse().await;
    proxy.serves("jenkins", 1).await;
    proxy.serves("agents", 1).await;
    assert!(
        !matches!(within(before.read(&mut [0])).await, Ok(1)),
        "the agent of the controller that was left is cut off"
    );
    assert_eq!((page(&proxy).await, agent(&proxy).await.1), ("else".to_owned(), "else".to_owned()));
    assert_eq!(proxy.news().switches, [SwitchKind::Failover], "one incident for both");

    // Home by an operator's order, both again.
    main.listen_again().await;
    proxy.stand(&[main.address], Operational::Healthy).await;
    proxy.order(ActCommand::Failback { service: "jenkins".into() }).await;
    proxy.serves("agents", 0).await;
    assert_eq!((page(&proxy).await, agent(&proxy).await.1), ("main".to_owned(), "main".to_owned()));
}
