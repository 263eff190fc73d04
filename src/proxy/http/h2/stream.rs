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
use super::io::Watch;
use crate::proxy::clients::ClientEntry;
use crate::proxy::deadline::Alarm;
use crate::proxy::http::account::record_refused;
use crate::proxy::http::context::{Caller, Setting};
use crate::proxy::http::listener::current;
use crate::proxy::http::memory::{HttpMemory, Scratch};
use crate::proxy::http::request;
use crate::proxy::http::respond::Refusal;
use crate::proxy::http::verdict::Finish;
use crate::proxy::worker_core::WorkerCore;
use crate::routing::ListenerView;
use crate::sys::clock;
use crate::telemetry::access::Termination;
use crate::time::MonoTime;
use crate::wire::h1::{Asked, HeadLimits};
use crate::wire::h2::read_request;

/// Free places for streams that a connection keeps.
const PLACES: usize = 32;

/// How long a client whose request is none may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the streams of a connection share.
pub(super) struct Shared {
    memory: Rc<HttpMemory>,
    pub(super) listener: RefCell<Arc<ListenerView>>,
    pub(super) caller: Caller,
    pub(super) watch: Rc<Watch>,
    /// Streams whose requests are being served.
    pub(super) streams: Cell<usize>,
    /// Alarms and places of streams that ended, for the next ones.
    places: RefCell<Vec<(Alarm, ClientEntry)>>,
    /// The task to wake when the last stream ends.
    pub(super) driver: RefCell<Option<Waker>>,
}

impl Shared {
    /// Of a connection that begins.
    pub(super) fn new(
        memory: &Rc<HttpMemory>,
        listener: Arc<ListenerView>,
        caller: Caller,
        watch: Rc<Watch>,
    ) -> Rc<Shared> {
        Rc::new(Shared {
            memory: Rc::clone(memory),
            listener: RefCell::new(listener),
            caller,
            watch,
            streams: Cell::new(0),
            places: RefCell::default(),
            driver: RefCell::default(),
        })
    }

    /// The core of the worker.
    pub(super) fn core(&self) -> &WorkerCore {
        &self.memory.pools.core
    }

    /// What a request of this connection needs to know beside itself.
    pub(super) fn setting<'a>(&'a self, place: &'a ClientEntry, alarm: &'a Alarm) -> Setting<'a> {
        Setting::new(&self.memory, place, alarm, &self.caller)
    }

    /// An alarm and a place for one stream.
    pub(super) fn place(&self) -> (Alarm, ClientEntry) {
        self.places.borrow_mut().pop().unwrap_or_else(|| {
            let alarm = self.core().deadlines.alarm();
            let place = self.core().clients.enter(&alarm);
            (alarm, place)
        })
    }

    /// Keeps them for the next one.
    pub(super) fn put_back(&self, alarm: Alarm, place: ClientEntry) {
        let mut places = self.places.borrow_mut();
        if places.len() < PLACES && !alarm.is_killed() {
            alarm.clear();
            places.push((alarm, place));
        }
    }
}

/// Counts a stream as long as its task lives.
pub(super) struct Counted(Rc<Shared>);

impl Counted {
    /// One more.
    pub(super) fn new(shared: &Rc<Shared>) -> Counted {
        shared.streams.set(shared.streams.get() + 1);
        Counted(Rc::clone(shared))
    }
}

impl Drop for Counted {
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
pub(super) struct Stream {
    pub(super) counted: Counted,
    pub(super) request: Request<RecvStream>,
    pub(super) respond: SendResponse<Bytes>,
}

/// One stream: one request, to its end.
pub(super) async fn serve_stream(stream: Stream) {
    let Stream { counted, request, respond } = stream;
    let shared = &*counted.0;
    let memory = &*shared.memory;
    let began = clock::now();
    let (alarm, place) = shared.place();
    place.set_busy(true);
    let setting = shared.setting(&place, &alarm);
    let mut scratch = memory.scratch();
    let finish = answer(&setting, shared, &mut scratch, request, respond, began).await;
    memory.put_scratch(scratch);
    place.set_busy(false);
    // One that was killed stays killed.
    if finish != Finish::Abort {
        shared.put_back(alarm, place);
    }
}

async fn answer(
    setting: &Setting<'_>,
    shared: &Shared,
    scratch: &mut Scratch,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    began: MonoTime,
) -> Finish {
    let (parts, receive) = request.into_parts();
    let asked = if parts.method == http::Method::HEAD { Asked::Head } else { Asked::Other };
    let table = setting.core.table();
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
        Err(gone) => refuse(setting, &gone, &mut client, Refusal::LISTENER_GONE, Termination::Internal, began).await,
        Ok(listener) => {
            let read = read_request(&parts, ends, &HeadLimits::from(&listener.config.limits), &mut scratch.head);
            drop(parts);
            match read {
                Ok(()) => request::serve(setting, &table, &listener, &mut client, scratch, began).await,
                Err(error) => {
                    listener.stats.count_refusal(setting.core.id, error);
                    let refusal = Refusal::malformed(error);
                    refuse(setting, &listener, &mut client, refusal, Termination::Refused, began).await
                }
            }
        }
    };
    match finish {
        Finish::Abort => client.abort(),
        Finish::Next | Finish::Close => client.discard_rest(setting.alarm, || setting.core.is_draining()).await,
    }
    finish
}

/// Says what is wrong with what is no request.
async fn refuse(
    setting: &Setting<'_>,
    listener: &ListenerView,
    client: &mut H2Client,
    refusal: Refusal,
    termination: Termination,
    began: MonoTime,
) -> Finish {
    let taken = request::refuse(client, &refusal, setting.alarm, PATIENCE).await;
    record_refused(setting, listener, began, refusal.status, termination);
    if taken { Finish::Next } else { Finish::Abort }
}
