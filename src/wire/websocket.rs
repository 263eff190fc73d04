//! WebSocket frames (RFC 6455 §5) as far as a relay has to know them: where one ends, so that a Close can be put between two
//! of them, and that Close.

/// Close with status 1001, "going away", as a server sends it.
pub const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];

/// The same as a client sends it.
pub const fn going_away_masked(mask: [u8; 4]) -> [u8; 8] {
    let [final_close, length, high, low] = GOING_AWAY;
    [final_close, length | MASKED, mask[0], mask[1], mask[2], mask[3], high ^ mask[0], low ^ mask[1]]
}

const MASKED: u8 = 0x80;
const CLOSE: u8 = 8;
/// The longest header up to the length; the mask counts with the payload.
const HEADER: usize = 10;

/// Follows the frames of one direction. It looks at headers and skips everything else; it does not judge: an endless stream of
/// rubbish is one in the middle of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    come: u8,
    /// Bytes behind the header that are still to come.
    left: u64,
    /// The frame that has begun last is a Close.
    close: bool,
}

impl Frames {
    /// Before the first frame.
    pub const fn new() -> Frames {
        Frames { header: [0; HEADER], come: 0, left: 0, close: false }
    }

    /// Goes on by these bytes.
    pub fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            bytes = &bytes[taken..];
        }
    }

    /// No frame has begun that has not ended.
    pub const fn is_between(&self) -> bool {
        self.come == 0 && self.left == 0
    }

    /// A whole Close has passed: nothing may follow it.
    pub const fn is_closed(&self) -> bool {
        self.close && self.is_between()
    }

    /// How many of the bytes that come next belong to the frame that has begun.
    pub fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        let mut frames = *self;
        let mut taken = 0;
        while !frames.is_between() && taken < bytes.len() {
            taken += frames.step(&bytes[taken..]);
        }
        taken
    }

    /// Takes one byte of a header, or what there is of a payload. `bytes` is not empty.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.left -= taken as u64;
            return taken;
        }
        self.header[usize::from(self.come)] = bytes[0];
        self.come += 1;
        if usize::from(self.come) == self.header_len() {
            self.left = self.payload();
            self.close = self.header[0] & 0x0f == CLOSE;
            self.come = 0;
        }
        1
    }

    fn header_len(&self) -> usize {
        match (self.come, self.header[1] & !MASKED) {
            (0 | 1, _) => 2,
            (_, 126) => 4,
            (_, 127) => HEADER,
            _ => 2,
        }
    }

    /// What follows the header: a mask, and the payload.
    fn payload(&self) -> u64 {
        let [_, short, a, b, c, d, e, f, g, h] = self.header;
        let length = match short & !MASKED {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        length.saturating_add(if short & MASKED == 0 { 0 } else { 4 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_close_is_a_whole_frame_of_either_kind() {
        let masked = going_away_masked([9, 8, 7, 6]);
        assert_eq!(masked, [0x88, 0x82, 9, 8, 7, 6, 0x03 ^ 9, 0xe9 ^ 8]);
        for bytes in [&GOING_AWAY[..], &masked] {
            let mut frames = Frames::new();
            frames.pass(&bytes[..bytes.len() - 1]);
            assert!(!frames.is_between() && !frames.is_closed());
            frames.pass(&bytes[bytes.len() - 1..]);
            assert!(frames.is_closed());
        }
    }

    #[test]
    fn a_length_that_no_payload_has_never_ends() {
        let mut frames = Frames::new();
        frames.pass(&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        frames.pass(&[0; 100_000]);
        assert!(!frames.is_between());
    }
}
