//! JSON values over a TCP connection, as qemu's guest agent speaks.

use crate::harness::Trouble;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    pub fn open(address: SocketAddr) -> Result<Self, Trouble> {
        let trouble = |error: std::io::Error| format!("cannot talk to {address}: {error}");
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(trouble)?;
        stream.set_read_timeout(Some(Duration::from_millis(200))).map_err(trouble)?;
        Ok(Wire { stream, unread: Vec::new() })
    }

    pub fn send(&mut self, value: &Value) -> Result<(), Trouble> {
        self.stream.write_all(format!("{value}\n").as_bytes()).map_err(|error| format!("cannot send: {error}"))
    }

    /// The next value. A line that is none, cut off by a reset of the other side, is dropped.
    pub fn receive(&mut self, end: Instant) -> Result<Value, Trouble> {
        loop {
            while let Some(at) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=at).collect();
                if let Ok(value) = serde_json::from_slice(&line) {
                    return Ok(value);
                }
            }
            if Instant::now() > end {
                return Err("no answer".into());
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the other side hung up".into()),
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(format!("cannot receive: {error}")),
            }
        }
    }

    /// Sends a command and gives its `return`. Greetings and events in between are passed over.
    pub fn ask(&mut self, command: &Value, limit: Duration) -> Result<Value, Trouble> {
        self.send(command)?;
        let end = Instant::now() + limit;
        loop {
            let mut answer = self.receive(end)?;
            if let Some(error) = answer.get("error") {
                return Err(error["desc"].as_str().unwrap_or("no description").to_owned());
            }
            if let Some(result) = answer.get_mut("return") {
                return Ok(result.take());
            }
        }
    }
}
