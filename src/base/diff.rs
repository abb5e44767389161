//! Unified differences of two texts, as `diff -u` prints them.
