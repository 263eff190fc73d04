//! Follows the frames of a connection as its bytes come, before the engine sees them, and finds floods: frames that cost
//! us work and the client nothing. What honest clients send is paid for by what they do: requests, answers they take, and
//! time.

use crate::time::MonoTime;

/// How a connection of HTTP/2 begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Is it the beginning of HTTP/2?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefaceMatch {
    /// No.
    No,
    /// It may become it.
    Partial,
    /// Yes.
    Whole,
}

impl PrefaceMatch {
    /// By the first bytes of a connection.
    #[inline]
    pub fn of(bytes: &[u8]) -> PrefaceMatch {
        if bytes.first().is_some_and(|&first| first != PREFACE[0]) {
            return PrefaceMatch::No;
        }
        match bytes.len() {
            len if len >= PREFACE.len() && bytes.starts_with(PREFACE) => PrefaceMatch::Whole,
            len if len < PREFACE.len() && PREFACE.starts_with(bytes) => PrefaceMatch::Partial,
            _ => PrefaceMatch::No,
        }
    }
}

/// What a client did too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H2Excess {
    /// Requests that it cancelled before they were answered.
    Resets,
    /// PING.
    Pings,
    /// SETTINGS.
    Settings,
    /// PRIORITY.
    Priorities,
    /// WINDOW_UPDATE.
    WindowUpdates,
    /// DATA without data.
    EmptyData,
    /// Any other frame.
    OtherFrames,
    /// A head in too many pieces, or far too large.
    Head,
    /// A head that did not come to its end in time.
    SlowHead,
    /// What the engine itself counts: its own resets, small DATA.
    Engine,
}

impl H2Excess {
    /// Every one, for metrics that list their labels ahead.
    pub const ALL: [H2Excess; 10] = [
        H2Excess::Resets,
        H2Excess::Pings,
        H2Excess::Settings,
        H2Excess::Priorities,
        H2Excess::WindowUpdates,
        H2Excess::EmptyData,
        H2Excess::OtherFrames,
        H2Excess::Head,
        H2Excess::SlowHead,
        H2Excess::Engine,
    ];

    /// A stable name for metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            H2Excess::Resets => "resets",
            H2Excess::Pings => "pings",
            H2Excess::Settings => "settings",
            H2Excess::Priorities => "priorities",
            H2Excess::WindowUpdates => "window_updates",
            H2Excess::EmptyData => "empty_data",
            H2Excess::OtherFrames => "other_frames",
            H2Excess::Head => "head",
            H2Excess::SlowHead => "slow_head",
            H2Excess::Engine => "engine",
        }
    }
}

/// Work that control frames may cost at once, and more of it per second. A burst of 1000 PINGs or 100 SETTINGS.
const CONTROL: u32 = 2000;
const CONTROL_PER_SECOND: u32 = 200;
/// Requests cancelled unanswered at once, and more of them per second: a browser that leaves a page cancels a hundred.
const RESETS: u32 = 250;
const RESETS_PER_SECOND: u32 = 25;
/// What a request allows of control frames: its priority, window updates, a ping.
const PER_REQUEST: u32 = 8;
/// What a frame of an answer allows: two window updates and the pings that measure the path.
const PER_ANSWER: u32 = 8;
/// What a frame of an answer holds at most, unless the client asked for larger ones.
const FRAME: usize = 16 * 1024;

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One connection's meter.
#[derive(Clone, Debug)]
pub struct ClientMeter {
    /// Bytes that belong to the preface or to the current frame's payload.
    skip: usize,
    header: [u8; HEADER],
    have: usize,
    /// The current frame is part of a head.
    in_head: bool,
    /// A head is not at its end.
    open_head: bool,
    control: RateBucket,
    resets: RateBucket,
    excess: Option<H2Excess>,
}

impl ClientMeter {
    /// Before the preface.
    pub fn new(now: MonoTime) -> ClientMeter {
        ClientMeter {
            skip: PREFACE.len(),
            header: [0; HEADER],
            have: 0,
            in_head: false,
            open_head: false,
            control: RateBucket::new(CONTROL, CONTROL_PER_SECOND, now),
            resets: RateBucket::new(RESETS, RESETS_PER_SECOND, now),
            excess: None,
        }
    }

    /// The next bytes came. The clock is asked only when an allowance is used up. An excess stays one.
    pub fn feed(&mut self, mut bytes: &[u8], now: impl Fn() -> MonoTime) -> Result<(), H2Excess> {
        if let Some(excess) = self.excess {
            return Err(excess);
        }
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return Ok(());
            }
            let take = (HEADER - self.have).min(bytes.len());
            self.header[self.have..self.have + take].copy_from_slice(&bytes[..take]);
            self.have += take;
            bytes = &bytes[take..];
            if self.have < HEADER {
                return Ok(());
            }
            self.have = 0;
            if let Err(excess) = self.frame(&now) {
                self.excess = Some(excess);
                return Err(excess);
            }
        }
    }

    fn frame(&mut self, now: &impl Fn() -> MonoTime) -> Result<(), H2Excess> {
        let [a, b, c, kind, flags, ..] = self.header;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.in_head = matches!(kind, HEADERS | CONTINUATION);
        if self.in_head {
            self.open_head = flags & END_HEADERS == 0;
        }
        let (cost, excess) = match kind {
            DATA if self.skip > 0 || flags & END_STREAM != 0 => return Ok(()),
            HEADERS => {
                self.control.earn(PER_REQUEST);
                return Ok(());
            }
            CONTINUATION => (10, H2Excess::Head),
            RST_STREAM => return if self.resets.take(1, now) { Ok(()) } else { Err(H2Excess::Resets) },
            DATA => (20, H2Excess::EmptyData),
            PRIORITY => (1, H2Excess::Priorities),
            SETTINGS => (20, H2Excess::Settings),
            PING => (2, H2Excess::Pings),
            WINDOW_UPDATE => (1, H2Excess::WindowUpdates),
            _ => (1, H2Excess::OtherFrames),
        };
        if self.control.take(cost, now) { Ok(()) } else { Err(excess) }
    }

    /// A request is being answered: cancelled from now on it cost the client something too.
    pub fn answered(&mut self) {
        self.resets.earn(1);
        self.control.earn(PER_ANSWER);
    }

    /// A piece of an answer goes out; the client may answer each frame of it with control frames.
    pub fn sent(&mut self, bytes: usize) {
        self.control.earn(PER_ANSWER * (1 + bytes / FRAME) as u32);
    }

    /// Has a head begun that is not at its end?
    pub fn is_in_head(&self) -> bool {
        self.open_head || self.in_head && self.skip > 0
    }
}

/// An allowance that fills up with time.
#[derive(Clone, Debug)]
struct RateBucket {
    left: u32,
    most: u32,
    per_second: u32,
    /// Until when time was credited.
    since: MonoTime,
}

impl RateBucket {
    fn new(most: u32, per_second: u32, since: MonoTime) -> RateBucket {
        RateBucket { left: most, most, per_second, since }
    }

    fn earn(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.most);
    }

    fn take(&mut self, cost: u32, now: &impl Fn() -> MonoTime) -> bool {
        if self.left < cost {
            let now = now();
            let credit = now.since(self.since).as_micros().saturating_mul(u128::from(self.per_second)) / 1_000_000;
            self.earn(u32::try_from(credit).unwrap_or(u32::MAX));
            if credit > 0 {
                self.since = now;
            }
        }
        let enough = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        enough
    }
}
