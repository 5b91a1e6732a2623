//! The command line of Lucida.

fn main() {}
