//! A DNS server over UDP that says what a test wants (RFC 1035, written out by hand: nothing in it is the resolver's).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is said about a name.
#[derive(Clone, Debug)]
pub enum Say {
    /// A and AAAA records; those of the other type are "no such records".
    Addresses(u32, Vec<IpAddr>),
    /// SRV records: priority, weight, port, target.
    Services(u32, Vec<(u16, u16, u16, &'static str)>),
    /// The name is an alias (CNAME) for another one, whose addresses come with it.
    Alias(u32, &'static str, Vec<IpAddr>),
    NxDomain,
    ServerFailure,
    /// As the first for A, as the second for everything else.
    ByType(Box<Say>, Box<Say>),
    /// As it says to questions without EDNS; to one with it FORMERR, with the question or (as RFC 1035 has it) the head alone.
    Old(Box<Say>, Formerr),
    Nothing,
    /// No answer at all.
    Silence,
    /// Bytes that are no answer.
    Garbage,
}

/// What a server that knows no EDNS says to it.
#[derive(Clone, Copy, Debug)]
pub enum Formerr {
    WithTheQuestion,
    HeadAlone,
    NotImplemented,
    Silence,
}

/// `Addresses` with this TTL in seconds.
pub fn addresses(ttl: u32, ips: &[&str]) -> Say {
    Say::Addresses(ttl, ips.iter().map(|ip| ip.parse().unwrap()).collect())
}

/// The server; names that it was not told of do not exist.
pub struct Dns {
    pub address: SocketAddr,
    zone: Arc<Mutex<HashMap<String, Say>>>,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    gone: Arc<AtomicBool>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
    }
}

impl Dns {
    pub fn start() -> Dns {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let dns = Dns {
            address: socket.local_addr().unwrap(),
            zone: Arc::default(),
            asked: Arc::default(),
            gone: Arc::default(),
        };
        let (zone, asked, gone) = (dns.zone.clone(), dns.asked.clone(), dns.gone.clone());
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while !gone.load(Ordering::SeqCst) {
                let Ok((size, from)) = socket.recv_from(&mut query) else { continue };
                let Some((name, kind)) = question(&query[..size]) else { continue };
                *asked.lock().unwrap().entry(name.clone()).or_default() += 1;
                let say = zone.lock().unwrap().get(&name).cloned().unwrap_or(Say::NxDomain);
                if let Some(answer) = answer(&query[..size], &name, kind, &say) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        dns
    }

    /// From now on this is said about `name` (complete, without the dot at its end).
    pub fn say(&self, name: &str, say: Say) {
        self.zone.lock().unwrap().insert(name.into(), say);
    }

    /// How often it was asked about this name.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The name in lower case and the type that is asked for.
fn question(query: &[u8]) -> Option<(String, u16)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = query.get(at..at + 2)?;
    Some((labels.join("."), u16::from_be_bytes([kind[0], kind[1]])))
}

fn written(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn record(name: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    for number in [kind, 1] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn of_addresses(name: &[u8], kind: u16, ttl: u32, ips: &[IpAddr]) -> Vec<Vec<u8>> {
    let one = |ip: &IpAddr| match (ip, kind) {
        (IpAddr::V4(ip), A) => Some(record(name, A, ttl, &ip.octets())),
        (IpAddr::V6(ip), AAAA) => Some(record(name, AAAA, ttl, &ip.octets())),
        _ => None,
    };
    ips.iter().filter_map(one).collect()
}

fn answer(query: &[u8], name: &str, kind: u16, say: &Say) -> Option<Vec<u8>> {
    // The name of the question, by a pointer to it.
    let this = [0xc0, 12];
    let (code, records) = match say {
        Say::ByType(a, other) => return answer(query, name, kind, if kind == A { a } else { other }),
        // One additional record: OPT.
        Say::Old(_, formerr) if query[10..12] == [0, 1] => match formerr {
            Formerr::Silence => return None,
            Formerr::HeadAlone => return Some([&query[..2], &[0x81, 0x81], &[0; 8]].concat()),
            Formerr::WithTheQuestion => (1, Vec::new()),
            Formerr::NotImplemented => (4, Vec::new()),
        },
        Say::Old(say, _) => return answer(query, name, kind, say),
        Say::Silence => return None,
        Say::Garbage => return Some(b"\x00\x01garbage, not an answer".to_vec()),
        Say::NxDomain => (3, Vec::new()),
        Say::ServerFailure => (2, Vec::new()),
        Say::Nothing => (0, Vec::new()),
        Say::Addresses(ttl, ips) => (0, of_addresses(&this, kind, *ttl, ips)),
        Say::Alias(ttl, target, ips) => {
            let mut records = vec![record(&this, CNAME, *ttl, &written(target))];
            records.extend(of_addresses(&written(target), kind, *ttl, ips));
            (0, records)
        }
        Say::Services(ttl, services) if kind == SRV => {
            let one = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
                let mut data = Vec::new();
                for number in [*priority, *weight, *port] {
                    data.extend_from_slice(&number.to_be_bytes());
                }
                data.extend_from_slice(&written(target));
                record(&this, SRV, *ttl, &data)
            };
            (0, services.iter().map(one).collect())
        }
        Say::Services(..) => (0, Vec::new()),
    };
    let mut bytes = query[..2].to_vec();
    // A response, recursion desired and available, and the code.
    bytes.extend_from_slice(&[0x81, 0x80 | code]);
    for count in [1, records.len() as u16, 0, 0] {
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    bytes.extend_from_slice(&query[12..12 + written(name).len() + 4]);
    bytes.extend(records.into_iter().flatten());
    Some(bytes)
}
