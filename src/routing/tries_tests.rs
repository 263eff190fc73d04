//! The retry rule under arbitrary outcomes, arbitrary policies and switches in the middle of a request.

use proptest::prelude::*;

use super::*;
use crate::config::{RetryOn, Service};
use crate::decision::{Admission, Serving};
use crate::routing::fixture::{at, service, state, table};
use crate::routing::{PickState, RoutingTable};

/// One request as it arrives.
#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    body: bool,
    seed: u64,
}

/// A try that sent bytes.
#[derive(Clone, Copy, Debug)]
struct Executed {
    pool: usize,
    how: TryFailure,
    reused: bool,
    trial: bool,
    /// Did its pool serve under the table it was sent on?
    serving: bool,
}

/// How one request went.
#[derive(Debug, Default)]
struct Story {
    executed: Vec<Executed>,
    /// Connects that carried nothing, as (table, endpoint).
    connects: Vec<(usize, EndpointId)>,
    steps: u32,
    /// Was the body too large to be sent again from some try on?
    overflowed_at: Option<usize>,
}

fn policy() -> impl Strategy<Value = Retry> {
    let on = prop_oneof![
        Just(RetryOn { reset: false, timeout: false, statuses: vec![] }),
        Just(RetryOn { reset: true, timeout: false, statuses: vec![] }),
        Just(RetryOn { reset: true, timeout: true, statuses: vec![(503, 503)] }),
    ];
    let cross = prop_oneof![Just(CrossPool::Safe), Just(CrossPool::Idempotent), Just(CrossPool::Never)];
    (0u32..5, on, cross, 0.0f64..2.0).prop_map(|(attempts, on, cross_pool, budget)| Retry {
        attempts,
        on,
        cross_pool,
        budget,
        ..service("s", &[]).retry
    })
}

fn request() -> impl Strategy<Value = Request> {
    let method = prop_oneof![Just("GET"), Just("HEAD"), Just("POST"), Just("PUT"), Just("DELETE"), Just("PATCH")];
    (method, any::<bool>(), any::<u64>()).prop_map(|(method, body, seed)| Request { method, body, seed })
}

/// What the core might say one after the other.
fn tables(service: &Service) -> Vec<RoutingTable> {
    let servings = [Serving::Active(0), Serving::Active(1), Serving::Down, Serving::Starting, Serving::Active(0)];
    let one = |(place, serving): (usize, Serving)| {
        table(service.clone(), |row| {
            row.serving = serving;
            row.pools[0].endpoints[place % 3].admission = Admission::Trial;
            row.pools[1].endpoints[place % 2].admission = Admission::Trial;
        })
    };
    servings.into_iter().enumerate().map(one).collect()
}

