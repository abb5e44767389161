//! A host on which nothing can change: what a dry run is given.

use super::{
    Attributes, Candidate, Command, Error, Guard, Host, Kind, Meta, Output, Result, Space, Stamp, Unreachable,
};
use crate::base::digest::Digest;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The same host, with every effect refused.
#[derive(Debug, Clone, Copy)]
pub struct ReadOnly<'a>(pub &'a dyn Host);

fn refuse<T>(act: &str, path: &Path) -> Result<T> {
    Err(Error::ReadOnly { what: format!("{act} {}", path.display()) })
}

impl Host for ReadOnly<'_> {
    fn meta(&self, path: &Path) -> Result<Option<Meta>> {
        self.0.meta(path)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>> {
        self.0.read(path)
    }

    fn read_parts(&self, path: &Path, part: usize, see: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        self.0.read_parts(path, part, see)
    }

    fn digest(&self, path: &Path) -> Result<Digest> {
        self.0.digest(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<OsString>> {
        self.0.list(dir)
    }

    fn entries(&self, dir: &Path) -> Result<Vec<(OsString, Kind)>> {
        self.0.entries(dir)
    }

    fn changed_since(&self, dirs: &[PathBuf], except: &[PathBuf], since: i128) -> Result<Vec<PathBuf>> {
        self.0.changed_since(dirs, except, since)
    }

    fn stamp(&self, paths: &[PathBuf], except: &[PathBuf]) -> Result<Stamp> {
        self.0.stamp(paths, except)
    }

    fn packet_filter_refusal(&self) -> Option<String> {
        self.0.packet_filter_refusal()
    }

    fn reach(&self, name: &str, port: u16, wait: Duration) -> Option<std::result::Result<(), Unreachable>> {
        self.0.reach(name, port, wait)
    }

    fn outward_address(&self) -> Option<Ipv4Addr> {
        self.0.outward_address()
    }

    fn rules_stamp(&self) -> Option<String> {
        self.0.rules_stamp()
    }

    fn ask(&self, socket: &Path, question: &[u8], until: &[u8]) -> Result<Vec<u8>> {
        self.0.ask(socket, question, until)
    }

    fn space(&self, path: &Path) -> Result<Space> {
        self.0.space(path)
    }

    fn look(&self, command: &Command) -> Result<Output> {
        self.0.look(command)
    }

    fn look_over(&self, command: &Command, candidates: &[Candidate]) -> Result<Output> {
        self.0.look_over(command, candidates)
    }

    fn is_chroot(&self) -> bool {
        self.0.is_chroot()
    }

    fn has_views(&self) -> bool {
        self.0.has_views()
    }

    fn has_program(&self, name: &str) -> bool {
        self.0.has_program(name)
    }

    fn now(&self) -> i128 {
        self.0.now()
    }

    fn uptime(&self) -> i128 {
        self.0.uptime()
    }

    fn pause(&self, time: Duration) {
        self.0.pause(time);
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<u32>> {
        self.0.lock_holder(path)
    }

    fn write(&self, path: &Path, _content: &[u8], _attributes: &Attributes) -> Result<()> {
        refuse("write", path)
    }

    fn make_directory(&self, path: &Path, _attributes: &Attributes) -> Result<()> {
        refuse("make the directory", path)
    }

    fn make_link(&self, path: &Path, _target: &Path, _attributes: &Attributes) -> Result<()> {
        refuse("make the link", path)
    }

    fn rename(&self, from: &Path, _to: &Path) -> Result<()> {
        refuse("rename", from)
    }

    fn set_attributes(&self, path: &Path, _attributes: &Attributes) -> Result<()> {
        refuse("set the attributes of", path)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        refuse("remove", path)
    }

    fn run(&self, command: &Command) -> Result<Output> {
        Err(Error::ReadOnly { what: format!("run {}", command.shown()) })
    }

    fn sync(&self) -> Result<()> {
        refuse("sync", Path::new("/"))
    }

    fn lock(&self, path: &Path, _note: &str) -> Result<Box<dyn Guard>> {
        refuse("lock", path)
    }

    fn lock_fcntl(&self, path: &Path) -> Result<Box<dyn Guard>> {
        refuse("lock", path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;

    #[test]
    fn looks_pass_and_every_effect_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        let real = RealHost::new(dir.path().into());
        let host = ReadOnly(&real);
        let (file, new, mode) = (Path::new("/file"), Path::new("/new"), Attributes::root(0o644));
        assert_eq!(host.read(file).unwrap(), b"text");
        let command = Command::new("apt-get").arg("install");
        let refused = [
            host.write(new, b"", &mode),
            host.make_directory(new, &mode),
            host.make_link(new, file, &mode),
            host.set_attributes(file, &Attributes::root(0o600)),
            host.remove(file),
            host.rename(file, new),
            host.run(&command).map(drop),
            host.run_watched(&command, &mut |_| ()).map(drop),
            host.sync(),
            host.lock(new, "").map(drop),
            host.lock_fcntl(new).map(drop),
        ];
        for result in refused {
            assert!(matches!(result, Err(Error::ReadOnly { .. })), "{result:?}");
        }
        assert_eq!(host.list(Path::new("/")).unwrap(), ["file"]);
    }
}
