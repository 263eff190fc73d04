//! Service → endpoint: one pure pick on the published table.

use super::balance::{PickDraw, mix};
use super::table::{EndpointView, PoolView, ServiceView};
use super::tried::TriedEndpoints;
use crate::decision::{EndpointId, Serving};
use crate::time::MonoTime;

/// What a try wants.
#[derive(Clone, Copy, Debug)]
pub struct PickRequest<'a> {
    /// The time.
    pub now: MonoTime,
    /// A safe request without body (GET, HEAD, OPTIONS): it may take trials before the normal pick.
    pub safe: bool,
    /// May this pick be a trial at all? (A request's first try; with the service down, any. Beside a pool that serves, trials
    /// are rarer while half of the retry budget is used, since a failed one needs an extra attempt.)
    pub trial: bool,
    /// For `hash` balancing: [`hash_bytes`](super::balance::hash_bytes) of the client address, or of the value that the service names.
    pub hash: u64,
    /// The endpoints that this request has tried.
    pub tried: &'a TriedEndpoints,
    /// Endpoints that fail what it asks for: asked only where no other endpoint is left.
    pub avoided: &'a [EndpointId],
    /// Where to look.
    pub scope: PickScope,
    /// Has it waited for a verdict on suspected endpoints for long enough?
    pub bold: bool,
}

impl PickRequest<'_> {
    #[inline]
    fn avoids(&self, endpoint: &EndpointView) -> bool {
        self.avoided.contains(&endpoint.id)
    }
}

/// Where a try may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickScope {
    /// Where the newest table says.
    Serving,
    /// Only the pool that holds this endpoint, and only while that pool serves.
    PoolOf(EndpointId),
    /// The next available pool after the one that holds this endpoint, though it does not serve (a try across pools before
    /// a switch; in `active_active`, another pool that serves).
    Beyond(EndpointId),
    /// For a request that waits for this endpoint's answer: another endpoint of its pool that nothing is suspected of and that
    /// was heard since, else (if it may leave the pool) the pool beyond.
    Beside {
        /// The endpoint that has not answered.
        endpoint: EndpointId,
        /// Since when it has been waited for.
        since: MonoTime,
        /// May it leave the pool?
        across: bool,
    },
}

/// Where a try goes: places in the [`ServiceView`] that was asked, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PickChoice {
    /// Index in [`ServiceView::pools`].
    pub pool: usize,
    /// Index in [`PoolView::endpoints`].
    pub endpoint: usize,
    /// Its identity.
    pub id: EndpointId,
    /// Its outcome decides over an endpoint on trial; a failure does not count against the request.
    pub trial: bool,
    /// The request has tried this endpoint before and no other is left: back off first.
    pub again: bool,
}

/// The answer to a [`PickRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This endpoint. Take a place in flight ([`EndpointStats::enter`](super::EndpointStats::enter)); if it has just filled
    /// up, pick again.
    Endpoint(PickChoice),
    /// An answer of our own: [`PoolView::static_response`] of this pool.
    Static {
        /// Index in [`ServiceView::pools`].
        pool: usize,
    },
    /// The first choice has not been made: wait for a newer table (≤ 1 s).
    Wait,
    /// No pool serves and no trial is open: 503 at once, or hold (`hold_requests`).
    Down,
    /// Endpoints serve, but this request has been refused by all of them (or none is in its scope).
    Exhausted,
    /// Endpoints that this request may ask are left, but each has `max_connections` in use.
    Full,
    /// All of the pool is suspected, another pool could take over, and the request could not be saved where it went: wait for
    /// the verdict.
    Suspected,
}

/// What a worker keeps between picks: a random number generator, and a cursor for each pool (started at a random place, so that
/// workers do not walk in step). In the simulated world it is seeded.
#[derive(Debug)]
pub struct PickState {
    /// The worker's random number generator.
    pub rng: fastrand::Rng,
    cursors: Vec<u32>,
}

impl PickState {
    /// With this generator.
    pub fn new(rng: fastrand::Rng) -> PickState {
        PickState { rng, cursors: Vec::new() }
    }

    fn cursor(&mut self, slot: usize) -> (&mut u32, &mut fastrand::Rng) {
        while self.cursors.len() <= slot {
            self.cursors.push(self.rng.u32(..));
        }
        (&mut self.cursors[slot], &mut self.rng)
    }
}

