//! Signals during an apply. A hang-up is ignored: the session's end must not end the work. An interrupt or a
//! termination stops it at the next step, and what was done is taken back.

use nix::sys::signal::{SigSet, Signal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals, held back and watched by a thread of their own. Children get none of the mask: the standard library
/// resets it.
#[derive(Debug)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Begins to watch. To be called before other threads are started.
    pub fn watch() -> Self {
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
        Signals(stop)
    }

    /// Set once somebody asked to stop.
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}
