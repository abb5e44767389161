//! The terminal while it is drawn on: taken over as long as the value lives, and given back as it was however it ends,
//! after a panic, too. Signals are held back meanwhile and read here, so that none of them ends the program with the
//! terminal taken over.

use super::keys::{Key, Keys};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{InputFlags, LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use ratatui::layout::Size;
use std::collections::VecDeque;
use std::io::{Error, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// The other screen, text that is pasted with marks around it.
const TAKE: &[u8] = b"\x1b[?1049h\x1b[?2004h";
/// Everything back: letters, cursor, pasting, the screen that was there before.
const GIVE: &[u8] = b"\x1b[0m\x1b[?2004l\x1b[?25h\x1b[?1049l";

/// Whether the terminal is taken over now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// How long an Esc may be the beginning of a key, in milliseconds.
const ESCAPE: u16 = 60;

/// What comes from the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// The window is another, or what was drawn is gone.
    Redraw,
    /// The terminal went away, or somebody asks the program to end.
    Gone,
}

/// A terminal that is taken over.
#[derive(Debug)]
pub struct Taken {
    before: Termios,
    mask: SigSet,
    signals: SignalFd,
    keys: Keys,
    waiting: VecDeque<Key>,
}

/// How large the window of standard output is. A terminal that doesn't know is as large as terminals were.
pub fn size() -> Size {
    match rustix::termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size::new(size.ws_col, size.ws_row),
        _ => Size::new(80, 24),
    }
}

impl Taken {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When standard input is no terminal, or it can't be set.
    pub fn take() -> Result<Self, Error> {
        // The words of a panic belong on the screen that stays.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                if TAKEN.swap(false, Ordering::SeqCst) {
                    let _ = write(GIVE);
                }
                usual(panic);
            }));
        });
        let before = tcgetattr(stdin())?;
        let held = held();
        let signals = SignalFd::with_flags(&held, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mask = held.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // From here on dropping the value gives everything back.
        let taken = Taken { before, mask, signals, keys: Keys::default(), waiting: VecDeque::new() };
        taken.enter()?;
        Ok(taken)
    }

    fn enter(&self) -> Result<(), Error> {
        let mut raw = self.before.clone();
        raw.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
        raw.input_flags.remove(InputFlags::IXON | InputFlags::ICRNL | InputFlags::INLCR);
        // What was typed meanwhile was typed at another page: a letter must not agree to what nobody has seen.
        tcsetattr(stdin(), SetArg::TCSAFLUSH, &raw)?;
        TAKEN.store(true, Ordering::SeqCst);
        write(TAKE)
    }

    fn leave(&self) {
        // The terminal may be gone; there is nobody to tell.
        if TAKEN.swap(false, Ordering::SeqCst) {
            let _ = write(GIVE);
        }
        let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, &self.before);
    }

    /// Waits for what comes next.
    ///
    /// # Errors
    /// When the terminal can't be read.
    pub fn input(&mut self) -> Result<Input, Error> {
        loop {
            match self.waiting.pop_front() {
                Some(Key::Control('z')) => return self.stop(),
                Some(Key::Control('l')) => return Ok(Input::Redraw),
                Some(key) => return Ok(Input::Key(key)),
                None => {}
            }
            let input = stdin();
            let patience = if self.keys.is_waiting() { PollTimeout::from(ESCAPE) } else { PollTimeout::NONE };
            let mut polled =
                [PollFd::new(input.as_fd(), PollFlags::POLLIN), PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut polled, patience) {
                Ok(0) => self.waiting.extend(self.keys.settle()),
                Ok(_) => {}
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let came = polled[0].revents().is_some_and(|events| !events.is_empty());
            if let Some(signal) = self.signals.read_signal()? {
                match i32::try_from(signal.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                    Some(Signal::SIGWINCH | Signal::SIGCONT) => return Ok(Input::Redraw),
                    Some(Signal::SIGTSTP) => return self.stop(),
                    _ => return Ok(Input::Gone),
                }
            }
            if came {
                let mut bytes = [0; 1024];
                match nix::unistd::read(stdin(), &mut bytes) {
                    Ok(0) | Err(Errno::EIO) => return Ok(Input::Gone),
                    Ok(count) => self.waiting.extend(self.keys.feed(&bytes[..count])),
                    Err(Errno::EINTR | Errno::EAGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Stops the program, as ^Z does, with the terminal as it was; takes it over anew when it goes on.
    fn stop(&mut self) -> Result<Input, Error> {
        self.leave();
        let stop: SigSet = [Signal::SIGTSTP].into_iter().collect();
        stop.thread_unblock()?;
        raise(Signal::SIGTSTP)?;
        stop.thread_block()?;
        self.enter()?;
        Ok(Input::Redraw)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.leave();
        // What was asked of the program meanwhile was told by `input`, or comes now.
        let _ = self.mask.thread_set_mask();
    }
}

fn held() -> SigSet {
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGCONT];
    all.into_iter().chain([Signal::SIGWINCH]).collect()
}

fn write(bytes: &[u8]) -> Result<(), Error> {
    let mut to = stdout().lock();
    to.write_all(bytes)?;
    to.flush()
}
