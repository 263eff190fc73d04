//! The core of both parsers of heads: takes the input in steps, finds lines, keeps the bounds, and notes field lines. What
//! differs between requests and replies is their [`MessageHead`].

use std::ops::Range;

use super::Error;
use super::head::{HeadLimits, HeadLines, Progress, STEP, Span, field_line};
use crate::wire::Fields;

/// What a parser fills: its arena of fields, and the rules of its first line.
pub(super) trait MessageHead {
    /// What has to be known beside the bytes: the connection's scheme, or what is answered.
    type Context: Copy;

    /// The first line is longer than a whole head may be.
    const FIRST_LINE_TOO_LONG: Error;

    /// The arena, and the fields in it.
    fn fields(&self) -> &Fields;

    /// The same, to be written.
    fn fields_mut(&mut self) -> &mut Fields;

    /// May a head begin with this byte; `skipped`: one empty line came before. A line that begins with what is no head is
    /// refused before more is read.
    fn may_begin(first: u8, skipped: bool) -> Result<(), Error>;

    /// Reads the first line.
    fn read_first_line(&mut self, line: Span, context: Self::Context) -> Result<(), Error>;

    /// Everything that needs the whole head.
    fn complete(&mut self, context: Self::Context) -> Result<(), Error>;
}

/// Where in one head the input has come. It never looks at a byte twice, and refuses as soon as a line is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HeadParser {
    at: HeadPart,
    lines: HeadLines,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum HeadPart {
    /// Nothing of a head has come.
    #[default]
    Start,
    /// One empty line was skipped (RFC 9112 §2.2 asks for it; a second is refused).
    Skipped,
    FirstLine,
    Fields,
    /// What was found wrong: it stays wrong.
    Failed(Error),
}

impl HeadParser {
    /// Before a head.
    pub(super) const fn new() -> HeadParser {
        HeadParser { at: HeadPart::Start, lines: HeadLines { line: 0 } }
    }

    /// Has a part of a head come.
    pub(super) fn has_started(&self) -> bool {
        self.at != HeadPart::Start
    }

    /// Every further call gives this error.
    pub(super) const fn fail(&mut self, error: Error) -> Error {
        self.at = HeadPart::Failed(error);
        error
    }

    /// Takes the next piece of input. With [`Progress::Complete`] `head` is valid, and the parser is ready for the next
    /// head. The first piece of a head forgets what `head` held.
    #[inline]
    pub(super) fn feed<H: MessageHead>(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        context: H::Context,
        head: &mut H,
    ) -> Result<Progress, Error> {
        self.take(input, limits, context, head).map_err(|error| self.fail(error))
    }

    #[inline]
    fn take<H: MessageHead>(
        &mut self,
        input: &[u8],
        limits: &HeadLimits,
        context: H::Context,
        head: &mut H,
    ) -> Result<Progress, Error> {
        if let HeadPart::Failed(error) = self.at {
            return Err(error);
        }
        if self.at == HeadPart::Start {
            head.fields_mut().clear();
            self.lines = HeadLines::default();
        }
        let mut taken = 0;
        for piece in input.chunks(STEP) {
            let before = head.fields().text().len();
            head.fields_mut().append(piece);
            if self.piece(before, limits, context, head)? {
                let end = self.lines.line;
                head.fields_mut().truncate(end);
                *self = HeadParser::new();
                return Ok(Progress::Complete(taken + end - before));
            }
            taken += piece.len();
        }
        Ok(Progress::Partial)
    }

    /// Looks at the lines that are complete now; `new` is where the newest piece starts. `true` = the head is complete.
    #[inline]
    fn piece<H: MessageHead>(
        &mut self,
        new: usize,
        limits: &HeadLimits,
        context: H::Context,
        head: &mut H,
    ) -> Result<bool, Error> {
        loop {
            if self.at == HeadPart::Fields && self.lines.line >= new {
                let room = limits.fields.saturating_sub(head.fields().len());
                self.lines.take_plain_fields(head.fields_mut(), room, limits);
            }
            if let (HeadPart::Start | HeadPart::Skipped, Some(&first)) =
                (self.at, head.fields().text().get(self.lines.line))
            {
                H::may_begin(first, self.at == HeadPart::Skipped)?;
                self.at = HeadPart::FirstLine;
            }
            let Some(line) = self.complete_line(new, limits, head)? else {
                return Ok(false);
            };
            if self.line(line, limits, context, head)? {
                return Ok(true);
            }
        }
    }

    /// The current line if it is complete; either way it may not exceed the bound.
    #[inline]
    fn complete_line<H: MessageHead>(
        &mut self,
        new: usize,
        limits: &HeadLimits,
        head: &H,
    ) -> Result<Option<Range<usize>>, Error> {
        let text = head.fields().text();
        let line = self.lines.next(text, new);
        let end = if let Ok(None) = line { text.len() } else { self.lines.line };
        match self.at {
            _ if !limits.is_exceeded_by(end) => line,
            HeadPart::Fields => Err(Error::HeadTooLarge),
            _ => Err(H::FIRST_LINE_TOO_LONG),
        }
    }

    /// Looks at a line that is complete; `true` = it was the empty one behind the fields.
    #[inline]
    fn line<H: MessageHead>(
        &mut self,
        line: Range<usize>,
        limits: &HeadLimits,
        context: H::Context,
        head: &mut H,
    ) -> Result<bool, Error> {
        match self.at {
            HeadPart::Fields if line.is_empty() => {
                head.complete(context)?;
                return Ok(true);
            }
            HeadPart::Fields if head.fields().len() >= limits.fields => return Err(Error::TooManyFields),
            HeadPart::Fields => field_line(head.fields_mut(), line)?,
            _ if line.is_empty() => self.at = HeadPart::Skipped,
            _ => {
                head.read_first_line(Span::new(line), context)?;
                self.at = HeadPart::Fields;
            }
        }
        Ok(false)
    }
}