/// Plays one request against endpoints that do whatever the generator says.
fn play(retry: &Retry, tables: &[RoutingTable], request: &Request, budget: &Budget, state: &mut PickState) -> Story {
    let mut rng = fastrand::Rng::with_seed(request.seed);
    let (mut now, mut at_table) = (0, rng.usize(..tables.len()));
    let request_class = RequestClass::of(Method::of(request.method.as_bytes()), request.body);
    let mut tries = Tries::new(request_class, at(20_000));
    let mut story = Story::default();
    budget.request(0, at(now));
    loop {
        story.steps += 1;
        let service = &tables[at_table].services[0];
        let next = match service.pick(&tries.want(at(now), request.seed), state) {
            Pick::Static { .. } => return story,
            Pick::Endpoint(choice) => {
                now += tries.backoff(&choice, &mut rng).as_millis() as u64 + rng.u64(..20);
                if rng.u32(..4) == 0 && is_hedged(&mut tries, retry, service, choice, budget, at(now), state) {
                    let serving = service.serves(choice.pool);
                    let pending = TryFailure::Timeout;
                    story.executed.push(Executed {
                        pool: choice.pool,
                        how: pending,
                        reused: false,
                        trial: choice.trial,
                        serving,
                    });
                    continue;
                }
                let ended = outcome(&mut rng, choice, &tries);
                let Some(mut ended) = ended else { return story };
                if rng.u32(..8) == 0 {
                    ended = TryEnd { how: TryFailure::Condemned, sent: true, ..ended };
                }
                ended.replayable = !request.body || story.overflowed_at.is_none() && rng.u32(..8) > 0;
                if ended.sent {
                    story.executed.push(Executed {
                        pool: choice.pool,
                        how: ended.how,
                        reused: ended.reused,
                        trial: choice.trial,
                        serving: service.serves(choice.pool),
                    });
                } else if !ended.reused && ended.how != TryFailure::Local {
                    story.connects.push((at_table, choice.id));
                }
                if !ended.replayable {
                    story.overflowed_at.get_or_insert(story.executed.len());
                }
                match ended.how {
                    TryFailure::Condemned if tries.leave(retry, &ended, budget, at(now)) => RetryDecision::Pick,
                    TryFailure::Condemned => return story,
                    _ => tries.ended(retry, &ended, budget, at(now)),
                }
            }
            nothing => tries.unselected(retry, nothing, service, at(now)),
        };
        match next {
            RetryDecision::Pick => {}
            RetryDecision::GiveUp(_) => return story,
            RetryDecision::Wait { until } | RetryDecision::Queue { until } => {
                let changed = at_table + 1 < tables.len() && rng.bool();
                at_table += usize::from(changed);
                assert!(until > at(now), "a wait that ends before it begins");
                now = (until.as_micros() - at(0).as_micros()) / 1000;
                tries.resumed(changed);
            }
        }
        if rng.u32(..6) == 0 && at_table + 1 < tables.len() {
            at_table += 1;
        }
    }
}

/// Its answer is late: is it asked elsewhere as well?
fn is_hedged(
    tries: &mut Tries,
    retry: &Retry,
    service: &ServiceView,
    pending: PickChoice,
    budget: &Budget,
    now: MonoTime,
    state: &mut PickState,
) -> bool {
    let Some(want) = tries.want_hedge(retry, pending.id, now, now, 1) else { return false };
    let Pick::Endpoint(elsewhere) = service.pick(&want, state) else { return false };
    let hedged = tries.hedge(retry, &pending, now, &elsewhere, budget, now);
    assert!(!hedged || tries.want(now, 1).tried.contains(pending.id), "it may be asked where it waits already");
    hedged
}

/// How a try ends; `None`: with an answer for the client.
fn outcome(rng: &mut fastrand::Rng, choice: PickChoice, tries: &Tries) -> Option<TryEnd> {
    let reused = rng.bool() && !tries.fresh_only();
    let how = match rng.u32(..9) {
        0 if !reused => TryFailure::Refused,
        1 if !reused => TryFailure::ConnectTimeout,
        2 if !reused => TryFailure::Local,
        3 | 4 => TryFailure::Reset,
        5 => TryFailure::Malformed,
        6 => TryFailure::Timeout,
        7 => TryFailure::Status(503),
        8 => TryFailure::Unprocessed,
        _ => return None,
    };
    let connect = matches!(how, TryFailure::Refused | TryFailure::ConnectTimeout | TryFailure::Local);
    let sent = !connect && (how != TryFailure::Reset || rng.u32(..4) > 0);
    Some(TryEnd { choice, how, sent, reused, replayable: true })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn no_request_is_repeated_where_it_must_not_be(
        retry in policy(),
        requests in proptest::collection::vec(request(), 1..12),
    ) {
        let mut service = service("s", &[&[1, 1, 1], &[1, 1]]);
        service.retry = retry.clone();
        let tables = tables(&service);
        let (budget, mut state) = (Budget::new(1), state(1));
        let mut extras = 0;
        for request in &requests {
            let story = play(&retry, &tables, request, &budget, &mut state);
            judge(&retry, request, &story)?;
            extras += story.executed.len().saturating_sub(1);
        }
        prop_assert!(extras as f64 <= retry.budget * requests.len() as f64 + f64::from(Retry::BUDGET_FLOOR), "{extras} extra exchanges");
    }
}

