//! The request function: one request, from its route to the last byte of its answer, whatever protocol the client speaks.
//!
//! match the route → the first bytes of a body → a permit of the service → loop { pick from the newest table → idle connection or
//! connect → re-check → send → outcome → retry rule } → stream the answer → count → one access-log record.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::account::RequestAccount;
use super::body::RequestBody;
use super::client::ClientExchange;
use super::context::RequestContext;
use super::grpc;
use super::least_rate::BodyRates;
use super::memory::ExchangeScratch;
use super::respond::LocalAnswer;
use super::verdict::{ConnectionFate, TryOutcome};
use crate::config::{BalancePolicy, Service};
use crate::proxy::deadline::Alarm;
use crate::proxy::guarded::{WaitError, guarded};
use crate::proxy::termination::{count_rejection, unselected_termination};
use crate::proxy::upstream::{ClientInfo, Dispatch, FaultSubject, SelectError, Selected};
use crate::routing::balance::hash_bytes;
use crate::routing::matching::host_without_port;
use crate::routing::{
    GiveUpReason, Handle, ListenerTarget, ListenerView, RequestClass, RetryDecision, RouteQuery, RouteView,
    ServiceView, Tries, UnprovenBody,
};
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::{BodyDecoder, OwnReply, RequestHead, ResponseHead};
use crate::wire::proxy_protocol::ConnectionEnds;
use crate::wire::{cookie, query_parameter};

/// Proxies of this kind that a request may have passed through before this one. Chains of a few are usual (an edge, a region, a
/// sidecar); a loop ends after so many rounds.
const MOST_HOPS: u32 = 10;

/// Serves one request, whose head is in `scratch`. `began`: when its first byte came.
pub async fn serve<C: ClientExchange>(
    context: &RequestContext<'_>,
    table: &Handle,
    listener: &Arc<ListenerView>,
    client: &mut C,
    scratch: &mut ExchangeScratch,
    began: MonoTime,
) -> ConnectionFate {
    let ExchangeScratch { head, reply, decoder, body } = scratch;
    let mut account = RequestAccount::new(context.core, head, began);
    let mut request = Request {
        context,
        listener,
        table,
        head,
        is_call: grpc::is_call(head),
        client,
        body,
        account: &mut account,
        continued: false,
        rates: BodyRates::new(Duration::ZERO, Duration::ZERO),
        unproven: None,
    };
    let finish = request.serve(reply, decoder).await;
    account.received += body.received();
    account.sent += client.sent();
    account.settle(context, listener, head);
    body.reset(0);
    finish
}

/// Answers a malformed request; nothing follows on this connection (or stream). False: the client did not take the answer within
/// `patience`.
pub async fn refuse<C: ClientExchange>(
    client: &mut C,
    refusal: &LocalAnswer,
    alarm: &Alarm,
    patience: Duration,
) -> bool {
    let text = refusal.text("");
    client.own_reply(&refusal.reply(&text), &refusal.fields(""), true);
    alarm.set(clock::now().after(patience));
    matches!(flush(client, alarm).await, Ok(()))
}

/// Has the client take what is queued for it, by the armed alarm. [`WaitError::Gone`]: its connection failed.
async fn flush<C: ClientExchange>(client: &mut C, alarm: &Alarm) -> Result<(), WaitError> {
    let mut never = |_: &mut Context<'_>| Poll::Pending;
    let flushed = guarded(alarm, &mut never, poll_fn(|cx| client.poll_flush(cx))).await?;
    flushed.map_err(|_| WaitError::Gone)
}

/// One request in progress.
pub(super) struct Request<'a, C> {
    pub(super) context: &'a RequestContext<'a>,
    pub(super) listener: &'a Arc<ListenerView>,
    /// The request's first table: its route and policies are those that hold.
    pub(super) table: &'a Handle,
    pub(super) head: &'a RequestHead,
    /// It is a call of gRPC.
    pub(super) is_call: bool,
    pub(super) client: &'a mut C,
    pub(super) body: &'a mut RequestBody,
    pub(super) account: &'a mut RequestAccount,
    /// The client was told to go on with its body.
    pub(super) continued: bool,
    /// How long the client may still be waited for.
    pub(super) rates: BodyRates,
    /// Its place among the requests of whose bodies too little has come to know their rate.
    pub(super) unproven: Option<UnprovenBody>,
}

