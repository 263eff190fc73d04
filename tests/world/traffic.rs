//! Requests on the real pure parts of the data plane: pick, epoch check, retry rule, budget, counters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use standfast::config::Name;
use standfast::decision::{Failure, Moment};
use standfast::routing::{
    Choice, Ended, How, InFlight, Nature, Next, Pick, PickState, RoutingTable, ServiceView, Tries,
};

use super::scene::ms;
use super::sim::{Ev, Verdict, World};
use super::upstream::{Course, Mode};

/// A request under way.
struct Request {
    service: Name,
    nature: Nature,
    tries: Tries,
    worker: usize,
    executed: u32,
    state: State,
    /// When its plan comes; an older plan is void.
    due: Moment,
}

enum State {
    /// Waits for a newer table, or until its plan comes.
    Waiting(Moment),
    /// Picked; its first byte goes out when the plan comes, if its view still holds.
    Picked(Arc<ServiceView>, Choice),
    Exchange(Exchange),
}

struct Exchange {
    view: Arc<ServiceView>,
    choice: Choice,
    course: Course,
    reused: bool,
    began: Moment,
    _place: Option<InFlight>,
}

pub struct Traffic {
    pickers: [PickState; 2],
    requests: BTreeMap<u64, Request>,
    next: u64,
    /// When the last requests ended well and badly, by service.
    pub good: BTreeMap<Name, Moment>,
    pub bad: BTreeMap<Name, Moment>,
}

impl Traffic {
    pub fn new(dice: &mut Rng) -> Traffic {
        let mut picker = || PickState::new(Rng::with_seed(dice.u64(..)));
        Traffic {
            pickers: [picker(), picker()],
            requests: BTreeMap::new(),
            next: 0,
            good: BTreeMap::new(),
            bad: BTreeMap::new(),
        }
    }

    /// The process died, and its requests with it.
    pub fn forget(&mut self) {
        self.requests.clear();
    }
}

impl World {
    pub fn arrive(&mut self, service: Name) -> Verdict {
        let pause = ms(10 + self.dice.u64(..60));
        self.plan(pause, Ev::Arrive(service.clone()));
        let Some(view) = self.newest.service(&service).cloned() else { return Ok(()) };
        let nature = match self.dice.u8(..8) {
            0..5 => Nature::of("GET", false),
            5 => Nature::of("PUT", true),
            _ => Nature::of("POST", true),
        };
        let worker = self.dice.usize(..2);
        view.stats.budget.request(worker, self.now);
        let tries = Tries::new(nature, self.now.after(ms(1500)));
        let id = self.traffic.next;
        self.traffic.next += 1;
        let state = State::Waiting(self.now);
        self.traffic.requests.insert(id, Request { service, nature, tries, worker, executed: 0, state, due: self.now });
        self.drive(id)
    }