fn judge(retry: &Retry, request: &Request, story: &Story) -> Result<(), TestCaseError> {
    let request_class = RequestClass::of(Method::of(request.method.as_bytes()), request.body);
    let counted: Vec<_> = story.executed.iter().filter(|e| e.how != TryFailure::Unprocessed).collect();
    if !request_class.idempotent() {
        prop_assert!(counted.len() <= 1, "executed twice: {story:?}");
        prop_assert!(counted.first().is_none_or(|first| story.executed.last().map(|last| last.how) == Some(first.how)));
    }
    if let Some(overflowed) = story.overflowed_at {
        prop_assert!(story.executed.len() <= overflowed.max(1), "sent again though not replayable: {story:?}");
    }
    let one_at_a_time = request_class.idempotent() && !request_class.safe && retry.cross_pool != CrossPool::Idempotent;
    if one_at_a_time {
        prop_assert!(counted.windows(2).all(|pair| pair[0].pool == pair[1].pool), "left its pool: {story:?}");
        prop_assert!(counted.iter().rev().skip(1).all(|e| e.how != TryFailure::Timeout), "two at a time: {story:?}");
    }
    let crossed = story.executed.iter().filter(|e| !e.serving && !e.trial).count();
    let may_cross = match retry.cross_pool {
        CrossPool::Safe => request_class.safe(),
        CrossPool::Idempotent => request_class.idempotent(),
        CrossPool::Never => false,
    };
    prop_assert!(crossed == 0 || may_cross, "crossed: {story:?}");
    let trials = story.executed.iter().filter(|e| e.trial).count();
    let stale = story.executed.iter().filter(|e| e.reused && e.how == TryFailure::Reset).count().min(1);
    let most = retry.attempts.max(1) as usize + 1 + trials + stale;
    prop_assert!(story.executed.len() <= most, "{} exchanges: {story:?}", story.executed.len());
    let mut connects = story.connects.clone();
    connects.sort_unstable();
    connects.dedup();
    prop_assert_eq!(connects.len(), story.connects.len(), "one endpoint dialled twice under one table");
    prop_assert!(story.steps < 300, "goes on for ever");
    Ok(())
}

fn refused(choice: PickChoice) -> TryEnd {
    TryEnd { choice, how: TryFailure::Refused, sent: false, reused: false, replayable: true }
}

fn endpoint(pick: Pick) -> PickChoice {
    match pick {
        Pick::Endpoint(choice) => choice,
        other => panic!("{other:?}"),
    }
}

/// Lets every endpoint in scope refuse, and returns what the rule says then, and how many were asked.
fn refuse_all(tries: &mut Tries, table: &RoutingTable, now: MonoTime) -> (RetryDecision, u32) {
    let service = &table.services[0];
    let mut state = state(3);
    for asked in 0.. {
        match service.pick(&tries.want(now, 0), &mut state) {
            Pick::Endpoint(choice) => {
                assert_eq!(
                    tries.ended(&service.config.retry, &refused(choice), &service.stats.budget, now),
                    RetryDecision::Pick
                );
            }
            nothing => return (tries.unselected(&service.config.retry, nothing, service, now), asked),
        }
    }
    unreachable!()
}

#[test]
fn a_post_that_everybody_refused_waits_and_goes_on_after_the_switch() {
    let before = table(service("s", &[&[1, 1], &[1]]), |_| {});
    let after = table(service("s", &[&[1, 1], &[1]]), |row| row.serving = Serving::Active(1));
    let mut tries = Tries::new(RequestClass::of(Method::Post, true), at(30_000));
    let (next, asked) = refuse_all(&mut tries, &before, at(0));
    assert_eq!((next, asked), (RetryDecision::Wait { until: at(1_000) }, 2));
    tries.resumed(true);
    let choice = endpoint(after.services[0].pick(&tries.want(at(60), 0), &mut state(1)));
    assert_eq!(choice.pool, 1);
}

