//! SHA-256 digests, written in lower-case hexadecimal as `sha256sum` writes them.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read};

/// How much of a large thing is held at a time.
const PART: usize = 256 << 10;

/// The SHA-256 of some bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Digest::text(&Sha256::digest(bytes))
    }

    /// The digest of all that is still to be read there, of which no more than a part is held at a time.
    ///
    /// # Errors
    /// Why it can't be read.
    pub fn of_all(source: &mut dyn Read) -> io::Result<Self> {
        let (mut hasher, mut part) = (Sha256::new(), vec![0; PART]);
        loop {
            match source.read(&mut part) {
                Ok(0) => return Ok(Digest::text(&hasher.finalize())),
                Ok(count) => hasher.update(part.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn text(digest: &[u8]) -> Self {
        let mut text = String::with_capacity(64);
        for byte in digest {
            text.push_str(&format!("{byte:02x}"));
        }
        Digest(text)
    }

    /// A digest read back from its text; `None` unless it is 64 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        (text.len() == 64 && text.bytes().all(hex)).then(|| Digest(text.to_owned()))
    }

    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_nothing_is_the_one_that_sha256sum_prints() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::parse(empty), Some(Digest::of(b"")));
        assert_eq!(Digest::parse("E3"), None);
    }

    #[test]
    fn what_is_read_in_parts_has_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..PART * 2 + 7).map(|n| (n % 251) as u8).collect();
        assert_eq!(Digest::of_all(&mut bytes.as_slice()).unwrap(), Digest::of(&bytes));
    }
}