    /// Pick, or wait, or give up.
    fn drive(&mut self, id: u64) -> Verdict {
        loop {
            let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
            let Some(view) = self.newest.service(&request.service).cloned() else { return self.done(id, false) };
            let retry = view.config.retry.clone();
            let want = request.tries.want(self.now, 0);
            let pick = view.pick(&want, &mut self.traffic.pickers[request.worker]);
            match pick {
                Pick::Endpoint(choice) => {
                    let pause = request.tries.backoff(&choice, &mut self.dice);
                    request.state = State::Picked(view, choice);
                    // the check for an idle connection, or the way to the socket: a publish may come in between
                    let pause = pause + Duration::from_micros(self.dice.u64(..200));
                    self.plan_request(id, pause);
                    return Ok(());
                }
                Pick::Static { .. } => return self.done(id, true),
                nothing => {
                    let next = request.tries.unplaced(&retry, nothing, &view, self.now);
                    if !self.follow(id, next)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What the retry rule says; `true` = pick again now.
    fn follow(&mut self, id: u64, next: Next) -> Result<bool, String> {
        match next {
            Next::Pick => Ok(true),
            Next::Wait { until } | Next::Queue { until } => {
                if let Some(request) = self.traffic.requests.get_mut(&id) {
                    request.state = State::Waiting(until);
                }
                self.plan_request(id, until.since(self.now));
                Ok(false)
            }
            Next::GiveUp(_) => self.done(id, false).map(|()| false),
        }
    }

    fn plan_request(&mut self, id: u64, after: Duration) {
        if let Some(request) = self.traffic.requests.get_mut(&id) {
            request.due = self.now.after(after);
        }
        self.plan(after, Ev::Request(id));
    }

    pub fn request(&mut self, id: u64) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id).filter(|r| r.due <= self.now) else { return Ok(()) };
        match &request.state {
            State::Waiting(until) if *until <= self.now => {
                request.tries.resumed(false);
                self.drive(id)
            }
            State::Waiting(_) => Ok(()), // it waits for something newer
            State::Picked(view, choice) => {
                let (view, choice) = (view.clone(), *choice);
                self.begin(id, view, choice)
            }
            State::Exchange(_) => self.end(id),
        }
    }

    /// Immediately before the first byte: the view must still be the newest one's.
    fn begin(&mut self, id: u64, view: Arc<ServiceView>, choice: Choice) -> Verdict {
        let holds = self.newest.service(&view.config.name).is_some_and(|newest| Arc::ptr_eq(newest, &view));
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let endpoint = view.endpoint(choice.pool, choice.endpoint).ok_or("picked an endpoint that is not there")?;
        let place = endpoint.stats.enter(endpoint.max_connections);
        if !holds || place.is_none() {
            self.coverage.hit("stale try picks again");
            return self.drive(id);
        }
        let crossing = request.tries.crossing();
        self.oracle.tries(&view, &choice, crossing, request.nature.safe(), self.now)?;
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let upstream = self.upstreams[&endpoint.address];
        let mut course = upstream.exchange(&mut self.dice);
        let mut reused = self.dice.u8(..4) == 0 && !request.tries.fresh_only();
        if upstream.mode == Mode::Dead && reused {
            // an idle connection whose reset has not been seen yet
            course = Course { after: ms(1), how: Some(How::Reset), sent: self.dice.bool(), executed: false };
        } else if course.how == Some(How::ConnectTimeout) {
            reused = false;
        }
        request.state = State::Exchange(Exchange { view, choice, course, reused, began: self.now, _place: place });
        self.plan_request(id, course.after);
        Ok(())
    }

    /// The exchange comes to its end, as the upstream is now.
    fn end(&mut self, id: u64) -> Verdict {
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let State::Exchange(exchange) = &mut request.state else { return Ok(()) };
        let endpoint = exchange.view.endpoint(exchange.choice.pool, exchange.choice.endpoint).ok_or("no endpoint")?;
        let mode = self.upstreams[&endpoint.address].mode;
        let mut course = exchange.course;
        if course.sent && mode == Mode::Dead {
            course = Course { how: Some(How::Reset), executed: course.executed && self.dice.bool(), ..course };
        } else if course.sent && mode == Mode::Hang && course.how != Some(How::Timeout) {
            let wait = exchange.began.after(ms(250)).since(self.now);
            exchange.course = Course { how: Some(How::Timeout), executed: self.dice.bool(), ..course };
            self.plan_request(id, wait);
            return Ok(());
        }
        request.executed += u32::from(course.sent && course.executed);
        if request.executed > 1 && !request.nature.idempotent() {
            return Err(format!("request {id}, which is not idempotent, was executed twice"));
        }
        let (stats, worker, choice, view) =
            (endpoint.stats.clone(), request.worker, exchange.choice, exchange.view.clone());
        let (sent, reused, exchange_began) = (course.sent, exchange.reused, exchange.began);
        let Some(how) = course.how else {
            stats.record_good(worker, choice.trial);
            self.counted(false);
            self.first_answer(&view, choice, exchange_began);
            return self.done(id, true);
        };
        let ended = Ended { choice, how, sent, reused, replayable: true };
        if let Some(kind) = failure(&ended) {
            let urgent = stats.record_failure(worker, kind, choice.trial, self.now);
            self.counted(urgent);
        }
        let Some(request) = self.traffic.requests.get_mut(&id) else { return Ok(()) };
        let next = request.tries.ended(&view.config.retry, &ended, &view.stats.budget, self.now);
        if self.follow(id, next)? { self.drive(id) } else { Ok(()) }
    }

    fn first_answer(&mut self, view: &ServiceView, choice: Choice, began: Moment) {
        let Some(newest) = self.newest.service(&view.config.name).cloned() else { return };
        let pool = &view.pools[choice.pool].name;
        let Some(place) = newest.pools.iter().position(|other| other.name == *pool) else { return };
        if newest.answered(place, began, self.now)
            && let Some(awaiting) = &newest.awaiting
        {
            self.plan(ms(1), Ev::Answered(newest.config.name.clone(), awaiting.epoch, self.now));
        }
    }

    fn done(&mut self, id: u64, good: bool) -> Verdict {
        let Some(request) = self.traffic.requests.remove(&id) else { return Ok(()) };
        let list = if good { &mut self.traffic.good } else { &mut self.traffic.bad };
        list.insert(request.service, self.now);
        self.coverage.hit(if good { "request good" } else { "request bad" });
        Ok(())
    }

    /// A newer table is there: who waits picks again.
    pub fn wake_waiting(&mut self, old: &RoutingTable) -> Verdict {
        let waiting = |request: &Request| matches!(request.state, State::Waiting(until) if until > self.now);
        let ids: Vec<u64> = self.traffic.requests.iter().filter(|(_, r)| waiting(r)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(request) = self.traffic.requests.get_mut(&id) else { continue };
            let (was, is) = (old.service(&request.service), self.newest.service(&request.service));
            let anew = match (was, is) {
                (Some(was), Some(is)) => !Arc::ptr_eq(was, is),
                _ => true,
            };
            if anew {
                request.tries.resumed(true);
                self.drive(id)?;
            }
        }
        Ok(())
    }
}

/// How the counters see it; a stale idle connection is nobody's fault.
fn failure(ended: &Ended) -> Option<Failure> {
    match ended.how {
        How::Refused => Some(Failure::Refused),
        How::ConnectTimeout => Some(Failure::ConnectTimeout),
        How::Reset if ended.reused => None,
        How::Reset | How::Handshake => Some(Failure::Reset),
        How::Malformed => Some(Failure::Malformed),
        How::Timeout => Some(Failure::Timeout),
        How::Status(_) => Some(Failure::Gateway),
        How::Local | How::Unprocessed | How::Condemned => None,
    }
}
