//! Properties of objects at a D-Bus socket, as far as asking for them takes the protocol (D-Bus Specification, "Message
//! Protocol" and "Authentication Protocol"): any number of questions go out at once, and all answers come in. Only between
//! machines of little-endian order, as all are that we ship for.

use super::{Error, Host, Result};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

/// The interface that all objects with properties have, and one that every peer has.
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const PEER: &str = "org.freedesktop.DBus.Peer";
/// Little-endian.
const ORDER: u8 = b'l';
/// Kinds of messages.
const CALL: u8 = 1;
const ANSWER: u8 = 2;
/// Fields of a message's head: which object, which interface and method of it, to which call this is the answer, and of
/// which types the body is.
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const REPLY_TO: u8 = 5;
const SIGNATURE: u8 = 8;
/// The number of the last call: its bytes are in no UTF-8, and in no number that anybody counts to.
const LAST: u32 = 0xFFFE_FDFC;
/// What follows the authentication within so many bytes, sd-bus's server does not look at until more comes.
const FIRST_READ: usize = 256;
/// How deep values may lie in one another; the protocol's own limit is 64.
const DEPTH: usize = 64;

/// What is asked of one object.
#[derive(Debug, Clone)]
pub struct Question {
    /// The object.
    pub path: String,
    /// One of its interfaces.
    pub interface: String,
    /// One of the properties there; all of them without it.
    pub property: Option<&'static str>,
}

/// The value of a property, when it is a plain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A text, a path or a signature.
    Text(String),
    /// A number, or 1 for yes and 0 for no; a negative one or one with a point is given as its bits.
    Number(u64),
}

/// Properties by their names; those that are lists or the like are left out.
pub type Properties = BTreeMap<String, Scalar>;

/// Asks the peer at `socket`; the answers are in the order of the questions, `None` where it refused. Each answer is of one
/// moment, a later one of a later.
///
/// # Errors
/// When it can't be reached, refuses this user, says something else than D-Bus, or nothing for 2 seconds.
pub fn ask(host: &dyn Host, socket: &Path, questions: &[Question]) -> Result<Vec<Option<Properties>>> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    // As this user; what follows need not wait for the peer's word.
    let user: String = nix::unistd::geteuid().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
    let mut all = format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").into_bytes();
    let mut serial = 0_u32;
    for Question { path, interface, property } in questions {
        serial += 1;
        match property {
            Some(property) => all.extend(call(serial, path, PROPERTIES, "Get", &[interface.as_str(), *property])),
            None => all.extend(call(serial, path, PROPERTIES, "GetAll", &[interface.as_str()])),
        }
    }
    while all.len() <= FIRST_READ {
        serial += 1;
        all.extend(call(serial, "/", PEER, "Ping", &[]));
    }
    // Answers come in the order of the calls: where that to the last one begins, all others are there.
    all.extend(call(LAST, "/", PEER, "Ping", &[]));
    let mut end = vec![REPLY_TO, 1, b'u', 0];
    end.extend(LAST.to_le_bytes());
    let said = host.ask(socket, &all, &end)?;
    answers(&said, questions).ok_or_else(|| {
        let source = std::io::Error::new(ErrorKind::InvalidData, "what it says is no D-Bus");
        Error::Io { act: "ask", path: socket.to_owned(), source }
    })
}

/// A message that calls a method with these texts.
fn call(serial: u32, path: &str, interface: &str, member: &str, texts: &[&str]) -> Vec<u8> {
    let mut body = Writer::default();
    texts.iter().for_each(|text| body.text(text));
    let mut head = Writer::default();
    for (field, kind, text) in [(PATH, b'o', path), (INTERFACE, b's', interface), (MEMBER, b's', member)] {
        head.pad(8);
        head.0.extend([field, 1, kind, 0]);
        head.text(text);
    }
    if !texts.is_empty() {
        head.pad(8);
        head.0.extend([SIGNATURE, 1, b'g', 0, length_of(texts) as u8]);
        head.0.extend(texts.iter().map(|_| b's').chain([0]));
    }
    let mut message = Writer(vec![ORDER, CALL, 0, 1]);
    for number in [length_of(&body.0), serial, length_of(&head.0)] {
        message.0.extend(number.to_le_bytes());
    }
    message.0.extend(head.0);
    message.pad(8);
    message.0.extend(body.0);
    message.0
}