/// Proposals of the balancing method before the open endpoints are walked one by one …
const PROPOSALS: u32 = 12;
/// … the first of which are not accepted for an endpoint that is shunned.
const PREFERRED: u32 = 6;

impl ServiceView {
    /// Picks an endpoint. Allocates nothing.
    pub fn pick(&self, want: &PickRequest<'_>, state: &mut PickState) -> Pick {
        match (want.scope, &self.serving) {
            (_, Serving::Starting) => Pick::Wait,
            (PickScope::Beside { .. }, Serving::Down) => Pick::Exhausted,
            (PickScope::Beside { endpoint, since, across }, _) => {
                self.pick_beside(endpoint, since, across, want, state)
            }
            (PickScope::Serving | PickScope::Beyond(_), Serving::Down) => {
                self.pick_trial(want, true, state).unwrap_or(Pick::Down)
            }
            (PickScope::PoolOf(endpoint), Serving::Down) => {
                self.pool_of(endpoint).and_then(|pool| self.trial_in(pool, want, true, state)).unwrap_or(Pick::Down)
            }
            (PickScope::Serving, Serving::Active(pool)) => self.pick_in(*pool, want, state),
            (PickScope::Serving, Serving::Shared(shares)) => self.pick_shared(shares, want, state),
            (PickScope::PoolOf(endpoint), _) => match self.pool_of(endpoint).filter(|pool| self.serves(*pool)) {
                Some(pool) => self.pick_in(pool, want, state),
                None => Pick::Exhausted,
            },
            (PickScope::Beyond(endpoint), _) => match self.beyond(endpoint) {
                Some(pool) => self.pick_in(pool, want, state),
                None => Pick::Exhausted,
            },
        }
    }

    fn pick_beside(
        &self,
        endpoint: EndpointId,
        since: MonoTime,
        across: bool,
        want: &PickRequest<'_>,
        state: &mut PickState,
    ) -> Pick {
        let now = want.now;
        let lively = |view: &EndpointView| {
            view.id != endpoint && !want.avoids(view) && !view.suspected && view.stats.is_lively(since, now)
        };
        let home = self.pool_of(endpoint).filter(|pool| self.serves(*pool));
        let beyond = if across { self.beyond(endpoint) } else { None };
        let pools = home.into_iter().chain(beyond);
        let mut picks = pools.map(|pool| self.pick_open(pool, &self.pools[pool], want, lively, state));
        let answers = |pick: &Pick| {
            let Pick::Endpoint(choice) = pick else { return false };
            !choice.again && self.endpoint(choice.pool, choice.endpoint).is_some_and(lively)
        };
        picks.find(answers).unwrap_or(Pick::Exhausted)
    }

    /// Could another pool take over from this one?
    fn has_relief(&self, pool: usize) -> bool {
        self.pools.iter().any(|other| other.index != pool && other.available)
    }

    /// The pool that a try across pools goes to: in `active_passive` the next available one in order of priority, else the
    /// first; in `active_active` the next that serves.
    pub fn beyond(&self, endpoint: EndpointId) -> Option<usize> {
        let here = self.pool_of(endpoint);
        let shared = matches!(self.serving, Serving::Shared(_));
        let fits = |pool: &usize| Some(*pool) != here && self.pools[*pool].available && (!shared || self.serves(*pool));
        let after = here.map_or(0, |here| here + 1);
        (after..self.pools.len()).chain(0..after.min(self.pools.len())).find(fits)
    }

    /// Any endpoint whose trial gate opens, home pool first.
    fn pick_trial(&self, want: &PickRequest<'_>, eager: bool, state: &mut PickState) -> Option<Pick> {
        (0..self.pools.len()).find_map(|pool| self.trial_in(pool, want, eager, state))
    }

    fn trial_in(&self, pool: usize, want: &PickRequest<'_>, eager: bool, state: &mut PickState) -> Option<Pick> {
        let view = &self.pools[pool];
        let count = view.trials.len();
        if count == 0 {
            return None;
        }
        let start = state.rng.usize(..count);
        (0..count).map(|step| view.trials[(start + step) % count] as usize).find_map(|place| {
            let endpoint = &view.endpoints[place];
            let passes = !want.tried.contains(endpoint.id)
                && has_room(endpoint)
                && endpoint.stats.open_trial(want.safe, eager, want.now);
            passes.then(|| Pick::Endpoint(choice(pool, place, endpoint, true, false)))
        })
    }

