//! The demo for machines: the first pool crashes and returns under load; a report and an exit code tell what that cost.

use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, sleep};

use super::load::{self, LoadPlan};
use super::report::ScriptReport;
use super::{Demo, POOLS, SHOP, UpstreamBehaviour, fail, tell};
use crate::signals::Signals;

/// Longest wait for a failover or a failback.
const PATIENCE: Duration = Duration::from_secs(30);
/// A quarter of the requests are POSTs.
const PLAN: LoadPlan = LoadPlan { rate: 400, post_every: 4, missed: MissedTickBehavior::Burst };

/// Runs the script. A signal to stop ends it before its end, which is a failure.
pub async fn run(demo: Demo, signals: &mut Signals) -> ExitCode {
    let passed = tokio::select! {
        biased;
        signal = signals.end() => Err(format!("stopped by {signal} before the script's end")),
        passed = perform(&demo) => passed,
    };
    demo.server.stop(signals).await;
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => fail(&problem),
    }
}

/// Whether all went well.
async fn perform(demo: &Demo) -> Result<bool, String> {
    let [north, south] = POOLS;
    let mut report = ScriptReport::default();
    if !serves(demo, north).await {
        return Err(format!("{north} did not become healthy"));
    }
    let rate = PLAN.rate;
    tell(&format!("load: {rate} requests/s on http://{}, a quarter of them POSTs, no client-side retry", demo.http));
    let (stop, stopped) = watch::channel(false);
    let (outcome, mut outcomes) = mpsc::channel(load::QUEUE);
    let collected = tokio::spawn(async move {
        let mut collected = Vec::new();
        while let Some(outcome) = outcomes.recv().await {
            collected.push(outcome);
        }
        collected
    });
    let load = tokio::spawn(load::run(demo.reachable(), PLAN, stopped, outcome));
    sleep(Duration::from_secs(2)).await;

    tell(&format!("{north} crashes (as after kill -9): {south} must take over"));
    demo.upstreams.become_all(north, UpstreamBehaviour::Crashed);
    if serves(demo, south).await {
        sleep(Duration::from_secs(2)).await;
        report.rto = last_rto(demo).await;
    }

    tell(&format!("{north} is back: failback follows after its hold-down"));
    let revived = Instant::now();
    demo.upstreams.become_all(north, UpstreamBehaviour::Running);
    if report.rto.is_some() && serves(demo, north).await {
        report.failback = Some(revived.elapsed());
        sleep(Duration::from_secs(1)).await;
    }

    stop.send_replace(true);
    let (Ok(()), Ok(collected)) = tokio::join!(load, collected) else {
        return Err("the demo's load failed".to_owned());
    };
    report.outcomes = collected;
    report.executed_twice = demo.executions.repeated();
    tell(&format!("\n{report}"));
    Ok(report.passed())
}

/// Waits until this pool serves.
async fn serves(demo: &Demo, pool: &str) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = demo.server.app.control().status().await.ok();
        let shop = status.and_then(|status| status.services.into_iter().find(|service| &*service.name == SHOP));
        if shop.and_then(|shop| shop.active).is_some_and(|active| &*active == pool) {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// The measured recovery time of the last switch.
async fn last_rto(demo: &Demo) -> Option<Duration> {
    let status = demo.server.app.control().status().await.ok()?;
    let rto_ms = status.incidents.into_iter().rfind(|incident| &*incident.service == SHOP)?.rto_ms?;
    Some(Duration::from_secs_f64(rto_ms / 1000.0))
}
