//! Signals during an apply. A hang-up is ignored: the session's end must not end the work. An interrupt or a
//! termination stops it at the next step, and what was done is taken back.

use nix::sys::signal::{SigSet, Signal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Signals, held back and watched by a thread of their own. Children get none of the mask: the standard library
/// resets it.
#[derive(Debug)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Begins to watch, once: whoever watches later gets the same flag. To be called before other threads are started.
    pub fn watch() -> Self {
        static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
        Signals(Arc::clone(STOP.get_or_init(Self::begin)))
    }

    fn begin() -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        if set.thread_block().is_ok() {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                while let Ok(signal) = set.wait() {
                    if signal != Signal::SIGHUP {
                        stop.store(true, Ordering::SeqCst);
                    }
                }
            });
        }
        stop
    }

    /// Set once somebody asked to stop.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}