#[test]
fn a_post_that_everybody_refused_does_not_wait_for_ever() {
    let table = table(service("s", &[&[1], &[1]]), |_| {});
    let mut tries = Tries::new(RequestClass::of(Method::Post, true), at(30_000));
    refuse_all(&mut tries, &table, at(0));
    tries.resumed(false);
    assert_eq!(refuse_all(&mut tries, &table, at(1_000)), (RetryDecision::GiveUp(GiveUpReason::Exhausted), 0));
}

#[test]
fn a_post_whose_connect_was_not_answered_waits_until_ours_cannot_be_answered_any_more() {
    let table = table(service("s", &[&[1], &[1]]), |_| {});
    let view = &table.services[0];
    let (mut tries, retry) = (Tries::new(RequestClass::of(Method::Post, true), at(30_000)), &view.config.retry);
    let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state(1)));
    let unanswered = TryEnd { choice, how: TryFailure::ConnectTimeout, sent: false, reused: false, replayable: true };
    assert_eq!(tries.ended(retry, &unanswered, &view.stats.budget, at(0)), RetryDecision::Pick);
    let mut waits = |ms| {
        let nothing = view.pick(&tries.want(at(ms), 0), &mut state(1));
        let next = tries.unselected(retry, nothing, view, at(ms));
        tries.resumed(false);
        next
    };
    assert_eq!(waits(0), RetryDecision::Wait { until: at(1_000) });
    assert_eq!(waits(1_000), RetryDecision::Wait { until: at(1_500) });
    assert_eq!(waits(1_500), RetryDecision::GiveUp(GiveUpReason::Exhausted));
}

#[test]
fn a_get_that_everybody_refused_crosses_before_the_switch() {
    let table = table(service("s", &[&[1, 1], &[1]]), |_| {});
    let mut tries = Tries::new(RequestClass::of(Method::Get, false), at(30_000));
    let (next, asked) = refuse_all(&mut tries, &table, at(0));
    assert_eq!((next, asked), (RetryDecision::Pick, 2));
    assert!(tries.crossing());
    assert_eq!(endpoint(table.services[0].pick(&tries.want(at(0), 0), &mut state(1))).pool, 1);
}

#[test]
fn a_get_without_attempts_left_does_not_wait_for_a_pool_that_is_not_there() {
    let table = table(service("s", &[&[1]]), |_| {});
    let view = &table.services[0];
    let (mut tries, mut state) = (Tries::new(RequestClass::of(Method::Get, false), at(30_000)), state(1));
    for _ in 0..2 {
        let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state));
        let reset = TryEnd { choice, how: TryFailure::Reset, sent: true, reused: false, replayable: true };
        assert_eq!(tries.ended(&view.config.retry, &reset, &view.stats.budget, at(0)), RetryDecision::Pick);
    }
    let nothing = view.pick(&tries.want(at(0), 0), &mut state);
    assert_eq!(
        tries.unselected(&view.config.retry, nothing, view, at(0)),
        RetryDecision::GiveUp(GiveUpReason::Attempts)
    );
}

