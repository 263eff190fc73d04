//! Bodies on their way in: where the data is, and whether the body came to its end.

use super::Error;
use super::chunked::ChunkReader;
use super::head::{BodyLength, Piece};
use crate::wire::Fields;

/// Walks over a body, split anywhere. Reuse it over messages: trailers keep their memory.
#[derive(Clone, Debug, Default)]
pub struct BodyDecoder {
    length: BodyLength,
    left: u64,
    done: bool,
    /// What was found wrong: it stays wrong.
    failed: Option<Error>,
    chunks: ChunkReader,
    trailers: Fields,
}

impl BodyDecoder {
    /// For a body that ends as `length` says.
    pub fn new(length: BodyLength) -> BodyDecoder {
        let mut decoder = BodyDecoder::default();
        decoder.reset(length);
        decoder
    }

    /// Starts over with the next body.
    pub fn reset(&mut self, length: BodyLength) {
        self.length = length;
        self.left = if let BodyLength::Length(bytes) = length { bytes } else { 0 };
        self.done = length.is_empty();
        self.failed = None;
        self.chunks = ChunkReader::default();
        self.trailers.clear();
    }

    /// The same for the body of a reply, whose chunk sizes may have spaces behind them.
    pub fn reset_for_reply(&mut self, length: BodyLength) {
        self.reset(length);
        self.chunks = ChunkReader::of_a_reply();
    }

    /// Finds the next stretch of data: call it until the input is used up or the body is done. Without data and not done,
    /// the whole input was taken.
    ///
    /// After an error the body can never be completed (further calls give the same error): cut what you passed on of it.
    pub fn decode(&mut self, input: &[u8]) -> Result<Piece, Error> {
        let piece = match (self.length, self.failed) {
            (_, Some(error)) => Err(error),
            _ if self.done => Ok(Piece { taken: 0, data: 0..0, done: true }),
            (BodyLength::Chunked, None) => self.chunks.decode(input, &mut self.trailers),
            (BodyLength::UntilClose, None) => Ok(Piece { taken: input.len(), data: 0..input.len(), done: false }),
            (BodyLength::None | BodyLength::Length(_), None) => {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
                self.left -= taken as u64;
                Ok(Piece { taken, data: 0..taken, done: self.left == 0 })
            }
        };
        match &piece {
            Ok(piece) => self.done = piece.done,
            Err(error) => self.failed = Some(*error),
        }
        piece
    }

    /// Passes over `count` bytes of data that came without being looked at. Only where the length is known; more than is
    /// [left](BodyDecoder::left) counts as what is left.
    pub fn pass(&mut self, count: u64) {
        if self.left().is_some() && !self.done {
            self.left -= count.min(self.left);
            self.done = self.left == 0;
        }
    }

    /// The connection ended: fine for [`BodyLength::UntilClose`] and complete bodies, a cut body otherwise.
    pub fn end_of_input(&mut self) -> Result<(), Error> {
        if self.done || self.length == BodyLength::UntilClose {
            self.done = true;
            return Ok(());
        }
        Err(*self.failed.get_or_insert(Error::BodyCut))
    }

    /// Has the body come to its end.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// How many bytes are still to come, where that is known; for UntilClose and Chunked `None`.
    pub const fn left(&self) -> Option<u64> {
        match self.length {
            BodyLength::None | BodyLength::Length(_) => Some(self.left),
            BodyLength::Chunked | BodyLength::UntilClose => None,
        }
    }

    /// The trailers, once the body is done. Fields that may not stand in trailers were dropped.
    pub const fn trailers(&self) -> &Fields {
        &self.trailers
    }
}
