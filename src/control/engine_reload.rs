//! A reload in the engine: a configuration is put into force or refused, and the act that asked for it is answered.

use std::sync::Arc;

use super::act_report::{ActOrder, ActReport};
use super::engine::{Engine, EngineInputs};
use super::handle::{ControlError, ReadConfig, ReloadAnswer, ReloadOrder, Reloaded};
use super::status::ReloadStatus;
use super::{listening, reload};
use crate::decision::{Act, Event};
use crate::sys::clock;

impl Engine {
    /// Put a configuration that was read into force, all of it or nothing, and answer the act that asked for it.
    pub(super) fn reload(&mut self, order: ReloadOrder, inputs: &mut EngineInputs) -> ReloadAnswer {
        let ReloadOrder { read, act } = order;
        let expires = act.as_ref().and_then(|act| act.expires);
        let answer = match read {
            _ if self.knows(act.as_ref()) => Ok(self.in_force()),
            Err(problem) => self.refuse(problem, act.as_ref()),
            Ok(_) if expires.is_some_and(|end| end <= clock::now()) => {
                self.refuse("the reload has expired while others were before it".to_owned(), act.as_ref())
            }
            Ok(read) => self.apply(read, act.as_ref(), inputs),
        };
        // (It is in force: from now on it does not expire.)
        let act = act.map(|act| Act { expires: None, ..act });
        let report = act.and_then(|act| self.reloaded_by(act, &answer, inputs));
        answer.map(|reloaded| (reloaded, report))
    }

    /// A new configuration: everything that can fail comes first, then nothing fails any more.
    fn apply(
        &mut self,
        read: ReadConfig,
        act: Option<&Act>,
        inputs: &mut EngineInputs,
    ) -> Result<Reloaded, ControlError> {
        let ReadConfig { config, answers, materials, mut warnings } = read;
        let sockets = match reload::sockets(&config, &self.sockets, self.workers) {
            Ok(sockets) => sockets,
            Err(problem) => return self.refuse(problem, act),
        };
        warnings.extend(self.fixed.warnings(&config));
        let listening = listening::lines(&self.published.load());
        self.sockets = sockets;
        self.materials = Arc::new(materials);
        self.warned_of_expiry = clock::now();
        self.discovery.declare(Arc::new(*config), answers);
        self.config = self.discovery.effective(Some(&self.config));
        self.take([Event::Configured(self.config.clone())], inputs);
        let epoch = self.published.epoch();
        self.records.reloaded(epoch, &warnings, act);
        self.reloads.notify_one();
        listening::report(&listening, &listening::lines(&self.published.load()));
        self.last_reload = Some(ReloadStatus { unix_ms: clock::unix_millis(), ok: true, messages: warnings.clone() });
        Ok(Reloaded { epoch, warnings })
    }

    /// The configuration in force, for an act that is answered again.
    fn in_force(&self) -> Reloaded {
        Reloaded { epoch: self.published.epoch(), warnings: Vec::new() }
    }

    /// A new configuration cannot be: nothing has changed.
    fn refuse(&mut self, problem: String, act: Option<&Act>) -> Result<Reloaded, ControlError> {
        self.records.reload_refused(&problem, act);
        let messages = vec![problem.clone()];
        self.last_reload = Some(ReloadStatus { unix_ms: clock::unix_millis(), ok: false, messages });
        Err(ControlError::Reload(problem))
    }

    /// The act of a reload that was put into force or refused. One that was answered before is only answered again, whatever it was.
    fn reloaded_by(
        &mut self,
        act: Act,
        reloaded: &Result<Reloaded, ControlError>,
        inputs: &mut EngineInputs,
    ) -> Option<ActReport> {
        match reloaded {
            Ok(reloaded) => {
                let report = self.act(ActOrder { act, expects: None, dry: false }, inputs)?;
                Some(ActReport { warnings: reloaded.warnings.clone(), ..report })
            }
            Err(error) => {
                let problems = error.to_string().lines().map(str::to_owned).collect();
                let event = Event::ReloadRefused { seen: clock::now(), act: Box::new(act.clone()), problems };
                self.answered(act, event, inputs)
            }
        }
    }

    /// Was this act answered in the last minutes?
    fn knows(&self, act: Option<&Act>) -> bool {
        act.is_some_and(|act| self.decision.knows_act(act.id, clock::now()))
    }
}
