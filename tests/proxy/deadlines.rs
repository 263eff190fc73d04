//! Deadlines: everybody who makes others wait is given up in time, and the right one is blamed.

use standfast::decision::Failure;

use crate::support::plane::{http_yaml, yaml};
use crate::support::{Behaviour, Client, Plane, Then, Upstream, get, until};

fn failed(plane: &Plane, kind: Failure) -> u64 {
    plane.published.load().services[0].pools[0].endpoints[0].stats.totals().failed[kind as usize]
}

#[tokio::test]
async fn an_upstream_that_stalls_in_its_answer_is_given_up_and_the_client_reset() {
    let upstream = Upstream::start(Behaviour::cut(1_000_000, 100, Then::Stall)).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    timeouts: {body: 200ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    until("it is counted", || failed(&plane, Failure::Timeout) == 1).await;
    until("the upstream was told", || upstream.open() == 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_given_up_and_nobody_else_blamed() {
    let upstream = Upstream::start(Behaviour::ok(&"x".repeat(50_000_000))).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 300ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    until("the exchange is given up", || upstream.requests() == 1 && upstream.open() == 0).await;
    assert_eq!(client.rest().await.1, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(Failure::ALL.iter().map(|kind| failed(&plane, *kind)).sum::<u64>(), 0);
}

#[tokio::test]
async fn an_upstream_that_does_not_take_a_body_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let deaf = tokio::spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        drop(held);
    });
    let plane = Plane::start(&http_yaml(&[&[address]], "    timeouts: {body: 300ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    let body = vec![b'x'; 50_000_000];
    let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head).await;
    let (mut read, mut write) = client.stream.split();
    let mut answer = vec![0; 1024];
    let upload = async {
        let _ = tokio::io::AsyncWriteExt::write_all(&mut write, &body).await;
        std::future::pending::<()>().await;
    };
    let count = tokio::select! {
        () = upload => unreachable!(),
        count = crate::support::within(tokio::io::AsyncReadExt::read(&mut read, &mut answer)) => count.unwrap(),
    };
    assert!(answer[..count].starts_with(b"HTTP/1.1 504"), "{}", String::from_utf8_lossy(&answer[..count]));
    assert_eq!(failed(&plane, Failure::Timeout), 1);
    deaf.abort();
}

#[tokio::test]
async fn a_try_that_takes_too_long_is_made_elsewhere() {
    let hanging = Upstream::start(Behaviour::Hang).await;
    let good = Upstream::start(Behaviour::ok("good")).await;
    let more = "    balance: round_robin\n    retry: {on: [timeout], per_try_timeout: 150ms, budget: 100%}\n";
    let plane = Plane::start(&http_yaml(&[&[hanging.address, good.address]], more));
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..4 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "good");
    }
    assert!(hanging.requests() > 0);
    until("slow exchanges are reset", || hanging.open() == 0).await;
}

#[tokio::test]
async fn an_idle_client_connection_is_closed_in_order() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {idle: 200ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "ok");
    assert_eq!(client.rest().await, (Vec::new(), None));
}

#[tokio::test]
async fn an_idle_upstream_connection_is_closed_in_time() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], "    timeouts: {idle: 200ms}\n"));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.ask(get("/", "1")).await.text(), "ok");
    assert_eq!(upstream.open(), 1);
    until("it is closed", || upstream.open() == 0).await;
    assert_eq!(client.ask(get("/", "2")).await.text(), "ok");
}

#[tokio::test]
async fn a_connection_that_never_asks_is_closed_after_the_header_deadline() {
    let upstream = Upstream::start(Behaviour::ok("ok")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {header: 200ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    assert_eq!(client.rest().await, (Vec::new(), None));
}

/// Sends `piece` every `pause`, until the proxy answers or closes: what came.
async fn drip(client: &mut Client, piece: &[u8], pause: std::time::Duration) -> Vec<u8> {
    let (mut read, mut write) = client.stream.split();
    let mut bytes = Vec::with_capacity(4096);
    let sending = async {
        while tokio::io::AsyncWriteExt::write_all(&mut write, piece).await.is_ok() {
            tokio::time::sleep(pause).await;
        }
        std::future::pending::<()>().await;
    };
    crate::support::within(async {
        tokio::select! {
            () = sending => {}
            _ = tokio::io::AsyncReadExt::read_buf(&mut read, &mut bytes) => {}
        }
    })
    .await;
    bytes
}

const MS: std::time::Duration = std::time::Duration::from_millis(1);

#[tokio::test]
async fn a_body_of_a_byte_now_and_then_is_given_up_after_the_body_timeout() {
    let upstream = Upstream::start(Behaviour::ok("never")).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 500ms}\n", ""));
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let mut client = Client::connect(plane.address("web")).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\n{framing}\r\n\r\n")).await;
        let piece: &[u8] = if framing.starts_with('T') { b"1\r\nx\r\n" } else { b"x" };
        let answer = drip(&mut client, piece, 50 * MS).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 408") && text.contains("Standfast-Cause: request_timeout"), "{text}");
    }
    assert_eq!(Failure::ALL.iter().map(|kind| failed(&plane, *kind)).sum::<u64>(), 0);
    until("the upstream was told", || upstream.open() == 0).await;
}

