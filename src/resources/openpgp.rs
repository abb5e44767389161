//! Fingerprints of OpenPGP keys (RFC 4880, RFC 9580), without gpg: a fresh Debian has none.
//!
//! A file that apt trusts may hold several keys, and apt would trust them all; so all their fingerprints are read.

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The first line of an armoured key.
const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
/// The first bytes of the last one.
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// The tag of a primary key's packet (RFC 9580 section 5).
const PUBLIC_KEY: u8 = 6;

/// The fingerprints of all primary keys in an armoured file, in upper-case hexadecimal; `None` when it is no such file.
pub fn fingerprints(armoured: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = armoured;
    while let Some((_, block)) = rest.split_once(BEGIN) {
        let (inside, after) = block.split_once(END)?;
        let packets = dearmour(inside)?;
        let mut at = packets.as_slice();
        while !at.is_empty() {
            let (tag, body, next) = packet(at)?;
            if tag == PUBLIC_KEY {
                found.push(fingerprint(body)?);
            }
            at = next;
        }
        rest = after;
    }
    (!found.is_empty()).then_some(found)
}

/// Header lines, an empty line, base64, and a checksum that begins with `=` (RFC 9580 section 6.2).
fn dearmour(inside: &str) -> Option<Vec<u8>> {
    let mut lines = inside.lines().map(str::trim);
    lines.next()?;
    let body = lines.skip_while(|l| l.contains(':')).skip_while(|l| l.is_empty());
    let text: String = body.take_while(|l| !l.starts_with('=')).collect();
    base64(&text)
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0_u32);
    for byte in text.trim_end_matches('=').bytes() {
        bits = (bits << 6) | u32::from(digit(byte)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from((bits >> count) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// The tag and the body of the first packet, and what follows it (RFC 9580 section 4.2). Partial lengths are not for
/// keys.
fn packet(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&head, rest) = bytes.split_first()?;
    let number = |count: usize| {
        let digits = rest.get(..count)?;
        Some((digits.iter().fold(0_usize, |n, b| (n << 8) | usize::from(*b)), count))
    };
    let (tag, (length, skip)) = match (head & 0x80, head & 0x40) {
        (0, _) => return None,
        (_, 0) => ((head >> 2) & 0x0f, number(1 << (head & 3)).filter(|_| head & 3 < 3)?),
        _ => {
            let (first, second) = (usize::from(*rest.first()?), rest.get(1).map_or(0, |b| usize::from(*b)));
            let length = match first {
                0..192 => (first, 1),
                192..224 => (((first - 192) << 8) + second + 192, 2),
                255 => {
                    let digits = rest.get(1..5)?;
                    (digits.iter().fold(0_usize, |n, b| (n << 8) | usize::from(*b)), 5)
                }
                _ => return None,
            };
            (head & 0x3f, length)
        }
    };
    let body = rest.get(skip..skip.checked_add(length)?)?;
    Some((tag, body, rest.get(skip + length..)?))
}

/// Version 4: SHA-1 over 0x99 and the length in two octets; version 6: SHA-256 over 0x9b and the length in four.
fn fingerprint(body: &[u8]) -> Option<String> {
    let hex = |digest: &[u8]| digest.iter().map(|b| format!("{b:02X}")).collect::<String>();
    match body.first()? {
        4 => {
            let length = u16::try_from(body.len()).ok()?.to_be_bytes();
            Some(hex(&Sha1::new().chain_update([0x99]).chain_update(length).chain_update(body).finalize()))
        }
        6 => {
            let length = u32::try_from(body.len()).ok()?.to_be_bytes();
            Some(hex(&Sha256::new().chain_update([0x9b]).chain_update(length).chain_update(body).finalize()))
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A throw-away ed25519 key, made for this test with gpg, which prints this fingerprint for it.
    pub const KEY: &str = include_str!("../../tests/support/keys/test.asc");
    pub const FINGERPRINT: &str = "8241E7B4B4D7BE96075609B6CC953988852B2F63";

    #[test]
    fn the_fingerprint_is_the_one_that_gpg_prints() {
        assert_eq!(fingerprints(KEY).unwrap(), [FINGERPRINT]);
        let two = format!("{KEY}\n{KEY}");
        assert_eq!(fingerprints(&two).unwrap().len(), 2);
        assert_eq!(fingerprints("no key"), None);
        assert_eq!(fingerprints(&KEY.replace("mDME", "AAAA")), None);
    }
}