fn length_of<T>(all: &[T]) -> u32 {
    u32::try_from(all.len()).unwrap_or(u32::MAX)
}

/// A message that grows.
#[derive(Debug, Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn text(&mut self, text: &str) {
        self.pad(4);
        self.0.extend(length_of(text.as_bytes()).to_le_bytes());
        self.0.extend(text.bytes().chain([0]));
    }
}

/// What the peer answered to each question. The last message may be cut off. `None`: this is no D-Bus.
fn answers(said: &[u8], questions: &[Question]) -> Option<Vec<Option<Properties>>> {
    let rest = said.strip_prefix(b"OK ")?;
    let line = rest.windows(2).position(|two| two == b"\r\n")?;
    let mut rest = rest.get(line + 2..)?;
    let mut all = vec![None; questions.len()];
    while let Some(message) = Message::first(rest)? {
        // Others are what the peer tells everybody, and refusals.
        if message.kind == ANSWER
            && let Some(at) = message.reply_to.and_then(|serial| usize::try_from(serial).ok()?.checked_sub(1))
            && let (Some(question), Some(answer)) = (questions.get(at), all.get_mut(at))
        {
            *answer = Some(properties(message.body, question.property)?);
        }
        rest = rest.get(message.length..)?;
    }
    Some(all)
}

/// A message of the peer.
#[derive(Debug)]
struct Message<'a> {
    kind: u8,
    reply_to: Option<u32>,
    body: &'a [u8],
    /// How long all of it is.
    length: usize,
}

impl<'a> Message<'a> {
    /// The message that `bytes` begin with: `None` for none, `Some(None)` when it isn't all there.
    fn first(bytes: &'a [u8]) -> Option<Option<Message<'a>>> {
        if bytes.len() < 16 {
            return Some(None);
        }
        let mut reader = Reader::new(bytes);
        let (order, kind) = (reader.number(1)?, reader.number(1)?);
        if order != u64::from(ORDER) {
            return None;
        }
        reader.at = 4;
        let (body, _, head) = (reader.length()?, reader.number(4)?, reader.length()?);
        let head_end = 16_usize.checked_add(head)?;
        let start = head_end.checked_next_multiple_of(8)?;
        let length = start.checked_add(body)?;
        let Some(whole) = bytes.get(..length) else { return Some(None) };
        let mut reply_to = None;
        let mut reader = Reader { at: 16, ..Reader::new(whole.get(..head_end)?) };
        while reader.at < head_end {
            reader.pad(8)?;
            let field = reader.number(1)?;
            let kind = reader.text(1)?;
            let (value, _) = reader.value(kind.as_bytes(), 0)?;
            if let (true, Some(Scalar::Number(serial))) = (field == u64::from(REPLY_TO), value) {
                reply_to = u32::try_from(serial).ok();
            }
        }
        Some(Some(Message { kind: u8::try_from(kind).ok()?, reply_to, body: whole.get(start..)?, length }))
    }
}

/// The properties in the body of an answer: all of them, or the one that was asked for.
fn properties(body: &[u8], asked: Option<&'static str>) -> Option<Properties> {
    let mut found = Properties::new();
    let mut reader = Reader::new(body);
    if let Some(name) = asked {
        found.extend(reader.variant(0)?.map(|value| (name.to_owned(), value)));
        return Some(found);
    }
    let length = reader.length()?;
    reader.pad(8)?;
    let end = reader.at.checked_add(length)?;
    while reader.at < end {
        reader.pad(8)?;
        let name = reader.text(4)?.to_owned();
        found.extend(reader.variant(0)?.map(|value| (name, value)));
    }
    Some(found)
}

/// Reads values, which lie at multiples of their own size.
#[derive(Debug, Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    fn pad(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// A number of so many bytes.
    fn number(&mut self, size: usize) -> Option<u64> {
        self.pad(size)?;
        let bytes = self.take(size)?;
        Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.number(4)?).ok()
    }

    /// A text whose length is a number of so many bytes.
    fn text(&mut self, size: usize) -> Option<&'a str> {
        let length = usize::try_from(self.number(size)?).ok()?;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        self.take(1)?;
        Some(text)
    }

    /// A value that says of which type it is.
    fn variant(&mut self, depth: usize) -> Option<Option<Scalar>> {
        let signature = self.text(1)?;
        let (value, rest) = self.value(signature.as_bytes(), depth)?;
        rest.is_empty().then_some(value)
    }

    /// A value of the first type of a signature, when it is a plain one, and what is left of the signature.
    fn value<'s>(&mut self, signature: &'s [u8], depth: usize) -> Option<(Option<Scalar>, &'s [u8])> {
        if depth > DEPTH {
            return None;
        }
        let (kind, mut rest) = signature.split_first()?;
        let value = match kind {
            b'y' => Some(Scalar::Number(self.number(1)?)),
            b'n' | b'q' => Some(Scalar::Number(self.number(2)?)),
            b'b' | b'i' | b'u' | b'h' => Some(Scalar::Number(self.number(4)?)),
            b'x' | b't' | b'd' => Some(Scalar::Number(self.number(8)?)),
            b's' | b'o' => Some(Scalar::Text(self.text(4)?.to_owned())),
            b'g' => Some(Scalar::Text(self.text(1)?.to_owned())),
            b'v' => {
                self.variant(depth + 1)?;
                None
            }
            b'a' => {
                let length = self.length()?;
                self.pad(alignment(*rest.first()?))?;
                self.take(length)?;
                rest = rest.get(type_length(rest, depth)?..)?;
                None
            }
            b'(' | b'{' => {
                self.pad(8)?;
                while !matches!(rest.first()?, b')' | b'}') {
                    rest = self.value(rest, depth + 1)?.1;
                }
                rest = rest.get(1..)?;
                None
            }
            _ => return None,
        };
        Some((value, rest))
    }
}

