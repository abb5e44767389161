//! Holds no code: cargo-deb wants a target in each member, and this member is a package of two data files
//! (see its `Cargo.toml`).
