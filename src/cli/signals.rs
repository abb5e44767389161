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
    /// Begins to watch, once: whoever watches later gets the same flag. Threads that are started earlier must be started
    /// by [`held_back`]: one that still takes these signals as they come would end the program.
    pub fn watch() -> Self {
        static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();
        Signals(Arc::clone(STOP.get_or_init(Self::begin)))
    }

    fn begin() -> Arc<AtomicBool> {
        let stop = Arc::new(AtomicBool::new(false));
        let set = watched();
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

/// Starts something whose threads live on into the watched part of a run. They take no signals, ever.
pub fn held_back<T>(start: impl FnOnce() -> T) -> T {
    let before = SigSet::thread_get_mask();
    let blocked = watched().thread_block().is_ok();
    let started = start();
    if let (true, Ok(before)) = (blocked, before) {
        let _ = before.thread_set_mask();
    }
    started
}

fn watched() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect()
}