/// At multiples of what a value of this type lies.
fn alignment(kind: u8) -> usize {
    match kind {
        b'n' | b'q' => 2,
        b'b' | b'i' | b'u' | b'h' | b's' | b'o' | b'a' => 4,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 1,
    }
}

/// How much of a signature its first type is.
fn type_length(signature: &[u8], depth: usize) -> Option<usize> {
    match signature.first()? {
        _ if depth > DEPTH => None,
        b'a' => Some(1 + type_length(signature.get(1..)?, depth + 1)?),
        b'(' | b'{' => {
            let mut at = 1;
            while !matches!(signature.get(at)?, b')' | b'}') {
                at += type_length(signature.get(at..)?, depth + 1)?;
            }
            Some(at + 1)
        }
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::RealHost;
    use proptest::prelude::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    const UNIT: &str = "org.freedesktop.systemd1.Unit";

    fn question(property: Option<&'static str>) -> Question {
        Question { path: "/org/freedesktop/systemd1/unit/ssh_2eservice".into(), interface: UNIT.into(), property }
    }

    /// An answer (or what else `kind` is) to the call with that number.
    fn message(kind: u8, reply_to: u32, signature: &str, body: &[u8]) -> Vec<u8> {
        let mut head = Writer(vec![REPLY_TO, 1, b'u', 0]);
        head.0.extend(reply_to.to_le_bytes());
        head.0.extend([7, 1, b's', 0]);
        head.text(":1.0");
        head.pad(8);
        head.0.extend([SIGNATURE, 1, b'g', 0, length_of(signature.as_bytes()) as u8]);
        head.0.extend(signature.bytes().chain([0]));
        let mut message = Writer(vec![ORDER, kind, 1, 1]);
        for number in [length_of(body), 77, length_of(&head.0)] {
            message.0.extend(number.to_le_bytes());
        }
        message.0.extend(head.0);
        message.pad(8);
        message.0.extend(body);
        message.0
    }

    /// A dictionary of properties: each with its name, its type and its value as it lies there.
    fn dictionary(entries: &[(&str, &str, &[u8])]) -> Vec<u8> {
        let mut body = Writer(vec![0; 8]);
        for (name, signature, value) in entries {
            body.pad(8);
            body.text(name);
            body.0.push(length_of(signature.as_bytes()) as u8);
            body.0.extend(signature.bytes().chain([0]));
            body.pad(alignment(signature.as_bytes()[0]));
            body.0.extend(*value);
        }
        let length = length_of(&body.0) - 8;
        body.0[..4].copy_from_slice(&length.to_le_bytes());
        body.0
    }

    fn hello() -> Vec<u8> {
        b"OK 8d088ba59fe644d3947c69f3bc89b918\r\n".to_vec()
    }

    fn text(text: &str) -> Vec<u8> {
        let mut all = Writer::default();
        all.text(text);
        all.0
    }

    #[test]
    fn the_call_of_a_method_is_as_the_protocol_wants_it() {
        let sent = call(3, "/a", "b.c", "Get", &["d", "ef"]);
        let mut wanted = b"l\x01\0\x01\x0f\0\0\0\x03\0\0\0\x38\0\0\0".to_vec();
        wanted.extend(b"\x01\x01o\0\x02\0\0\0/a\0\0\0\0\0\0\x02\x01s\0\x03\0\0\0b.c\0\0\0\0\0");
        wanted.extend(b"\x03\x01s\0\x03\0\0\0Get\0\0\0\0\0\x08\x01g\0\x02ss\0");
        wanted.extend(b"\x01\0\0\0d\0\0\0\x02\0\0\0ef\0");
        assert_eq!(sent, wanted);
    }

    #[test]
    fn each_question_gets_its_answer_and_lists_refusals_and_news_are_passed_over() {
        let all = dictionary(&[
            ("LoadState", "s", &text("loaded")),
            ("Names", "as", b"\x08\0\0\0\x03\0\0\0a.b\0"),
            ("Job", "(uo)", b"\x07\0\0\0\x01\0\0\0/\0"),
            ("Conditions", "a(sbbsi)", b"\0\0\0\0"),
            ("Own", "v", b"\x01y\0\x09"),
            ("Limits", "a{sv}", b"\0\0\0\0"),
            ("NeedDaemonReload", "b", b"\x01\0\0\0"),
            ("ActiveEnterTimestamp", "t", b"\x01\x02\0\0\0\0\0\0"),
        ]);
        let mut said = hello();
        said.extend(message(4, 1, "so", b"news"));
        said.extend(message(ANSWER, 2, "a{sv}", &all));
        said.extend(message(3, 3, "s", &text("no such property")));
        said.extend(message(ANSWER, 1, "v", b"\x01u\0\0\x05\0\0\0"));
        said.extend(&message(ANSWER, 4, "", b"")[..16]);
        let questions = [question(Some("NRestarts")), question(None), question(Some("Nope"))];
        let answers = answers(&said, &questions).unwrap();
        assert_eq!(answers[0], Some(Properties::from([("NRestarts".into(), Scalar::Number(5))])));
        let all = answers[1].as_ref().unwrap();
        let named: Vec<&str> = all.keys().map(String::as_str).collect();
        assert_eq!(named, ["ActiveEnterTimestamp", "LoadState", "NeedDaemonReload"]);
        assert_eq!(all["ActiveEnterTimestamp"], Scalar::Number(0x201));
        assert_eq!(all["LoadState"], Scalar::Text("loaded".into()));
        assert_eq!(answers[2], None, "it was refused");
        assert_eq!(super::answers(&said[..said.len() - 40], &questions).unwrap()[0], None, "it was cut off");
    }

    #[test]
    fn a_peer_is_asked_all_at_once_and_one_that_refuses_or_says_something_else_is_an_error() {
        let asked = |said: Vec<u8>| {
            let dir = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
            let peer = std::thread::spawn(move || {
                let (mut caller, _) = listener.accept().unwrap();
                let mut heard = [0; 4096];
                let count = caller.read(&mut heard).unwrap();
                caller.write_all(&said).unwrap();
                heard[..count].to_vec()
            });
            let host = RealHost::new(dir.path().into());
            let answers = ask(&host, Path::new("/sock"), &[question(Some("SubState"))]);
            (answers, peer.join().unwrap())
        };
        let mut said = hello();
        said.extend(message(ANSWER, 1, "v", b"\x01s\0\0\x07\0\0\0running\0"));
        said.extend(message(ANSWER, LAST, "", b""));
        let (answers, heard) = asked(said);
        assert_eq!(answers.unwrap()[0].as_ref().unwrap()["SubState"], Scalar::Text("running".into()));
        assert!(heard.len() > FIRST_READ);
        let user: String = nix::unistd::geteuid().to_string().bytes().map(|b| format!("{b:x}")).collect();
        assert!(heard.starts_with(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\nl\x01").as_bytes()));
        let end = message(ANSWER, LAST, "", b"");
        for other in [&b"REJECTED EXTERNAL\r\n"[..], b"OK 1\r\nHTTP/1.1 400 Bad Request\r\n\r\n", b"OK 1\r\n"] {
            let refused = [other, &end].concat();
            match asked(refused).0 {
                Err(_) => assert_ne!(other, b"OK 1\r\n"),
                Ok(answers) => assert_eq!((other, answers), (&b"OK 1\r\n"[..], vec![None])),
            }
        }
        let host = RealHost::new("/nowhere".into());
        assert_eq!(ask(&host, Path::new("/sock"), &[]).unwrap(), [], "nobody is asked nothing");
    }

    proptest! {
        /// What is told of an object is read, whatever lies between.
        #[test]
        fn every_plain_property_is_read(
            entries in prop::collection::btree_map("[A-Za-z]{1,12}", (any::<u64>(), "[ -~]{0,40}", 0_u8..4), 0..12),
        ) {
            let mut wanted = Properties::new();
            let values: Vec<(&str, &str, Vec<u8>)> = entries
                .iter()
                .map(|(name, (number, word, kind))| {
                    let (signature, value, plain) = match kind {
                        0 => ("t", number.to_le_bytes().to_vec(), Some(Scalar::Number(*number))),
                        1 => ("s", text(word), Some(Scalar::Text(word.clone()))),
                        2 => ("y", vec![number.to_le_bytes()[0]], Some(Scalar::Number(number & 0xff))),
                        _ => ("ay", [length_of(word.as_bytes()).to_le_bytes().as_slice(), word.as_bytes()].concat(), None),
                    };
                    wanted.extend(plain.map(|value| (name.clone(), value)));
                    (name.as_str(), signature, value)
                })
                .collect();
            let borrowed: Vec<(&str, &str, &[u8])> = values.iter().map(|(n, s, v)| (*n, *s, v.as_slice())).collect();
            let said = [hello(), message(ANSWER, 1, "a{sv}", &dictionary(&borrowed))].concat();
            prop_assert_eq!(answers(&said, &[question(None)]), Some(vec![Some(wanted)]));
        }

        /// Whatever a peer says, it is an answer or none.
        #[test]
        fn nothing_that_is_said_is_too_much(
            said in prop::collection::vec(any::<u8>(), 0..200),
            at in 0_usize..200,
            byte in any::<u8>(),
        ) {
            let whole = [hello(), said.clone()].concat();
            let _ = answers(&whole, &[question(None)]);
            let _ = answers(&[hello(), message(ANSWER, 1, "a{sv}", &said)].concat(), &[question(None)]);
            // A good one with one byte changed.
            let body = dictionary(&[("A", "a(sv)", b"\0\0\0\0"), ("B", "v", b"\x01y\0\x09")]);
            let mut one = [hello(), message(ANSWER, 1, "a{sv}", &body)].concat();
            if let Some(place) = one.get_mut(at) {
                *place = byte;
            }
            let _ = answers(&one, &[question(None)]);
        }
    }

    #[test]
    fn values_that_lie_too_deep_in_one_another_are_refused() {
        let deep = b"\x01v\0".repeat(100_000);
        assert_eq!(properties(&deep, Some("x")), None);
        assert_eq!(type_length(&[b'a'; 200], 0), None);
        assert_eq!(type_length(b"a{s(iv)}u", 0), Some(8));
    }
}