impl<'a, C: ClientExchange> Request<'a, C> {
    async fn serve(&mut self, reply: &mut ResponseHead, decoder: &mut BodyDecoder) -> ConnectionFate {
        if self.head.hops() >= MOST_HOPS {
            self.listener.stats.looped.add(self.context.core.id, 1);
            return self.refuse(&LocalAnswer::LOOP, Termination::Loop).await;
        }
        let Some(route) = self.find_route() else {
            self.listener.stats.unrouted.add(self.context.core.id, 1);
            return self.refuse(&LocalAnswer::NO_ROUTE, Termination::Unrouted).await;
        };
        let Some(service) = self.table.services.get(route.service) else {
            return self.refuse(&LocalAnswer::NO_ROUTE, Termination::Internal).await;
        };
        self.account.service = Some((Rc::clone(self.table), route.service));
        self.body.reset(service.config.retry.replay_bytes);
        service.stats.budget.request(self.context.core.id, self.account.began);
        self.rates = self.body_rates(&service.config);
        if let Err(finish) = self.await_body(service).await {
            return finish;
        }
        let mut dispatch = self.dispatch(route);
        let finish = self.ask(route, service, &mut dispatch, reply, decoder).await;
        (self.account.tries, self.account.retried) = (dispatch.attempts, dispatch.tries.reasons());
        finish
    }

    /// Tries endpoints until one answers, or the retry rule gives up.
    async fn ask(
        &mut self,
        route: &'a RouteView,
        service: &ServiceView,
        dispatch: &mut Dispatch<'a>,
        reply: &mut ResponseHead,
        decoder: &mut BodyDecoder,
    ) -> ConnectionFate {
        let _permit = match dispatch.permit(service, &mut |cx: &mut Context<'_>| self.client.poll_gone(cx)).await {
            Ok(permit) => permit,
            Err(unselected) => return self.unselected(unselected, dispatch, service).await,
        };
        loop {
            let selected = dispatch.next(&mut |cx: &mut Context<'_>| self.client.poll_gone(cx)).await;
            let target = match selected {
                Ok(Selected::Endpoint(target)) => target,
                Ok(Selected::Static { table, service, pool }) => {
                    return self.answer_static(&table, service, pool).await;
                }
                Err(unselected) => return self.unselected(unselected, dispatch, service).await,
            };
            let outcome = self.exchange(dispatch, route, target, reply, decoder).await;
            self.context.entry.set_pool_term(None);
            self.context.alarm.pardon();
            match outcome {
                TryOutcome::Done(finish) => return finish,
                TryOutcome::Refused(refusal, termination) => return self.refuse(&refusal, termination).await,
                TryOutcome::Failed(ended) => {
                    if let RetryDecision::GiveUp(why) = dispatch.failed(&ended, service) {
                        return self.unselected(SelectError::GaveUp(why), dispatch, service).await;
                    }
                }
                TryOutcome::NotSelected(unselected) => return self.unselected(unselected, dispatch, service).await,
                TryOutcome::Again => {}
            }
            self.body.rewind();
        }
    }

    /// The route, by the request's first table.
    fn find_route(&self) -> Option<&'a RouteView> {
        let ListenerTarget::Routes(matcher) = &self.listener.target else { return None };
        let fields = self.head.fields();
        let has = |name: &str, value: Option<&str>| match value {
            None => fields.get(name).is_some(),
            Some(value) => fields.get_all(name).any(|field| field == value.as_bytes()),
        };
        matcher.find(&RouteQuery {
            host: host_without_port(self.head.host_bytes()),
            path: self.head.path_bytes(),
            method: self.head.method_bytes(),
            headers: &has,
        })
    }

