//! Runs commands in the guest through qemu's guest agent: over a virtio port, so that neither a firewall nor an SSH
//! server that is being changed stands between the test and the guest.

use crate::harness::{Output, Trouble};
use crate::wire::Wire;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an answer may take that an idle guest on an idle machine gives at once.
const PATIENCE: Duration = Duration::from_secs(900);

pub struct Agent {
    address: SocketAddr,
    /// None: not connected, or the last conversation broke off.
    wire: Option<Wire>,
    asked: u64,
}

impl Agent {
    pub fn at(address: SocketAddr) -> Self {
        Agent { address, wire: None, asked: 0 }
    }

    /// Until the agent answers, at most for `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<(), Trouble> {
        let end = Instant::now() + limit;
        while let Err(why) = self.greet(Duration::from_secs(3)) {
            if Instant::now() > end {
                return Err(format!("the guest's agent doesn't answer: {why}"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Until it answers to this very question: earlier ones, asked before the guest listened, may be answered late.
    fn greet(&mut self, limit: Duration) -> Result<(), Trouble> {
        if self.wire.is_none() {
            self.wire = Some(Wire::open(self.address)?);
        }
        self.asked += 1;
        let id = self.asked;
        let wire = self.wire.as_mut().ok_or("not connected")?;
        let end = Instant::now() + limit;
        let answered = wire.send(&json!({"execute": "guest-sync", "arguments": {"id": id}})).and_then(|()| {
            while wire.receive(end)?["return"] != json!(id) {}
            Ok(())
        });
        // No answer yet is not the end of the connection; anything else is.
        if answered.as_ref().is_err_and(|why| why != "no answer") {
            self.wire = None;
        }
        answered
    }

    fn ask(&mut self, command: &str, arguments: Value) -> Result<Value, Trouble> {
        let limit = PATIENCE;
        if self.wire.is_none() {
            self.wait(limit)?;
        }
        let wire = self.wire.as_mut().ok_or("not connected")?;
        let answer = wire.ask(&json!({"execute": command, "arguments": arguments}), limit);
        if answer.is_err() {
            // Whatever comes late would be taken for the answer to the next question.
            self.wire = None;
        }
        answer.map_err(|why| format!("the guest's agent, asked for {command}: {why}"))
    }

    /// Starts a shell script in the guest, as root with the environment of a login; gives its process.
    pub fn begin(&mut self, script: &str) -> Result<i64, Trouble> {
        let environment = [
            "HOME=/root",
            "USER=root",
            "LOGNAME=root",
            "SHELL=/bin/bash",
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ];
        let arguments = json!({"path": "/bin/sh", "arg": ["-c", script], "env": environment, "capture-output": true});
        let started = self.ask("guest-exec", arguments)?;
        started["pid"].as_i64().ok_or_else(|| format!("guest-exec answered {started}"))
    }

    /// How it ended; None while it runs.
    pub fn ended(&mut self, process: i64) -> Result<Option<Output>, Trouble> {
        let status = self.ask("guest-exec-status", json!({"pid": process}))?;
        if status["exited"] != true {
            return Ok(None);
        }
        let text = |key: &str| decode(status[key].as_str().unwrap_or_default());
        let code = status["exitcode"].as_i64().or_else(|| Some(128 + status["signal"].as_i64()?)).unwrap_or(-1);
        Ok(Some(Output { code: code as i32, stdout: text("out-data"), stderr: text("err-data") }))
    }
}

/// Base64 (RFC 4648, section 4); bytes that aren't of its alphabet end it.
fn decode(text: &str) -> String {
    let digit = |byte: u8| -> Option<u32> {
        Some(match byte {
            b'A'..=b'Z' => u32::from(byte - b'A'),
            b'a'..=b'z' => u32::from(byte - b'a') + 26,
            b'0'..=b'9' => u32::from(byte - b'0') + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        })
    };
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for value in text.bytes().map_while(digit) {
        held = held << 6 | value;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
