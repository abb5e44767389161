//! YAML with positions: (being written).
