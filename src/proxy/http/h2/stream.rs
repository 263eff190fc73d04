//! One stream of a client's HTTP/2 connection: one request, to its end; and what the streams of a connection share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;

use super::client::H2Client;
use super::io::IoWatch;
use crate::proxy::clients::ClientEntry;
use crate::proxy::deadline::Alarm;
use crate::proxy::http::account::record_refused;
use crate::proxy::http::context::{ConnectionContext, RequestContext};
use crate::proxy::http::listener::current;
use crate::proxy::http::memory::{ExchangeScratch, HttpMemory};
use crate::proxy::http::request;
use crate::proxy::http::respond::LocalAnswer;
use crate::proxy::http::verdict::ConnectionFate;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ListenerView;
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::{AskedMethod, HeadLimits};
use crate::wire::h2::read_request;

/// Free register entries that a connection keeps for its streams.
const ENTRIES: usize = 32;

/// How long a client whose request is malformed may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the streams of a connection share.
pub(super) struct StreamShared {
    memory: Rc<HttpMemory>,
    pub(super) listener: RefCell<Arc<ListenerView>>,
    pub(super) connection_context: ConnectionContext,
    pub(super) watch: Rc<IoWatch>,
    /// Streams whose requests are being served.
    pub(super) streams: Cell<usize>,
    /// Alarms and register entries of streams that ended, for the next ones.
    entries: RefCell<Vec<(Alarm, ClientEntry)>>,
    /// The task to wake when the last stream ends.
    pub(super) driver: RefCell<Option<Waker>>,
}

impl StreamShared {
    /// Of a connection that begins.
    pub(super) fn new(
        memory: &Rc<HttpMemory>,
        listener: Arc<ListenerView>,
        connection_context: ConnectionContext,
        watch: Rc<IoWatch>,
    ) -> Rc<StreamShared> {
        Rc::new(StreamShared {
            memory: Rc::clone(memory),
            listener: RefCell::new(listener),
            connection_context,
            watch,
            streams: Cell::new(0),
            entries: RefCell::default(),
            driver: RefCell::default(),
        })
    }

    /// The core of the worker.
    pub(super) fn core(&self) -> &WorkerCore {
        &self.memory.pools.core
    }

    /// The context of a request of this connection.
    pub(super) fn context<'a>(&'a self, entry: &'a ClientEntry, alarm: &'a Alarm) -> RequestContext<'a> {
        RequestContext::new(&self.memory, entry, alarm, &self.connection_context)
    }

    /// An alarm and a register entry for one stream.
    pub(super) fn entry(&self) -> (Alarm, ClientEntry) {
        self.entries.borrow_mut().pop().unwrap_or_else(|| {
            let alarm = self.core().deadlines.alarm();
            let entry = self.core().clients.enter(&alarm);
            (alarm, entry)
        })
    }

    /// Keeps them for the next one.
    pub(super) fn put_back(&self, alarm: Alarm, entry: ClientEntry) {
        let mut entries = self.entries.borrow_mut();
        if entries.len() < ENTRIES && !alarm.is_killed() {
            alarm.clear();
            entries.push((alarm, entry));
        }
    }
}

/// Counts a stream as long as its task lives.
pub(super) struct StreamCount(Rc<StreamShared>);

impl StreamCount {
    /// One more.
    pub(super) fn new(shared: &Rc<StreamShared>) -> StreamCount {
        shared.streams.set(shared.streams.get() + 1);
        StreamCount(Rc::clone(shared))
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        let left = self.0.streams.get() - 1;
        self.0.streams.set(left);
        if left == 0
            && let Some(driver) = self.0.driver.borrow_mut().take()
        {
            driver.wake();
        }
    }
}

/// A stream that was opened.
pub(super) struct OpenedStream {
    pub(super) counted: StreamCount,
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// One stream: one request, to its end.
pub(super) async fn serve_stream(stream: OpenedStream) {
    let OpenedStream { counted, request, respond } = stream;
    let shared = &*counted.0;
    let memory = &*shared.memory;
    let began = clock::now();
    let (alarm, entry) = shared.entry();
    entry.set_busy(true);
    let context = shared.context(&entry, &alarm);
    let mut scratch = memory.scratch();
    let finish = answer(&context, shared, &mut scratch, request, respond, began).await;
    memory.put_scratch(scratch);
    entry.set_busy(false);
    // One that was killed stays killed.
    if finish != ConnectionFate::Abort {
        shared.put_back(alarm, entry);
    }
}

async fn answer(
    context: &RequestContext<'_>,
    shared: &StreamShared,
    scratch: &mut ExchangeScratch,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    began: MonoTime,
) -> ConnectionFate {
    let (parts, receive) = request.into_parts();
    let asked = if parts.method == http::Method::HEAD { AskedMethod::Head } else { AskedMethod::Other };
    let table = context.core.table();
    let listener = {
        let mut known = shared.listener.borrow_mut();
        match current(&known, &table).map(Arc::clone) {
            None => Err(Arc::clone(&known)),
            Some(listener) => {
                if !Arc::ptr_eq(&listener, &known) {
                    *known = Arc::clone(&listener);
                }
                Ok(listener)
            }
        }
    };
    let ends = receive.is_end_stream();
    let mut client = H2Client::new(&shared.watch, respond, receive, asked);
    let finish = match listener {
        Err(gone) => {
            refuse(context, &gone, &mut client, LocalAnswer::LISTENER_GONE, Termination::Internal, began).await
        }
        Ok(listener) => {
            let read = read_request(&parts, ends, &HeadLimits::from(&listener.config.limits), &mut scratch.head);
            drop(parts);
            match read {
                Ok(()) => request::serve(context, &table, &listener, &mut client, scratch, began).await,
                Err(error) => {
                    listener.stats.count_refusal(context.core.id, error);
                    let refusal = LocalAnswer::malformed(error);
                    refuse(context, &listener, &mut client, refusal, Termination::Refused, began).await
                }
            }
        }
    };
    match finish {
        ConnectionFate::Abort => client.abort(),
        ConnectionFate::Next | ConnectionFate::Close => {
            client.discard_rest(context.alarm, || context.core.is_draining()).await
        }
    }
    finish
}

/// Answers a malformed request.
async fn refuse(
    context: &RequestContext<'_>,
    listener: &ListenerView,
    client: &mut H2Client,
    refusal: LocalAnswer,
    termination: Termination,
    began: MonoTime,
) -> ConnectionFate {
    let taken = request::refuse(client, &refusal, context.alarm, PATIENCE).await;
    record_refused(context, listener, began, refusal.status, termination);
    if taken { ConnectionFate::Next } else { ConnectionFate::Abort }
}
