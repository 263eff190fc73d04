//! `failover:`

use serde_yaml::Value;

use super::written::{list, path, word};
use crate::config::model::{Failover, FenceHook, HookAction};

pub(super) fn failover(failover: &Failover) -> Value {
    map! {
        "min_healthy" => failover.min_healthy,
        "on_refused" => word(&failover.on_refused),
        "on_all_down" => word(&failover.on_all_down),
        "sessions" => word(&failover.sessions),
        "drain_timeout" => failover.drain_timeout,
        "max_failovers" => map! { "count" => failover.max_failovers.count, "per" => failover.max_failovers.per },
        "failback" => map! { "mode" => word(&failover.failback.mode), "hold_down" => failover.failback.hold_down },
        "damping" => failover.damping,
        "confirm_window" => failover.confirm_window,
        "on_multiple_primaries" => failover.following.map(|rule| word(&rule.on_multiple_primaries)),
        "follow" => failover.leader.as_ref().map(|leader| leader.name.to_string()),
        "votes" => failover.leader.as_ref().map(|leader| if leader.votes { "on" } else { "off" }),
        "fallback" => failover.reads.map(|rule| word(&rule.fallback)),
        "fence_after" => failover.following.and_then(|rule| rule.fence_after),
        "on_rpo_exceeded" => failover.following.map(|rule| word(&rule.on_rpo_exceeded)),
        "fence" => failover.fence.as_deref().map(fence),
        "rpo_patience" => failover.following.and_then(|rule| rule.rpo_patience),
    }
}

fn fence(hook: &FenceHook) -> Value {
    let (exec, webhook) = match &hook.action {
        HookAction::Exec(argv) => (Some(list(argv, |argument| argument.as_str().into())), None),
        HookAction::Webhook(webhook) => {
            (None, Some(map! { "url" => webhook.url.as_str(), "ca" => webhook.ca.as_deref().map(path) }))
        }
    };
    map! {
        "exec" => exec,
        "webhook" => webhook,
        "timeout" => hook.timeout,
        "on_failure" => word(&hook.on_failure),
    }
}
