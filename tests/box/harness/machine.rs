//! What scenarios hold in their hands. Trouble of the harness itself is a panic: the test has failed.

use super::record::{Options, Owner, Record};
use super::serve::Server;
use super::{Output, Snapshot, Trouble, carry, diff, drive, exec, launch, leader, net, teardown};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than any honest step; a command that hangs must not hang the suite.
const LIMIT: Duration = Duration::from_secs(1200);

/// How to boot a box: `Machine::plan("docker").real("/var/lib/docker").boot()`.
pub struct Plan {
    name: String,
    options: Options,
}

impl Plan {
    /// Boxes can be made in this one.
    pub fn nested(mut self) -> Self {
        self.options.nested = true;
        self
    }

    /// This folder of the box lies on a real file system, not on the overlay.
    pub fn real(mut self, folder: &str) -> Self {
        self.options.real.push(folder.into());
        self
    }

    /// Its disk loses what wasn't written out when its power is cut.
    pub fn drive(mut self) -> Self {
        self.options.drive = true;
        self
    }

    pub fn boot(self) -> Machine {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let owner = Owner::this_process();
        let id = format!("{}-{}-{count}", self.name, owner.pid);
        let record = sure(launch::create(&id, &self.name, Some(owner), self.options));
        let mut machine = Machine { record, failed_units: Vec::new(), servers: Vec::new() };
        machine.boot_again();
        machine
    }
}

/// A running box of this test. Dropped, it is gone without a trace.
pub struct Machine {
    record: Record,
    /// Units that failed at the last boot.
    pub failed_units: Vec<String>,
    servers: Vec<Server>,
}

impl Machine {
    /// A fresh Debian 13 server with this host name, up and running.
    pub fn boot(name: &str) -> Self {
        Self::plan(name).boot()
    }

    pub fn plan(name: &str) -> Plan {
        Plan { name: name.into(), options: Options::default() }
    }

    /// Runs a command as root and returns how it ended.
    pub fn run(&self, argv: &[&str]) -> Output {
        self.run_for(LIMIT, argv)
    }

    /// Fails the test if the command takes longer.
    pub fn run_for(&self, limit: Duration, argv: &[&str]) -> Output {
        sure(exec::run(&self.record, argv, b"", limit))
    }

    pub fn run_with_input(&self, argv: &[&str], input: &str) -> Output {
        sure(exec::run(&self.record, argv, input.as_bytes(), LIMIT))
    }