#[test]
fn the_only_endpoint_is_asked_again_after_a_pause_and_then_the_next_pool() {
    let table = table(service("s", &[&[1], &[1]]), |_| {});
    let view = &table.services[0];
    let (mut tries, mut state) = (Tries::new(RequestClass::of(Method::Get, false), at(30_000)), state(1));
    let mut rng = fastrand::Rng::with_seed(1);
    let unavailable =
        |choice| TryEnd { choice, how: TryFailure::Status(503), sent: true, reused: true, replayable: true };
    for (pool, again) in [(0, false), (0, true), (1, false)] {
        let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state));
        assert_eq!((choice.pool, choice.again), (pool, again));
        let pause = tries.backoff(&choice, &mut rng);
        assert!(if again { pause >= BACKOFF.0 && pause <= BACKOFF.1 } else { pause.is_zero() });
        let next = tries.ended(&view.config.retry, &unavailable(choice), &view.stats.budget, at(0));
        assert_eq!(next, if pool == 1 { RetryDecision::GiveUp(GiveUpReason::Attempts) } else { RetryDecision::Pick });
    }
}

/// Where the tries of a request go that is answered 503 everywhere.
fn ways(method: Method, body: bool, cross_pool: CrossPool, pools: &[&[u32]]) -> Vec<usize> {
    let mut service = service("s", pools);
    service.retry.cross_pool = cross_pool;
    let table = table(service, |_| {});
    let view = &table.services[0];
    let (mut tries, mut state) = (Tries::new(RequestClass::of(method, body), at(30_000)), state(1));
    let mut ways = Vec::new();
    loop {
        let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state));
        if tries.crosses_rather(&view.config.retry, &choice, view) {
            continue;
        }
        ways.push(choice.pool);
        let ended = TryEnd { choice, how: TryFailure::Status(503), sent: true, reused: false, replayable: true };
        if tries.ended(&view.config.retry, &ended, &view.stats.budget, at(0)) != RetryDecision::Pick {
            return ways;
        }
    }
}

#[test]
fn the_one_further_try_leaves_a_pool_that_has_nobody_else() {
    assert_eq!(ways(Method::Get, false, CrossPool::Safe, &[&[1], &[1]]), [0, 1]);
    assert_eq!(ways(Method::Get, false, CrossPool::Safe, &[&[1, 1], &[1]]), [0, 0, 1]);
    assert_eq!(ways(Method::Get, false, CrossPool::Never, &[&[1], &[1]]), [0, 0]);
}

#[test]
fn idempotent_covers_put_and_delete_as_it_says() {
    for (method, body) in [(Method::Put, true), (Method::Delete, false)] {
        assert_eq!(ways(method, body, CrossPool::Idempotent, &[&[1], &[1]]), [0, 1]);
        assert_eq!(ways(method, body, CrossPool::Idempotent, &[&[1, 1], &[1]]), [0, 0, 1]);
        assert_eq!(ways(method, body, CrossPool::Safe, &[&[1, 1], &[1]]), [0, 0]);
    }
    assert_eq!(ways(Method::Post, true, CrossPool::Idempotent, &[&[1], &[1]]), [0]);
}

#[test]
fn a_stale_idle_connection_costs_no_attempt_but_the_next_one_is_fresh() {
    let mut service = service("s", &[&[1]]);
    service.retry.attempts = 1;
    service.retry.cross_pool = CrossPool::Never;
    let table = table(service, |_| {});
    let view = &table.services[0];
    let (mut tries, mut state) = (Tries::new(RequestClass::of(Method::Get, false), at(30_000)), state(1));
    let reset = |choice, reused| TryEnd { choice, how: TryFailure::Reset, sent: true, reused, replayable: true };
    let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state));
    assert_eq!(tries.ended(&view.config.retry, &reset(choice, true), &view.stats.budget, at(0)), RetryDecision::Pick);
    assert!(tries.fresh_only());
    assert_eq!(tries.begins(), Some(RetryReason::Stale));
    let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state));
    assert!(!choice.again, "it was no try of this endpoint");
    let next = tries.ended(&view.config.retry, &reset(choice, false), &view.stats.budget, at(0));
    assert_eq!(next, RetryDecision::GiveUp(GiveUpReason::Attempts));
}

