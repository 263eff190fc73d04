//! A terminal that is painted and typed at, and is left as it was found.
//!
//! Painting happens on a thread of its own: a terminal that takes nothing (a slow line, a stopped one) must not stop the
//! load and the upstreams, which run on the main thread.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::termios::{self, InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use tokio::sync::mpsc;

use crate::cli::text_table::{TextStyle, paint};

/// One line of the screen.
pub type TypedLine = Vec<(String, TextStyle)>;

/// What a person did at the keyboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedInput {
    /// The line so far.
    Editing(String),
    /// A whole line.
    Line(String),
    /// The end of the input, by Ctrl-D on an empty line.
    End,
}

/// Width and height of standard output's terminal, in characters.
pub fn size() -> (usize, usize) {
    let known = termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0 && size.ws_row > 0);
    known.map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// Can standard output be painted?
pub fn is_paintable() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty())
}

/// Standard input gives single keys, unechoed; signals from the keyboard stay. Undone when dropped.
pub struct Keyboard(Option<Termios>);

impl Keyboard {
    /// `None`: standard input is no terminal.
    pub fn take() -> Option<Keyboard> {
        let before = termios::tcgetattr(io::stdin()).ok()?;
        let mut keys = before.clone();
        keys.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        // Ctrl-S would stop the painting, Ctrl-Z would leave the screen to the shell.
        keys.input_modes.remove(InputModes::IXON);
        keys.special_codes[SpecialCodeIndex::VSUSP] = 0;
        keys.special_codes[SpecialCodeIndex::VMIN] = 1;
        keys.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &keys).ok()?;
        Some(Keyboard(Some(before)))
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            // (`OptionalActions::Flush` would wait for the output of a terminal that takes none.)
            let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &before);
            let _ = termios::tcflush(io::stdin(), QueueSelector::IFlush);
        }
    }
}

/// Paints frames on the terminal's other screen.
pub struct FramePainter {
    frames: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    colour: bool,
}

impl FramePainter {
    /// # Errors
    /// No thread can be started.
    pub fn start() -> io::Result<FramePainter> {
        let (frames, painted) = sync_channel::<String>(1);
        let thread = std::thread::Builder::new().name("painter".to_owned()).spawn(move || {
            let write = |text: &str| {
                let mut out = io::stdout().lock();
                out.write_all(text.as_bytes()).and_then(|()| out.flush())
            };
            let _ = write("\x1b[?1049h\x1b[2J");
            while let Ok(frame) = painted.recv() {
                if write(&frame).is_err() {
                    break;
                }
            }
            let _ = write("\x1b[?25h\x1b[?1049l");
        })?;
        let colour = std::env::var_os("NO_COLOR").is_none();
        Ok(FramePainter { frames: Some(frames), thread: Some(thread), colour })
    }

    /// Paints these lines, and the prompt below them. A frame that comes while the terminal is still busy is left out.
    pub fn paint(&self, lines: &[TypedLine], prompt: Option<&str>) {
        let frame = frame(lines, prompt, self.colour);
        if let Some(frames) = &self.frames
            && let Err(TrySendError::Disconnected(_)) = frames.try_send(frame)
        {
            // The terminal is gone; its SIGHUP ends the demo.
        }
    }
}

