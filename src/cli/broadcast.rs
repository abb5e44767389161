//! Words for everybody who sits at a terminal of this host, from a run that has none itself: a service, a timer.

use super::output::{Output, harmless};
use crate::host::machine::is_booted;
use crate::host::{Command, Host};
use std::time::Duration;

/// Writes its argument to each terminal that takes messages (mesg(1)). One that takes nothing holds nobody up.
///
/// wall(1) and systemd's own broadcasts ask logind for terminals, and the session of an SSH login has none there since
/// Debian 13 has no utmp: they reach nobody who came in by SSH.
const WRITE: &str = "find /dev/pts -type c -name '[0-9]*' -perm -g+w | while read -r terminal; do
    printf %s \"$1\" | timeout 2 dd of=\"$terminal\" oflag=nonblock conv=notrunc status=none
done";

/// Tells `text` to all terminals that somebody came in by, unless this run writes to one. Who isn't reached finds it in
/// `status` and in the journal: nothing depends on it.
pub fn broadcast(host: &dyn Host, output: &Output, text: &str) {
    if output.is_at_terminal() || !is_booted(host).unwrap_or(false) {
        return;
    }
    // Lines as a terminal wants them that some program has in raw mode.
    let text = format!("\n\n{}\n", harmless(text)).replace('\n', "\r\n");
    let _ = host.run(&Command::new("sh").args(["-c", WRITE, "sh", &text]).timeout(Duration::from_secs(30)));
}