#[test]
fn an_empty_budget_ends_the_retries() {
    let table = table(service("s", &[&[1, 1]]), |_| {});
    let view = &table.services[0];
    let floor = Retry::BUDGET_FLOOR as usize;
    let ends = (0..floor + 7).map(|_| {
        let mut tries = Tries::new(RequestClass::of(Method::Get, false), at(30_000));
        let choice = endpoint(view.pick(&tries.want(at(0), 0), &mut state(1)));
        let reset = TryEnd { choice, how: TryFailure::Reset, sent: true, reused: false, replayable: true };
        tries.ended(&view.config.retry, &reset, &view.stats.budget, at(0))
    });
    let ends: Vec<_> = ends.collect();
    assert!(ends[..floor].iter().all(|end| *end == RetryDecision::Pick));
    assert_eq!(ends[floor..], [RetryDecision::GiveUp(GiveUpReason::Budget); 7]);
}

#[test]
fn a_request_to_a_service_that_is_down_waits_only_as_long_as_configured() {
    let held = |hold_requests, admission| {
        let mut service = service("s", &[&[1]]);
        service.hold_requests = hold_requests;
        let table = table(service, |row| {
            row.serving = Serving::Down;
            row.pools[0].endpoints[0].admission = admission;
        });
        let mut tries = Tries::new(RequestClass::of(Method::Get, false), at(30_000));
        let view = &table.services[0];
        tries.unselected(&view.config.retry, Pick::Down, view, at(0))
    };
    let long = Duration::from_secs(5);
    assert_eq!(held(Duration::ZERO, Admission::Closed), RetryDecision::GiveUp(GiveUpReason::Down));
    assert_eq!(held(long, Admission::Closed), RetryDecision::Wait { until: at(5000) });
    assert_eq!(held(long, Admission::Trial), RetryDecision::Wait { until: at(100) }, "a trial gate may open");
}

#[test]
fn what_we_lack_ourselves_is_waited_for_and_sends_nothing_across() {
    let table = table(service("s", &[&[1, 1], &[1]]), |_| {});
    let view = &table.services[0];
    let (mut tries, mut state) = (Tries::new(RequestClass::of(Method::Get, false), at(30_000)), state(1));
    let (mut now, mut rounds) = (0, 0);
    let end = loop {
        match view.pick(&tries.want(at(now), 0), &mut state) {
            Pick::Endpoint(choice) => {
                assert_eq!(choice.pool, 0, "it left its pool");
                let local = TryEnd { how: TryFailure::Local, ..refused(choice) };
                assert_eq!(tries.ended(&view.config.retry, &local, &view.stats.budget, at(now)), RetryDecision::Pick);
            }
            nothing => match tries.unselected(&view.config.retry, nothing, view, at(now)) {
                RetryDecision::Queue { until } => {
                    now = (until.as_micros() - at(0).as_micros()) / 1000;
                    rounds += 1;
                    tries.resumed(false);
                }
                other => break other,
            },
        }
    };
    assert_eq!(end, RetryDecision::GiveUp(GiveUpReason::Local));
    assert_eq!(u128::from(now), view.config.limits.queue_timeout.as_millis());
    assert!(rounds >= 10, "{rounds}");
    assert!(view.stats.budget.extra(view.config.retry.budget, None, at(now)), "the budget was spent");
}

#[test]
fn methods_are_what_the_rfc_says() {
    for (method, body, safe, idempotent) in [
        ("GET", false, true, true),
        ("GET", true, false, true),
        ("HEAD", false, true, true),
        ("OPTIONS", false, true, true),
        ("PUT", true, false, true),
        ("DELETE", false, false, true),
        ("POST", false, false, false),
        ("PATCH", true, false, false),
        ("get", false, false, false),
        ("PURGE", false, false, false),
    ] {
        let request_class = RequestClass::of(Method::of(method.as_bytes()), body);
        assert_eq!((request_class.safe(), request_class.idempotent()), (safe, idempotent), "{method}");
    }
}