    fn dispatch(&self, route: &RouteView) -> Dispatch<'a> {
        let service = &self.table.services[route.service].config;
        let request_class = RequestClass::of(self.head.method(), !self.head.body().is_empty());
        let longest = service.timeouts.connect + self.response_timeout(route, service);
        let tries = Tries::new(request_class, self.account.began.after(longest));
        let RequestContext { pools, alarm, connection_context, .. } = *self.context;
        let ends = ConnectionEnds { source: connection_context.peer, destination: connection_context.reached };
        let client_info = ClientInfo { hash: self.hash(service), ends };
        let subject = FaultSubject {
            source: connection_context.source,
            key: connection_context.source_key,
            route: route.index,
            path: self.head.path_bytes(),
        };
        Dispatch::new(pools, alarm, self.table, route.service, self.account.began, tries, (client_info, subject))
    }

    /// `timeouts.response` of the route, or else of the service.
    pub(super) fn response_timeout(&self, route: &RouteView, service: &Service) -> Duration {
        route.config.timeouts.response.unwrap_or(service.timeouts.response)
    }

    fn hash(&self, service: &Service) -> u64 {
        let hash = match &service.balance {
            BalancePolicy::HashHeader(name) => self.head.fields().get(name).map(hash_bytes),
            BalancePolicy::HashCookie(name) => cookie(self.head.fields(), name).map(hash_bytes),
            BalancePolicy::HashQuery(name) => {
                query_parameter(self.head.query_bytes(), name).map(|value| hash_bytes(&value))
            }
            BalancePolicy::RoundRobin
            | BalancePolicy::LeastRequest
            | BalancePolicy::Random
            | BalancePolicy::HashSource => None,
        };
        hash.unwrap_or(self.context.connection_context.hash)
    }

    /// No endpoint was found, or none answered: the answer to the client.
    async fn unselected(
        &mut self,
        unselected: SelectError,
        dispatch: &Dispatch<'_>,
        service: &ServiceView,
    ) -> ConnectionFate {
        let core = self.context.core;
        let termination = unselected_termination(unselected, dispatch.last, core);
        if let SelectError::Interrupted(_) = unselected {
            return self.abort(termination);
        }
        if dispatch.last.is_none()
            || matches!(unselected, SelectError::Limited(_) | SelectError::GaveUp(GiveUpReason::Local))
        {
            count_rejection(core, service, unselected);
        }
        self.refuse(&LocalAnswer::unselected(unselected, dispatch.last), termination).await
    }

    async fn answer_static(&mut self, table: &Handle, service: usize, pool: usize) -> ConnectionFate {
        let pool = &table.services[service].pools[pool];
        let Some(answer) = pool.static_response() else {
            return self.refuse(&LocalAnswer::NO_ROUTE, Termination::Internal).await;
        };
        self.account.answered_by(table, service, pool.index);
        let reply = OwnReply {
            status: answer.status,
            content_type: &answer.content_type,
            body: answer.body.as_bytes(),
            unix_seconds: clock::unix_millis() / 1000,
        };
        let fields: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.own_reply(&reply, &fields, Termination::Complete).await
    }

    pub(super) async fn refuse(&mut self, refusal: &LocalAnswer, termination: Termination) -> ConnectionFate {
        let id = String::from_utf8_lossy(self.account.id(self.head)).into_owned();
        if self.is_call {
            return self.refuse_call(refusal, &id, termination).await;
        }
        let text = refusal.text(&id);
        let reply = refusal.reply(&text);
        let fields = refusal.fields(&id);
        self.own_reply(&reply, &fields, termination).await
    }

    /// As a gRPC status: the whole answer is its trailers, which stand in the head.
    async fn refuse_call(&mut self, refusal: &LocalAnswer, id: &str, termination: Termination) -> ConnectionFate {
        let status = grpc::status(refusal).to_string();
        let message = grpc::message(refusal.explanation);
        let reply = OwnReply {
            status: 200,
            content_type: "application/grpc",
            body: b"",
            unix_seconds: clock::unix_millis() / 1000,
        };
        let fields = [
            ("Grpc-Status", status.as_str()),
            ("Grpc-Message", message.as_str()),
            ("Standfast-Cause", refusal.cause),
            ("X-Request-Id", id),
        ];
        let fields = if id.is_empty() { &fields[..3] } else { &fields[..] };
        self.own_reply(&reply, fields, termination).await
    }

    async fn own_reply(
        &mut self,
        reply: &OwnReply<'_>,
        fields: &[(&str, &str)],
        termination: Termination,
    ) -> ConnectionFate {
        self.client.skip_body();
        let last = self.is_last();
        self.account.answered(reply.status, clock::now());
        self.client.own_reply(reply, fields, last);
        match self.flush().await {
            Ok(()) => {}
            Err(WaitError::Gone) => return self.abort(Termination::ClientAborted),
            Err(_) => return self.abort(Termination::ClientTimeout),
        }
        self.account.termination = termination;
        if last { ConnectionFate::Close } else { ConnectionFate::Next }
    }

    /// Has the client take what is queued for it, within `timeouts.body` of its listener.
    pub(super) async fn flush(&mut self) -> Result<(), WaitError> {
        self.context.alarm.set(clock::now().after(self.listener.config.timeouts.body));
        flush(self.client, self.context.alarm).await
    }

    /// The client's connection ends with this answer.
    pub(super) fn is_last(&self) -> bool {
        let core = self.context.core;
        !self.head.keep_alive() || core.is_draining() || core.is_short() || !self.client.body_is_done()
    }

    pub(super) fn abort(&mut self, termination: Termination) -> ConnectionFate {
        self.account.termination = termination;
        ConnectionFate::Abort
    }
}
