//! Watching: what changed on the host that no resource of the profile looks after, and what runs on as if nothing had
//! changed; where all of it came from, and from
//! whom nothing comes; and looking at little cost.

pub mod answers;
pub mod drift;
pub mod health;
pub mod outdated;
pub mod supply_chain;
pub mod upstreams;
