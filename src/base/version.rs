//! Comparing Debian version numbers (deb-version(7)).