    fn pick_shared(&self, shares: &[u32], want: &PickRequest<'_>, state: &mut PickState) -> Pick {
        let total: u64 = shares.iter().map(|share| u64::from(*share)).sum();
        if total == 0 {
            return Pick::Down;
        }
        // Under hash balancing a key belongs to a pool as well as to an endpoint.
        let by_hash = self.pools.iter().any(|pool| pool.balancer.by_hash());
        let mut at = if by_hash { mix(want.hash ^ SHARE_SALT) % total } else { state.rng.u64(..total) };
        let drawn = shares.iter().position(|share| match at.checked_sub(u64::from(*share)) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let first = drawn.unwrap_or(0);
        let others = (0..shares.len()).filter(|pool| *pool != first && shares[*pool] > 0);
        let mut best = Pick::Exhausted;
        let mut repeat = None;
        for pool in std::iter::once(first).chain(others) {
            match self.pick_in(pool, want, state) {
                Pick::Endpoint(choice) if choice.again => repeat = repeat.or(Some(Pick::Endpoint(choice))),
                found @ (Pick::Endpoint(_) | Pick::Static { .. }) => return found,
                Pick::Full => best = Pick::Full,
                Pick::Suspected if best == Pick::Exhausted => best = Pick::Suspected,
                _ => {}
            }
        }
        repeat.unwrap_or(best)
    }

    fn pick_in(&self, pool: usize, want: &PickRequest<'_>, state: &mut PickState) -> Pick {
        let Some(view) = self.pools.get(pool) else { return Pick::Exhausted };
        // The core opens trials only where they are due: in a pool that serves, or in one that the service is about to come
        // home to.
        if want.safe && want.trial && self.serves(pool) && self.pools.iter().any(|pool| !pool.trials.is_empty()) {
            let eager = self.stats.budget.half_free(self.config.retry.budget, want.now);
            if let Some(trial) = self.pick_trial(want, eager, state) {
                return trial;
            }
        }
        if view.static_response().is_some() {
            return Pick::Static { pool };
        }
        if view.balancer.len() == 0 {
            // The core is about to judge; until then any request may be a trial.
            return self.trial_in(pool, want, true, state).unwrap_or(Pick::Exhausted);
        }
        if view.suspected && !want.safe && !want.bold && self.serves(pool) && self.has_relief(pool) {
            return Pick::Suspected;
        }
        self.pick_open(pool, view, want, |endpoint| view.suspected || !endpoint.suspected, state)
    }

    /// Any open endpoint of the pool; of those that are not `fit`, or fail what is asked for, only if no other is left.
    #[inline]
    fn pick_open(
        &self,
        pool: usize,
        view: &PoolView,
        want: &PickRequest<'_>,
        fit: impl Fn(&EndpointView) -> bool + Copy,
        state: &mut PickState,
    ) -> Pick {
        match want.avoided {
            [] => self.pick_fit(pool, view, want, fit, state),
            _ => self.pick_avoiding(pool, view, want, fit, state),
        }
    }

    #[cold]
    fn pick_avoiding(
        &self,
        pool: usize,
        view: &PoolView,
        want: &PickRequest<'_>,
        fit: impl Fn(&EndpointView) -> bool + Copy,
        state: &mut PickState,
    ) -> Pick {
        let better = |endpoint: &EndpointView| fit(endpoint) && !want.avoids(endpoint);
        match self.pick_fit(pool, view, want, better, state) {
            Pick::Endpoint(choice) if !choice.again && better(&view.endpoints[choice.endpoint]) => {
                Pick::Endpoint(choice)
            }
            _ => self.pick_fit(pool, view, want, fit, state),
        }
    }

    /// Any open endpoint of the pool; of those that are not `fit` only if no other is left.
    #[inline(always)]
    fn pick_fit(
        &self,
        pool: usize,
        view: &PoolView,
        want: &PickRequest<'_>,
        fit: impl Fn(&EndpointView) -> bool,
        state: &mut PickState,
    ) -> Pick {
        if view.balancer.len() == 0 {
            return Pick::Exhausted;
        }
        let (cursor, rng) = state.cursor(view.slot);
        let mut draw = PickDraw { cursor, rng, hash: want.hash };
        for attempt in 0..PROPOSALS {
            let Some(place) = view.balancer.propose(&view.endpoints, &mut draw, attempt) else { continue };
            let endpoint = &view.endpoints[place as usize];
            let usable = !want.tried.contains(endpoint.id) && has_room(endpoint) && fit(endpoint);
            if usable
                && (attempt >= PREFERRED || !view.shuns(endpoint, want.now))
                && self.warm_enough(view, endpoint, attempt, want, draw.rng)
            {
                return Pick::Endpoint(choice(pool, place as usize, endpoint, false, false));
            }
        }
        self.walk_open(pool, view, want, fit, draw.rng)
    }

    /// Nothing proposed would do: any untried endpoint with room, a fit one that is not shunned first, then a fit one, else the
    /// one asked longest ago that did answer.
    fn walk_open(
        &self,
        pool: usize,
        view: &PoolView,
        want: &PickRequest<'_>,
        fit: impl Fn(&EndpointView) -> bool,
        rng: &mut fastrand::Rng,
    ) -> Pick {
        let open = view.balancer.open();
        let start = rng.usize(..open.len());
        let places = || (0..open.len()).map(|step| open[(start + step) % open.len()] as usize);
        let mut full = false;
        let mut second: [Option<usize>; 2] = [None; 2];
        let mut repeat: Option<(usize, usize)> = None;
        for place in places() {
            let endpoint = &view.endpoints[place];
            match (want.tried.order(endpoint.id), has_room(endpoint)) {
                (None, true) => {
                    let rank = usize::from(!fit(endpoint));
                    if rank == 0 && !view.shuns(endpoint, want.now) {
                        return Pick::Endpoint(choice(pool, place, endpoint, false, false));
                    }
                    second[rank] = second[rank].or(Some(place));
                }
                (Some(_), _) if want.tried.refused(endpoint.id) => {}
                (Some(order), true) if repeat.is_none_or(|(_, oldest)| order < oldest) => repeat = Some((place, order)),
                (Some(_), true) => {}
                (_, false) => full = true,
            }
        }
        match (second[0].or(second[1]), repeat) {
            (Some(place), _) => Pick::Endpoint(choice(pool, place, &view.endpoints[place], false, false)),
            (None, Some((place, _))) => Pick::Endpoint(choice(pool, place, &view.endpoints[place], false, true)),
            (None, None) if full => Pick::Full,
            (None, None) => Pick::Exhausted,
        }
    }

    /// Slow start: an endpoint that joined a serving pool accepts a growing share of what is proposed to it, from a tenth to
    /// all. By hash, the share of keys grows, so that no key goes back and forth.
    fn warm_enough(
        &self,
        view: &PoolView,
        endpoint: &EndpointView,
        attempt: u32,
        want: &PickRequest<'_>,
        rng: &mut fastrand::Rng,
    ) -> bool {
        let Some(joined) = endpoint.joined else { return true };
        let whole = self.config.slow_start.as_micros() as u64;
        let passed = want.now.since(joined).as_micros() as u64;
        if passed >= whole {
            return true;
        }
        let accepted = (passed * 1000 / whole).max(100);
        let drawn = if view.balancer.by_hash() {
            mix(want.hash ^ WARM_SALT ^ u64::from(attempt)) % 1000
        } else {
            rng.u64(..1000)
        };
        drawn < accepted
    }
}

impl PoolView {
    /// A recently slow endpoint gets 1/8 of its share while there are others. (A key stays where it is.)
    fn shuns(&self, endpoint: &EndpointView, now: MonoTime) -> bool {
        endpoint.stats.is_doubtful(now) && !self.balancer.by_hash() && !mix(now.as_micros()).is_multiple_of(8)
    }
}

/// Keeps the choice of a pool, and the slow start, independent of the choice of an endpoint by the same hash.
const SHARE_SALT: u64 = 0x5368_6172_6500_0001;
const WARM_SALT: u64 = 0x5761_726d_0000_0001;

fn has_room(endpoint: &EndpointView) -> bool {
    endpoint.max_connections.is_none_or(|max| endpoint.stats.in_flight() < max)
}

fn choice(pool: usize, place: usize, endpoint: &EndpointView, trial: bool, again: bool) -> PickChoice {
    PickChoice { pool, endpoint: place, id: endpoint.id, trial, again }
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
