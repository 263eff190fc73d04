//! Bulk through the proxy on real sockets: what the kernel moves arrives whole, ends as it ended, and is counted.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::plane::{http_yaml, yaml};
use crate::support::{Client, Plane, get, until, within};

const MUCH: usize = 12 << 20;

/// Bytes that are found in no other place.
fn bytes(length: usize, salt: usize) -> Vec<u8> {
    (0..length).map(|n| (n ^ (n >> 8) ^ (n >> 16) ^ salt) as u8).collect()
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A TCP session through a proxy: its client's end and its upstream's.
async fn session() -> (Plane, TcpStream, TcpStream) {
    let (listener, address) = listen().await;
    let plane = Plane::start(&yaml("tcp", &[&[address]], "", ""));
    let client = TcpStream::connect(plane.address("web")).await.unwrap();
    let (upstream, _) = within(listener.accept()).await.unwrap();
    (plane, client, upstream)
}

/// Reads to the end, in pieces, and lets others work between them.
async fn read_slowly(mut from: impl AsyncRead + Unpin, piece: usize) -> Vec<u8> {
    let (mut all, mut space) = (Vec::new(), vec![0; piece]);
    loop {
        match from.read(&mut space).await.unwrap() {
            0 => return all,
            count => all.extend_from_slice(&space[..count]),
        }
        tokio::task::yield_now().await;
    }
}

/// Sends its part while the other's comes.
async fn exchange(stream: TcpStream, part: Vec<u8>, piece: usize) -> Vec<u8> {
    let (read, mut write) = stream.into_split();
    let send = async move {
        write.write_all(&part).await.unwrap();
        write.shutdown().await.unwrap();
    };
    tokio::join!(send, read_slowly(read, piece)).1
}

#[tokio::test]
async fn both_directions_at_once_arrive_whole_at_slow_readers_and_are_counted() {
    let (plane, client, upstream) = session().await;
    let (asked, answered) = within(async {
        tokio::join!(exchange(upstream, bytes(MUCH, 1), 7_001), exchange(client, bytes(MUCH + 333, 2), 30_011))
    })
    .await;
    assert!(asked == bytes(MUCH + 333, 2) && answered == bytes(MUCH, 1));
    let table = plane.published.load();
    let endpoint = &table.services[0].pools[0].endpoints[0].stats;
    until("the session was counted", || endpoint.totals().bytes_in == MUCH as u64).await;
    assert_eq!(endpoint.totals().bytes_out, MUCH as u64 + 333);
}

#[tokio::test]
async fn an_answer_in_bulk_comes_after_the_end_of_a_question_in_bulk() {
    let (_plane, mut client, mut upstream) = session().await;
    within(async {
        let asking = async {
            client.write_all(&bytes(MUCH, 3)).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let ((), asked) = tokio::join!(asking, read_slowly(&mut upstream, 65_536));
        assert!(asked == bytes(MUCH, 3));
        let answering = async {
            upstream.write_all(&bytes(MUCH, 4)).await.unwrap();
            drop(upstream);
        };
        let ((), answered) = tokio::join!(answering, read_slowly(&mut client, 65_536));
        assert!(answered == bytes(MUCH, 4));
    })
    .await;
}

#[tokio::test]
async fn small_talk_goes_on_between_bulk() {
    let (_plane, mut client, mut upstream) = session().await;
    for (turn, length) in [1, MUCH, 1, 40_000, 16_384, 7, MUCH, 1, 1].into_iter().enumerate() {
        within(async {
            client.write_all(b"?").await.unwrap();
            let mut question = [0];
            upstream.read_exact(&mut question).await.unwrap();
            let (sent, mut came) = (bytes(length, turn), vec![0; length]);
            let (written, read) = tokio::join!(upstream.write_all(&sent), client.read_exact(&mut came));
            assert!(written.is_ok() && read.is_ok() && came == sent, "turn {turn}");
        })
        .await;
    }
}

#[tokio::test]
async fn whoever_leaves_in_the_middle_is_told_of_to_the_other_by_a_reset() {
    for client_leaves in [true, false] {
        let (_plane, client, upstream) = session().await;
        let (mut sender, mut leaver) = if client_leaves { (upstream, client) } else { (client, upstream) };
        let sending = tokio::spawn(async move {
            loop {
                if let Err(error) = sender.write_all(&bytes(MUCH, 5)).await {
                    return error.kind();
                }
            }
        });
        let mut some = vec![0; 1 << 20];
        within(leaver.read_exact(&mut some)).await.unwrap();
        assert!(some == bytes(1 << 20, 5));
        leaver.set_zero_linger().unwrap();
        drop(leaver);
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
        assert!(matches!(within(sending).await.unwrap(), ConnectionReset | BrokenPipe));
    }
}

/// Answers every request on every connection with these bytes, then goes on or, where they are not whole, closes.
async fn answering(answer: Vec<u8>, whole: bool) -> SocketAddr {
    let (listener, address) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while stream.read_buf(&mut asked).await.is_ok_and(|count| count > 0) {
                    if asked.ends_with(b"\r\n\r\n") {
                        asked.clear();
                        if stream.write_all(&answer).await.is_err() || !whole {
                            return;
                        }
                    }
                }
            });
        }
    });
    address
}

fn reply(length: usize, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(), body].concat()
}

#[tokio::test]
async fn large_replies_follow_each_other_on_one_connection() {
    let upstream = answering(reply(MUCH, &bytes(MUCH, 6)), true).await;
    let plane = Plane::start(&http_yaml(&[&[upstream]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    for turn in 0..3 {
        let answer = client.ask(get("/", &turn.to_string())).await;
        assert!(answer.status() == 200 && answer.body == bytes(MUCH, 6));
    }
    client.send(get("/", "4")).await;
    client.send(get("/", "5")).await;
    for _ in 0..2 {
        assert!(client.answer().await.expect("a whole answer").body == bytes(MUCH, 6));
    }
}

#[tokio::test]
async fn a_large_reply_that_is_cut_is_not_whole_for_the_client() {
    let upstream = answering(reply(MUCH + 1, &bytes(MUCH, 7)), false).await;
    let plane = Plane::start(&http_yaml(&[&[upstream]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let (came, error) = client.rest().await;
    let body = came.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |end| end + 4);
    assert!(came.len() - body <= MUCH && bytes(MUCH, 7).starts_with(&came[body..]));
    assert_eq!(error, Some(std::io::ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_client_that_leaves_a_large_reply_frees_its_endpoint() {
    let (listener, address) = listen().await;
    let plane = Plane::start(&http_yaml(&[&[address]], ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let (mut upstream, _) = within(listener.accept()).await.unwrap();
    let sending = tokio::spawn(async move {
        let mut asked = [0; 1024];
        let _ = upstream.read(&mut asked).await.unwrap();
        upstream.write_all(&reply(MUCH * 100, &[])).await.unwrap();
        loop {
            if let Err(error) = upstream.write_all(&bytes(MUCH, 8)).await {
                return error.kind();
            }
        }
    });
    let mut some = vec![0; 1 << 20];
    within(client.stream.read_exact(&mut some)).await.unwrap();
    client.stream.set_zero_linger().unwrap();
    drop(client);
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!(matches!(within(sending).await.unwrap(), ConnectionReset | BrokenPipe));
}
