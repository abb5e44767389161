//! A static HTTP server on this side of a box's veth pair: where its apt finds our repository.

use super::Trouble;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Serves until dropped.
pub struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

/// Brings a file that was asked for and isn't in the folder: its path relative to that. It may leave it at that.
pub type Fetch = dyn Fn(&str) + Send + Sync;

impl Server {
    pub fn start(at: Ipv4Addr, folder: &Path) -> Result<Self, Trouble> {
        Self::start_fetching(SocketAddrV4::new(at, 0), folder, Arc::new(|_: &str| ()))
    }

    /// Serves a folder that fills itself with what is asked for.
    pub fn start_fetching(at: SocketAddrV4, folder: &Path, fetch: Arc<Fetch>) -> Result<Self, Trouble> {
        let listener = TcpListener::bind(at).map_err(|error| format!("cannot listen on {at}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let folder = folder.to_path_buf();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (folder, fetch) = (folder.clone(), Arc::clone(&fetch));
                std::thread::spawn(move || converse(&stream, &folder, &*fetch));
            }
        });
        Ok(Server { address, stop })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, if its address still exists.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
    }
}

/// apt keeps the connection and asks for several files on it.
fn converse(stream: &TcpStream, folder: &Path, fetch: &Fetch) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let mut words = request.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let mut out = stream;
        let file = locate(folder, path, fetch).and_then(|path| File::open(path).ok());
        let (status, length) = match (&file, method) {
            (Some(file), "GET" | "HEAD") => ("200 OK", file.metadata().ok()?.len()),
            (_, "GET" | "HEAD") => ("404 Not Found", 0),
            _ => ("405 Method Not Allowed", 0),
        };
        write!(out, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nContent-Type: application/octet-stream\r\n\r\n")
            .ok()?;
        if let (Some(mut file), "GET") = (file, method) {
            std::io::copy(&mut file, &mut out).ok()?;
        }
    }
}

/// The file for a request's path, only if it is a plain file under the folder. (A flat repository is asked for as `/./Packages`.)
fn locate(folder: &Path, request: &str, fetch: &Fetch) -> Option<PathBuf> {
    let name = decode(request.split(['?', '#']).next()?)?;
    let name = name.trim_start_matches('/');
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return None;
    }
    let path = folder.join(name);
    let is_there = || fs::metadata(&path).is_ok_and(|about| about.is_file());
    if !is_there() {
        fetch(name);
    }
    is_there().then_some(path)
}

/// apt writes `~` and `+` of a version as %7e and %2b.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
