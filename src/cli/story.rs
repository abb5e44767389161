//! Where the program's own story goes: the system journal, natively, with structured fields; with `--verbose`, the
//! terminal too.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The journal's socket (systemd-journald(8)).
const SOCKET: &str = "/run/systemd/journal/socket";

/// Begins to tell. Called once, by the commands that change something; a host without a journal is told nothing.
pub fn begin(verbose: bool) {
    let journal = std::path::Path::new(SOCKET)
        .exists()
        .then(|| tracing_journald::layer().ok())
        .flatten()
        .map(|layer| layer.with_field_prefix(None).with_syslog_identifier("vps-configurator".to_owned()));
    let terminal = verbose.then(|| tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr));
    // A second call (tests in one process) keeps the first.
    let _ = tracing_subscriber::registry()
        .with(tracing_subscriber::filter::LevelFilter::INFO)
        .with(journal)
        .with(terminal)
        .try_init();
}
