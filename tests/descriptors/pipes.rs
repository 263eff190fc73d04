//! The pipes that bulk goes through: there while they hold something, gone when nobody needs them, done without where
//! descriptors are short.

use std::fs::File;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::DescriptorLimit;
use crate::support::plane::yaml;
use crate::support::{Plane, until, within};

const MUCH: usize = 24 << 20;

fn bytes() -> Vec<u8> {
    (0..MUCH).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// Pipes' ends that are open.
fn ends() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").flatten();
    open.filter(|entry| entry.path().read_link().is_ok_and(|to| to.to_string_lossy().starts_with("pipe:"))).count()
}

#[test]
fn pipes_come_and_go() {
    DescriptorLimit::alone(run);
}

async fn run(descriptors: &DescriptorLimit) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plane = Plane::start(&yaml("tcp", &[&[listener.local_addr().unwrap()]], "", ""));
    let before = ends();
    let connected = async || {
        let client = TcpStream::connect(plane.address("web")).await.unwrap();
        (client, within(listener.accept()).await.unwrap().0)
    };
    let pour = |mut upstream: TcpStream| {
        tokio::spawn(async move {
            upstream.write_all(&bytes()).await.unwrap();
            // The other direction ends first.
            let _ = upstream.read(&mut [0]).await;
        })
    };

    // A client that reads nothing leaves its part where it is.
    let (mut client, upstream) = connected().await;
    let pouring = pour(upstream);
    until("a pipe is full", || ends() == before + 2).await;
    let mut came = vec![0; MUCH];
    within(client.read_exact(&mut came)).await.unwrap();
    assert!(came == bytes());
    until("nobody needs it", || ends() == before).await;

    // One that leaves takes it along.
    let (stuck, upstream) = connected().await;
    let cut = tokio::spawn(async move {
        let mut upstream = upstream;
        upstream.write_all(&bytes()).await
    });
    until("a pipe is full", || ends() == before + 2).await;
    stuck.set_zero_linger().unwrap();
    drop(stuck);
    assert!(within(cut).await.unwrap().is_err());
    until("it is closed", || ends() == before).await;

    // Without descriptors bulk is copied.
    let (mut late, upstream) = connected().await;
    descriptors.limit(128);
    let eaten: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let poured = pour(upstream);
    within(late.read_exact(&mut came)).await.unwrap();
    assert!(came == bytes());
    drop(eaten);
    assert_eq!(ends(), before);
    descriptors.restore();
    drop((client, late));
    within(async { tokio::join!(pouring, poured) }).await.0.unwrap();
}
