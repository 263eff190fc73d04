//! Weighted random choice in constant time (Vose's alias method).

/// Half of the places keep their own number below a threshold, the rest of their share belongs to an alias.
#[derive(Debug)]
pub(super) struct AliasTable {
    /// Chance of 2³² that a place stands for itself, and which one it stands for otherwise.
    places: Vec<(u64, u32)>,
}

/// A place that only stands for itself.
const CERTAIN: u64 = 1 << 32;

impl AliasTable {
    /// Over these weights (all at least 1).
    pub fn new(weights: &[u32]) -> AliasTable {
        let count = weights.len() as u64;
        let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        // Everything in units where a full place is `total`, so that no rounding happens before the end.
        let mut share: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) * count).collect();
        let mut places: Vec<(u64, u32)> = (0..weights.len()).map(|place| (CERTAIN, place as u32)).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|place| share[*place] < total);
        while let (Some(small), Some(large)) = (poor.pop(), rich.last().copied()) {
            places[small] = (((u128::from(share[small]) << 32) / u128::from(total)) as u64, large as u32);
            share[large] -= total - share[small];
            if share[large] < total {
                rich.pop();
                poor.push(large);
            }
        }
        AliasTable { places }
    }

    /// One draw.
    #[inline]
    pub fn draw(&self, rng: &mut fastrand::Rng) -> u32 {
        if self.places.is_empty() {
            return 0;
        }
        let place = rng.usize(..self.places.len());
        let (chance, alias) = self.places[place];
        if u64::from(rng.u32(..)) < chance { place as u32 } else { alias }
    }

    /// Each endpoint's exact share of the draws.
    #[cfg(test)]
    pub fn shares(&self) -> Vec<f64> {
        let mut shares = vec![0.0; self.places.len()];
        for (place, (chance, alias)) in self.places.iter().enumerate() {
            let own = *chance as f64 / CERTAIN as f64 / self.places.len() as f64;
            shares[place] += own;
            shares[*alias as usize] += 1.0 / self.places.len() as f64 - own;
        }
        shares
    }
}
