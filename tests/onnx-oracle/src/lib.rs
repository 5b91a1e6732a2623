//! Nothing but tests: see `tests/tract.rs`.
