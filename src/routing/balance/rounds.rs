//! Smooth weighted round robin, written down: one round in which every endpoint stands as often as its weight says, as evenly
//! spread as can be. A pick is a look-up.

/// Longest round (for pools of up to an eighth of it); weights that need a longer one are rounded to it.
const LONGEST: u64 = 8192;

/// One round.
#[derive(Debug)]
pub(super) struct WeightedRounds(Vec<u32>);

impl WeightedRounds {
    /// A round over endpoints of these weights (all at least 1).
    ///
    /// The k-th turn of an endpoint of weight w stands at time (2k + 1) / 2w of the round, so at every moment every
    /// endpoint is within half a turn of its due.
    pub fn new(weights: &[u32]) -> WeightedRounds {
        let turns = turns(weights);
        if turns.iter().all(|turns| *turns == 1) {
            return WeightedRounds((0..weights.len() as u32).collect());
        }
        let mut due: Vec<(u64, u32)> = Vec::with_capacity(turns.iter().sum::<u64>() as usize);
        for (place, turns) in turns.iter().enumerate() {
            due.extend((0..*turns).map(|turn| ((((2 * turn + 1) << 32) / (2 * turns)), place as u32)));
        }
        due.sort_unstable();
        WeightedRounds(due.into_iter().map(|(_, place)| place).collect())
    }

    /// The endpoint at this cursor.
    #[inline]
    pub fn at(&self, cursor: u32) -> u32 {
        match self.0.len() {
            0 => 0,
            length => self.0[cursor as usize % length],
        }
    }

    /// Turns in one round.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Turns a round by weight: divided by their common divisor, and scaled down when the round would be too long.
fn turns(weights: &[u32]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, u64::from(*weight))).max(1);
    let exact: Vec<u64> = weights.iter().map(|weight| (u64::from(*weight) / divisor).max(1)).collect();
    let sum: u64 = exact.iter().sum();
    let longest = LONGEST.max(8 * weights.len() as u64);
    if sum <= longest {
        return exact;
    }
    exact.iter().map(|turns| ((turns * longest + sum / 2) / sum).max(1)).collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
