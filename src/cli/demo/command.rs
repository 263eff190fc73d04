//! What a person types at the demo.

use super::UpstreamBehaviour;

/// One line that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DemoCommand {
    /// Upstreams change what they do: all of a pool, or one.
    DemoUpstreams {
        /// What they do from now on.
        behaviour: UpstreamBehaviour,
        /// A pool or an upstream; `None`: the pool that serves, and for `revive` everything.
        target: Option<String>,
    },
    /// The tables of `standfast status`.
    Status,
    /// What can be typed.
    Help,
    /// The end of the demo.
    Quit,
}

const WORDS: [&str; 8] = ["crash", "freeze", "slow", "errors", "revive", "status", "help", "quit"];

/// The commands in one line, for the foot of the screen.
pub const SUMMARY: &str = "crash  freeze  slow  errors  revive  status  help  quit";

/// What each command does.
pub const HELP: &str = "\
crash [WHICH]   the processes end as after kill -9: their ports refuse
freeze [WHICH]  the processes stop as after kill -STOP: no answers, ports still accept
slow [WHICH]    answers take a second; the health check still passes
errors [WHICH]  answers are 503; the health check still passes
revive [WHICH]  the processes answer again; without WHICH: all of them
status          what `standfast status` shows
quit            the end; so is Ctrl-C

WHICH is a pool (north, south) or one upstream (north-1); without it: the pool
that serves. A command may be cut short: `c`, `f north`.

A POST that an upstream may have begun is never sent again: its client gets
502 or 503, and none runs twice. `freeze`, `slow` and `errors` are faults in
which the port stays open.";

/// Reads a line. `Ok(None)`: it is empty.
///
/// # Errors
/// It is no command; the text says what is.
pub fn parse(line: &str) -> Result<Option<DemoCommand>, String> {
    let mut words = line.split_whitespace();
    let Some(word) = words.next() else { return Ok(None) };
    let lower = word.to_lowercase();
    let mut matching = WORDS.into_iter().filter(|known| known.starts_with(&lower));
    let command = match (matching.next(), matching.next()) {
        (Some(command), None) => command,
        (Some(first), Some(second)) => return Err(format!("`{lower}` is short for `{first}` and `{second}`")),
        (None, _) => return Err(format!("`{word}` is no command. Commands: {}", WORDS.join(", "))),
    };
    let target = words.next().map(str::to_lowercase);
    let behaviour = match command {
        "crash" => UpstreamBehaviour::Crashed,
        "freeze" => UpstreamBehaviour::Frozen,
        "slow" => UpstreamBehaviour::Slow,
        "errors" => UpstreamBehaviour::Erring,
        "revive" => UpstreamBehaviour::Running,
        "status" => return Ok(Some(DemoCommand::Status)),
        "help" => return Ok(Some(DemoCommand::Help)),
        _ => return Ok(Some(DemoCommand::Quit)),
    };
    Ok(Some(DemoCommand::DemoUpstreams { behaviour, target }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_cut_short_and_have_a_target() {
        let upstreams = |behaviour, target: Option<&str>| {
            Ok(Some(DemoCommand::DemoUpstreams { behaviour, target: target.map(str::to_owned) }))
        };
        assert_eq!(parse("crash"), upstreams(UpstreamBehaviour::Crashed, None));
        assert_eq!(parse("  F  North-1 "), upstreams(UpstreamBehaviour::Frozen, Some("north-1")));
        assert_eq!(parse("r"), upstreams(UpstreamBehaviour::Running, None));
        assert_eq!(parse("q"), Ok(Some(DemoCommand::Quit)));
        assert_eq!(parse(" "), Ok(None));
    }

    #[test]
    fn what_is_no_command_is_answered_with_those_that_are() {
        assert_eq!(parse("s"), Err("`s` is short for `slow` and `status`".to_owned()));
        let answer = parse("failover").unwrap_err();
        assert!(answer.contains("`failover` is no command") && answer.contains("crash, freeze"), "{answer}");
    }

    #[test]
    fn each_word_is_in_the_help_and_in_the_summary() {
        for word in WORDS {
            assert!(SUMMARY.split_whitespace().any(|known| known == word), "{word}");
            assert!(word == "help" || HELP.lines().any(|line| line.starts_with(word)), "{word}");
        }
    }
}
