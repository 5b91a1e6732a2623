# Everyday commands; `just --list` shows them. CONTRIBUTING.md explains them.

# Build everything, quickly and incrementally
build:
    cargo build --profile quick

# Run tests; arguments go to cargo: just test -p lucida --test house
test *ARGS:
    cargo test --profile quick {{ARGS}}

# Format, and treat every lint as an error
lint:
    cargo fmt --all && cargo clippy --profile quick --all-targets -- -D warnings

# Build the documentation of the library
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Write the digests of this machine's instruction sets, after results have changed on purpose
digests:
    UPDATE=1 cargo test --profile quick -p lucida-cli --test digests

# Generate docs/commands.md from the help of the commands
reference:
    UPDATE=1 cargo test --profile quick -p lucida-cli --test reference

# Time a group of kernels; a name restricts it: just bench conv2d mnist
bench GROUP *NAME:
    cargo bench -p lucida-kernels --bench {{GROUP}} -- {{NAME}}

# Train on the built-in digits and write a report
demo:
    cargo run --profile quick -- demo

# Build the Python package, and run its tests and notebooks
python:
    .ci/python quick

# Run the whole check, as continuous integration does
ci:
    .ci/run

# Try the ways to install with a built binary
packaging BINARY="target/release/lucida":
    packaging/test {{BINARY}}

# Check the minimum Rust version
msrv:
    .ci/msrv

# Check licenses, sources, and advisories of the dependencies
deny:
    cargo deny check
