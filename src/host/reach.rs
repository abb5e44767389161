//! Whether something answers elsewhere: a name that is looked up, and a connection that is made and closed. Nothing is
//! sent.

use super::Unreachable;
use std::io::{Error, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Looks `name` up and connects to one of its addresses, each within `wait`.
pub fn reach(name: &str, port: u16, wait: Duration) -> Result<(), Unreachable> {
    let addresses = addresses(name, port, wait).map_err(|error| Unreachable::Name(error.to_string()))?;
    let until = Instant::now() + wait;
    let mut last = Error::new(ErrorKind::TimedOut, format!("no answer within {} s", wait.as_secs()));
    for address in addresses {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(Unreachable::Connection(last.to_string()))
}

/// The resolver's own patience is longer than ours: it is left to itself then.
fn addresses(name: &str, port: u16, wait: Duration) -> std::io::Result<Vec<SocketAddr>> {
    let (tell, told) = mpsc::channel();
    let asked = (name.to_owned(), port);
    std::thread::Builder::new().spawn(move || {
        let _ = tell.send(asked.to_socket_addrs().map(Iterator::collect));
    })?;
    told.recv_timeout(wait)
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::TimedOut, format!("no answer within {} s", wait.as_secs()))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn what_answers_what_refuses_and_what_has_no_address_are_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let wait = Duration::from_secs(5);
        assert_eq!(reach("127.0.0.1", port, wait), Ok(()));
        drop(listener);
        assert!(matches!(reach("127.0.0.1", port, wait), Err(Unreachable::Connection(_))));
        assert!(matches!(reach("no such name", 80, wait), Err(Unreachable::Name(_))));
    }
}