impl FramePainter {
    /// Goes back to the first screen. `false`: the terminal takes nothing, and is not waited for.
    pub fn end(mut self) -> bool {
        drop(self.frames.take());
        let Some(thread) = self.thread.take() else { return true };
        for _ in 0..100 {
            if thread.is_finished() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

/// What makes a terminal show these lines, whatever it showed before.
fn frame(lines: &[TypedLine], prompt: Option<&str>, colour: bool) -> String {
    let mut frame = "\x1b[?25l\x1b[H".to_owned();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            frame.push_str("\r\n");
        }
        line.iter().for_each(|(text, style)| frame.push_str(&paint(text, *style, colour)));
        frame.push_str("\x1b[K");
    }
    frame.push_str("\x1b[J");
    if let Some(typed) = prompt {
        frame.push_str(&format!("\r\n> {typed}\x1b[K\x1b[J\x1b[?25h"));
    }
    frame
}

/// Reads standard input on a thread of its own: a terminal cannot be awaited, and must not hold up the end. With `keys`
/// it gives single keys, else lines.
pub fn read(keys: bool) -> mpsc::Receiver<TypedInput> {
    let (typed, received) = mpsc::channel(8);
    std::thread::spawn(move || {
        let send = |what| typed.blocking_send(what).is_ok();
        if !keys {
            let _ = io::stdin().lines().map_while(Result::ok).all(|line| send(TypedInput::Line(line)));
            return;
        }
        let mut editor = LineEditor::default();
        let mut stdin = io::stdin().lock();
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stdin.read(&mut bytes) {
            if !bytes[..count].iter().filter_map(|byte| editor.key(*byte)).all(send) {
                return;
            }
        }
    });
    received
}

/// The line that is being typed. It takes ASCII: commands have nothing else.
#[derive(Debug, Default)]
struct LineEditor {
    line: String,
    escape: EscapeState,
}

/// Where in an escape sequence of a special key, none of which means anything here.
#[derive(Debug, Default, PartialEq, Eq)]
enum EscapeState {
    #[default]
    None,
    Begun,
    Inside,
}

impl LineEditor {
    /// Longest line.
    const MOST: usize = 60;

    fn key(&mut self, byte: u8) -> Option<TypedInput> {
        match (&self.escape, byte) {
            (_, 0x1b) => {
                self.escape = EscapeState::Begun;
                return None;
            }
            (EscapeState::Begun, b'[' | b'O') => {
                self.escape = EscapeState::Inside;
                return None;
            }
            (EscapeState::Inside, 0x20..=0x3f) => return None,
            (EscapeState::Inside | EscapeState::Begun, 0x40..=0x7e) => {
                self.escape = EscapeState::None;
                return None;
            }
            _ => self.escape = EscapeState::None,
        }
        match byte {
            b'\r' | b'\n' => return Some(TypedInput::Line(std::mem::take(&mut self.line))),
            // Ctrl-D
            0x04 if self.line.is_empty() => return Some(TypedInput::End),
            // Backspace
            0x7f | 0x08 => drop(self.line.pop()),
            // Ctrl-U, Ctrl-W
            0x15 => self.line.clear(),
            0x17 => {
                let kept = self.line.trim_end().rfind(' ').map_or(0, |space| space + 1);
                self.line.truncate(kept);
            }
            0x20..=0x7e if self.line.len() < LineEditor::MOST => self.line.push(byte.into()),
            _ => return None,
        }
        Some(TypedInput::Editing(self.line.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<TypedInput> {
        let mut editor = LineEditor::default();
        bytes.iter().filter_map(|byte| editor.key(*byte)).collect()
    }

    fn last(bytes: &[u8]) -> TypedInput {
        typed(bytes).pop().expect("something was typed")
    }

    #[test]
    fn a_line_is_edited_as_at_any_prompt() {
        assert_eq!(last(b"crsh\x7f\x7f\x7frash\r"), TypedInput::Line("crash".to_owned()));
        assert_eq!(last(b"crash north\x17"), TypedInput::Editing("crash ".to_owned()));
        assert_eq!(last(b"crash north\x15q"), TypedInput::Editing("q".to_owned()));
        assert_eq!(last(b"\x04"), TypedInput::End);
        assert_eq!(typed(b"a\x04"), [TypedInput::Editing("a".to_owned())]);
    }

    #[test]
    fn special_keys_and_foreign_bytes_mean_nothing() {
        assert_eq!(last(b"c\x1b[A\x1b[1;5C\x1bOP\xc3\xa4r\r"), TypedInput::Line("cr".to_owned()));
        assert_eq!(last(&[b'x'; 500]), TypedInput::Editing("x".repeat(LineEditor::MOST)));
    }

    #[test]
    fn a_frame_covers_what_was_there() {
        let lines = [vec![("one".to_owned(), TextStyle::Good)], vec![("two".to_owned(), TextStyle::Plain)]];
        let expected = "\x1b[?25l\x1b[Hone\x1b[K\r\ntwo\x1b[K\x1b[J\r\n> cr\x1b[K\x1b[J\x1b[?25h";
        assert_eq!(frame(&lines, Some("cr"), false), expected);
        assert!(frame(&lines, None, true).contains("\x1b[32mone\x1b[0m"));
    }
}
