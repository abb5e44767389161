//! YAML that people write, read with positions, so that every complaint can point at its place.
//!
//! [`Source`] is a text with its name; [`parse`] makes a tree of [`Node`]s that know where they are written;
//! [`Reader`] walks the tree and collects every [`Problem`] of one run; [`Problem::marked`] shows one with the line
//! and a mark under it; [`edit`] changes one value of a text and leaves the rest as it is.
//!
//! The language is YAML 1.2's core schema without its traps: one document, no tags, no merge keys, no duplicate keys,
//! bounded size, depth and aliases.

pub mod edit;
mod nearest;
mod node;
mod parse;
mod problem;
mod reader;
mod source;

pub use nearest::nearest;
pub use node::{Entry, Node, Span, Value};
pub use parse::{MAX_BYTES, MAX_DEPTH, MAX_NODES, parse};
pub use problem::{Collector, Problem, Problems};
pub use reader::{Fields, Reader};
pub use source::Source;