    /// Runs a shell script.
    pub fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-c", script])
    }

    /// Runs a shell script that must succeed, and returns what it printed.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let output = self.sh(script);
        assert!(
            output.success(),
            "in box {}: exit code {} from\n{script}\nstdout:\n{}\nstderr:\n{}",
            self.record.id,
            output.code,
            output.stdout,
            output.stderr
        );
        output.stdout
    }

    /// Copies a file to a path of the box, or the contents of a folder into a folder of the box.
    pub fn put(&self, outside: impl AsRef<Path>, inside: &str) {
        sure(carry::put(&self.record, outside.as_ref(), inside));
    }

    pub fn put_bytes(&self, bytes: impl AsRef<[u8]>, inside: &str, mode: u32) {
        sure(carry::put_bytes(&self.record, bytes.as_ref(), inside, mode));
    }

    pub fn get(&self, inside: &str, outside: impl AsRef<Path>) {
        sure(carry::get(&self.record, inside, outside.as_ref()));
    }

    /// The text of a file of the box.
    pub fn read(&self, inside: &str) -> String {
        String::from_utf8_lossy(&sure(carry::read(&self.record, inside))).into_owned()
    }

    /// The box's disk as a folder of this side, also while it is off. (/tmp and /run aren't on it.)
    pub fn disk(&self) -> PathBuf {
        self.record.disk()
    }

    pub fn address(&self) -> Ipv4Addr {
        net::subnet(self.record.number).inside
    }

    /// This side's address, as the box reaches it.
    pub fn gateway(&self) -> Ipv4Addr {
        net::subnet(self.record.number).outside
    }

    /// Everything in it stops at once. The disk keeps what was written, synced or not; a drive of its own loses what it
    /// hadn't been sent.
    pub fn power_cut(&self) {
        sure(leader::cut_power(&self.record));
    }

    /// How many writes its own drive has had since it was switched on.
    pub fn writes(&self) -> u64 {
        sure(drive::writes(&self.record))
    }

    /// After a power cut: the same disk, a new boot.
    pub fn boot_again(&mut self) {
        self.power_on();
        self.wait_until_up();
    }

    /// Boots anew, with its own drive as it is kept for `as_kept`.
    pub fn keep_drive(&mut self) {
        self.ok("sync");
        self.power_cut();
        sure(drive::keep(&self.record));
        self.boot_again();
    }

    /// Boots with its own drive as it was when it was kept.
    pub fn as_kept(&mut self) {
        // It may be off, or hang.
        let _ = leader::cut_power(&self.record);
        sure(drive::restore(&self.record));
        self.boot_again();
    }

    /// The beginning of a boot.
    pub fn power_on(&mut self) {
        sure(launch::start(&self.record));
    }

    /// The end of it.
    pub fn wait_until_up(&mut self) {
        self.failed_units = sure(leader::wait_until_up(&self.record));
    }

    /// An orderly reboot from inside, as an administrator asks for it.
    pub fn reboot(&mut self) {
        let before = sure(exec::leader_of(&self.record));
        // The answer may be lost in the shutdown it asks for.
        let _ = exec::run(&self.record, &["systemctl", "reboot"], b"", Duration::from_secs(30));
        let end = std::time::Instant::now() + Duration::from_secs(120);
        while leader::find(&self.record) == Some(before) {
            assert!(std::time::Instant::now() < end, "box {} doesn't shut down", self.record.id);
            std::thread::sleep(Duration::from_millis(50));
        }
        self.failed_units = sure(leader::wait_until_up(&self.record));
    }

    /// Serves a folder of this side to the box until the machine is dropped; gives its address, without a slash
    /// at the end.
    pub fn serve(&mut self, folder: impl AsRef<Path>) -> String {
        let server = sure(Server::start(self.gateway(), folder.as_ref()));
        let url = server.url();
        self.servers.push(server);
        url
    }

    pub fn snapshot(&self) -> Snapshot {
        sure(Snapshot::take(&self.record))
    }

    /// Its state, and what only a lost disk cache can change.
    pub fn whole(&self) -> Snapshot {
        sure(Snapshot::whole(&self.record))
    }

    /// What is not as before, a line each; what may differ by `may-differ.txt` is left out.
    pub fn differences(&self, before: &Snapshot) -> Vec<String> {
        self.differences_to(before, &self.snapshot())
    }

    /// The same between two snapshots.
    pub fn differences_to(&self, before: &Snapshot, after: &Snapshot) -> Vec<String> {
        diff::compare(before, after, &sure(diff::exceptions()))
    }

    #[track_caller]
    pub fn must_be_as_before(&self, before: &Snapshot) {
        let differences = self.differences(before);
        assert!(differences.is_empty(), "box {} is not as before:\n{}", self.record.id, differences.join("\n"));
    }

    pub fn record(&self) -> &Record {
        &self.record
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("VPS_BOX_KEEP").is_some() {
            eprintln!("box: {} is kept to look into it", self.record.id);
            let kept = Record { owner: None, ..self.record.clone() };
            if kept.save().is_ok() {
                return;
            }
        }
        if let Err(why) = teardown::remove(&self.record) {
            eprintln!("box: {} could not be removed: {why}", self.record.id);
        }
    }
}

#[track_caller]
fn sure<T>(result: Result<T, Trouble>) -> T {
    result.unwrap_or_else(|why| panic!("{why}"))
}