#[tokio::test]
async fn a_slow_upload_above_the_least_rate_goes_on_for_many_body_timeouts() {
    let upstream = Upstream::start(Behaviour::Echo).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 200ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n").await;
    for _ in 0..50 {
        // At least 600 B/s on a quiet machine, and whatever it is on a busy one: a pause is shorter than the window.
        client.send([b'x'; 60]).await;
        tokio::time::sleep(30 * MS).await;
    }
    assert_eq!(client.answer().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_endpoint_may_send_as_slowly_as_it_likes() {
    let slow = (0..20).fold(Behaviour::Say(Vec::new(), Then::Close), |rest, _| {
        Behaviour::Begin(b"x".to_vec(), Box::new(rest.after(50 * MS)))
    });
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n".to_vec();
    let upstream = Upstream::start(Behaviour::Begin(head, Box::new(slow))).await;
    let more = "    timeouts: {body: 300ms}\n";
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], more, more));
    let mut client = Client::connect(plane.address("web")).await;
    let answer = client.ask(get("/", "1")).await;
    assert_eq!((answer.status(), answer.body.len()), (200, 20));
}

#[tokio::test]
async fn an_endpoint_that_reads_slowly_costs_the_client_none_of_its_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let address = listener.local_addr().unwrap();
    const SIZE: usize = 8_000_000;
    let reading = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut bytes, mut count) = (vec![0; 256 * 1024], 0);
        while count < SIZE {
            let taken = tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap();
            assert!(taken > 0, "cut after {count} bytes");
            count += taken;
            if count < SIZE / 2 {
                tokio::time::sleep(MS).await;
            }
        }
        let answer = crate::support::upstream::response(200, "all of it");
        tokio::io::AsyncWriteExt::write_all(&mut stream, &answer).await.unwrap();
        std::future::pending::<()>().await;
    });
    let plane = Plane::start(&yaml("http", &[&[address]], "    timeouts: {body: 400ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    client.send(vec![b'x'; SIZE]).await;
    assert_eq!(client.answer().await.unwrap().text(), "all of it");
    reading.abort();
}

#[tokio::test]
async fn a_reader_of_a_few_bytes_now_and_then_is_given_up() {
    let upstream = Upstream::start(Behaviour::ok(&"x".repeat(50_000_000))).await;
    let plane = Plane::start(&yaml("http", &[&[upstream.address]], "    timeouts: {body: 500ms}\n", ""));
    let mut client = Client::connect(plane.address("web")).await;
    client.send(get("/", "1")).await;
    let (mut read, _write) = client.stream.split();
    let reading = async {
        let mut byte = [0; 4];
        while tokio::io::AsyncReadExt::read(&mut read, &mut byte).await.is_ok() {
            tokio::time::sleep(20 * MS).await;
        }
    };
    tokio::select! {
        () = crate::support::within(reading) => {}
        () = until("the exchange is given up", || upstream.requests() == 1 && upstream.open() == 0) => {}
    }
    assert_eq!(Failure::ALL.iter().map(|kind| failed(&plane, *kind)).sum::<u64>(), 0);
}

#[tokio::test]
async fn requests_without_the_first_bytes_of_their_bodies_hold_no_permit() {
    let upstream = Upstream::start(Behaviour::ok("here")).await;
    let more = "    limits: {max_connections: 1, max_pending: 0}\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], more));
    let mut waiting = Vec::new();
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        for _ in 0..10 {
            let mut client = Client::connect(plane.address("web")).await;
            client.send(format!("POST / HTTP/1.1\r\nHost: t\r\n{framing}\r\n\r\n")).await;
            waiting.push(client);
        }
    }
    let mut client = Client::connect(plane.address("web")).await;
    for n in 0..20 {
        assert_eq!(client.ask(get("/", &n.to_string())).await.text(), "here");
    }
    until("no permit is in use", || plane.stats("web").limits.in_use() == 0).await;
    // One goes on: its body is what it waited for.
    waiting[0].send("0123456789").await;
    assert_eq!(waiting[0].answer().await.unwrap().text(), "here");
    assert_eq!(upstream.bodies().last().unwrap(), b"0123456789");
}

#[tokio::test]
async fn hundreds_of_clients_that_drip_their_bodies_cost_the_others_nothing() {
    let upstream = Upstream::start(Behaviour::ok("here")).await;
    let more = "    limits: {max_connections: 64, max_pending: 64}\n";
    let plane = Plane::start(&http_yaml(&[&[upstream.address]], more));
    let mut drips = Vec::new();
    for n in 0..200 {
        let mut client = Client::connect(plane.address("web")).await;
        let expect = if n % 4 == 0 { "Expect: 100-continue\r\n" } else { "" };
        client.send(format!("POST / HTTP/1.1\r\nHost: t\r\n{expect}Content-Length: 100000\r\n\r\nx")).await;
        drips.push(client);
    }
    until("half of the permits are theirs", || plane.stats("web").limits.in_use() == 32).await;
    let mut others = Vec::new();
    for _ in 0..16 {
        others.push(Client::connect(plane.address("web")).await);
    }
    for round in 0..5 {
        for (n, other) in others.iter_mut().enumerate() {
            assert_eq!(other.ask(get("/", &format!("{round}-{n}"))).await.status(), 200);
            assert_eq!(other.ask(crate::support::post("/", &format!("{round}-{n}"), "a body")).await.status(), 200);
        }
    }
    // A large one that comes as fast as others send shows that it does, and needs no place among the slow.
    others[0].send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n").await;
    others[0].send(vec![b'y'; 200_000]).await;
    assert_eq!(others[0].answer().await.unwrap().status(), 200);
    until("its permit is back", || plane.stats("web").limits.in_use() == 32).await;
    // When some of them leave, others of them take their places.
    drips.drain(..100);
    until("the next are there", || plane.stats("web").limits.in_use() == 32).await;
    drips.clear();
    until("all are gone", || plane.stats("web").limits.in_use() == 0).await;
}
