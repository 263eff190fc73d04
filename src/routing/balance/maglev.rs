//! Consistent hashing by Maglev's permutation table (Eisenbud et al., NSDI 2016), with weights.
//!
//! The table is built over all *configured* endpoints; those that are closed are skipped by a hash chain at the pick. So a
//! change of health moves the keys of the endpoint concerned and no other, and costs no new table; a change of the
//! configuration moves about the share that changes hands.

use std::net::SocketAddr;

use super::hash::{hash_bytes, mix};

/// Primes to choose the table's size from: at least a hundred places an endpoint, so that shares are within about a percent.
const SIZES: [u64; 7] = [251, 1021, 4093, 16_381, 65_537, 262_139, 1_048_573];
/// Marks a place that is not taken yet.
const FREE: u32 = u32::MAX;

/// Which endpoint takes which share of the hashes.
#[derive(Debug)]
pub(super) struct Maglev(Vec<u32>);

/// An endpoint's way through the table.
struct MaglevWalk {
    offset: u64,
    skip: u64,
    step: u64,
    weight: u64,
    credit: u64,
}

impl Maglev {
    /// Over these endpoints, by address: their order does not matter for which one gets which key beyond ties. One of weight 0 gets
    /// none.
    pub fn new(endpoints: impl Iterator<Item = (SocketAddr, u32)>) -> Maglev {
        let endpoints: Vec<_> = endpoints.collect();
        let weighted = endpoints.iter().filter(|(_, weight)| *weight > 0).count();
        if weighted == 0 {
            return Maglev(Vec::new());
        }
        let wanted = 100 * weighted as u64;
        let size = SIZES.into_iter().find(|size| *size >= wanted).unwrap_or(SIZES[SIZES.len() - 1]);
        let heaviest = endpoints.iter().map(|(_, weight)| u64::from(*weight)).max().unwrap_or(1).max(1);
        let mut walks: Vec<MaglevWalk> =
            endpoints.iter().map(|(address, weight)| MaglevWalk::of(*address, *weight, size)).collect();
        let mut table = vec![FREE; size as usize];
        let mut free = size;
        while free > 0 {
            for (place, walk) in walks.iter_mut().enumerate() {
                walk.credit += walk.weight;
                if walk.credit < heaviest {
                    continue;
                }
                walk.credit -= heaviest;
                walk.take(&mut table, place as u32);
                free -= 1;
                if free == 0 {
                    break;
                }
            }
        }
        Maglev(table)
    }

    /// The endpoint that takes this hash.
    #[inline]
    pub fn at(&self, hash: u64) -> Option<u32> {
        let size = self.0.len() as u64;
        (size > 0).then(|| self.0[(hash % size) as usize])
    }

    /// Places in the table.
    #[cfg(test)]
    pub fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

impl MaglevWalk {
    fn of(address: SocketAddr, weight: u32, size: u64) -> MaglevWalk {
        let hash = hash_of(address);
        let (offset, skip) = (hash % size, mix(hash) % (size - 1) + 1);
        MaglevWalk { offset, skip, step: 0, weight: u64::from(weight), credit: 0 }
    }

    /// Takes the next free place on its way. There is one: the size is prime, so the way visits every place.
    fn take(&mut self, table: &mut [u32], who: u32) {
        let size = table.len() as u64;
        for _ in 0..size {
            let place = ((self.offset + self.step * self.skip) % size) as usize;
            self.step += 1;
            if table[place] == FREE {
                table[place] = who;
                return;
            }
        }
    }
}

fn hash_of(address: SocketAddr) -> u64 {
    let port = u64::from(address.port());
    match address.ip() {
        std::net::IpAddr::V4(ip) => mix(hash_bytes(&ip.octets()) ^ port),
        std::net::IpAddr::V6(ip) => mix(hash_bytes(&ip.octets()) ^ port),
    }
}
