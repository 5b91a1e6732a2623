//! The CPU kernels of Lucida.
