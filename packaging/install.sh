#!/bin/sh
# Installs the binary `lucida` with its manual pages and completions, from the archives of a release:
#
#     curl -fsSL ADDRESS/latest/download/install.sh | sh
#     curl -fsSL ADDRESS/latest/download/install.sh | sh -s -- --version 0.1.0 --prefix /opt/lucida
#
# Needs curl or wget, tar with gzip, and sha256sum, shasum, or openssl. Writes nothing outside of the prefix.
set -eu

# The address of the releases. A release writes its own here; the copy in the repository has none.
release_url=

usage() {
    cat <<EOF
Install Lucida.

Usage: install.sh [OPTIONS]

Options:
  --version <VERSION>  Version to install, such as 0.1.0 [default: the latest]
  --prefix <DIR>       Folder to install into: DIR/bin, DIR/share [default: ~/.local]
  --url <URL>          Address of the releases; https, http, or file [default: ${release_url:-none}]
  --target <TARGET>    Platform, such as x86_64-unknown-linux-musl [default: this machine's]
  --help               Print help

Environment:
  LUCIDA_INSTALL_URL, LUCIDA_INSTALL_PREFIX, LUCIDA_INSTALL_VERSION  like the options, which win
EOF
}

fail() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# The platform, as the archives name it.
platform() {
    from_source="build Lucida from its source: cargo install --locked --path crates/lucida-cli"
    machine=$(uname -m)
    case $(uname -s) in
    Linux)
        # musl's malloc is slower for large buffers, so only where the program loader of glibc is missing: on Alpine, for one.
        system=unknown-linux-musl
        for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1; do
            [ ! -e $loader ] || system=unknown-linux-gnu
        done
        ;;
    Darwin)
        system=apple-darwin
        # A shell under Rosetta says x86_64 on a processor that is none.
        [ "$(sysctl -n hw.optional.arm64 2>/dev/null || true)" != 1 ] || machine=arm64
        ;;
    MINGW* | MSYS* | CYGWIN*) fail "this script is not for Windows" "in PowerShell, run install.ps1 instead" ;;
    *) fail "no archive for $(uname -s)" "$from_source" ;;
    esac
    case $machine in
    x86_64 | amd64) machine=x86_64 ;;
    aarch64 | arm64) machine=aarch64 ;;
    *) fail "no archive for the architecture $machine" "$from_source" ;;
    esac
    # A 64-bit kernel may run 32-bit programs only.
    if have getconf && [ "$(getconf LONG_BIT 2>/dev/null || echo 64)" = 32 ]; then
        fail "this system is 32-bit; Lucida needs a 64-bit one"
    fi
    echo "$machine-$system"
}

# download URL FILE
download() {
    if have curl; then
        # No fall from https to http on a redirect.
        case $1 in
        https:*) curl --proto '=https' --tlsv1.2 -fsSL --retry 2 -o "$2" "$1" ;;
        *) curl -fsSL -o "$2" "$1" ;;
        esac
    elif have wget; then
        case $1 in file:*) cp "${1#file://}" "$2" ;; *) wget -q -O "$2" "$1" ;; esac
    else
        fail "neither curl nor wget was found" "install one of them, or download $1 by hand"
    fi || fail "cannot download $1" "check the network, the version, and the address (--url)"
}

sha256() {
    if have sha256sum; then
        sha256sum "$1" | cut -d ' ' -f 1
    elif have shasum; then
        shasum -a 256 "$1" | cut -d ' ' -f 1
    elif have openssl; then
        openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1
    else
        fail "cannot check the download: sha256sum, shasum, and openssl are missing" "install one of them"
    fi
}

# put FILE FOLDER NAME: an existing file stays whole until the new one is.
put() {
    { mkdir -p "$2" && cp "$1" "$2/.$3.new" && mv -f "$2/.$3.new" "$2/$3"; } 2>/dev/null ||
        fail "cannot write $2/$3" "choose a folder that you may write to: --prefix ~/.local"
}

# What to type next, and what is missing for it.
next_steps() {
    echo "installed $("$1/bin/lucida" --version) in $1"
    case :$PATH: in
    *":$1/bin:"*)
        found=$(command -v lucida || true)
        [ "$found" = "$1/bin/lucida" ] || echo "note: another lucida comes first on the PATH: $found"
        ;;
    *)
        echo "$1/bin is not on the PATH. Add it in your shell's start-up file:"
        case ${SHELL:-} in
        */fish) echo "  fish_add_path $1/bin" ;;
        *) echo "  export PATH=\"$1/bin:\$PATH\"" ;;
        esac
        ;;
    esac
    case ${SHELL:-} in
    */zsh) echo "For completions in zsh, before compinit:  fpath=($1/share/zsh/site-functions \$fpath)" ;;
    esac
    echo "Next:  lucida predict photo.jpg    or    lucida demo    or    lucida studio --open"
}

main() {
    url=${LUCIDA_INSTALL_URL:-$release_url}
    prefix=${LUCIDA_INSTALL_PREFIX:-}
    version=${LUCIDA_INSTALL_VERSION:-latest}
    target=
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h) usage && exit ;;
        --version | --prefix | --url | --target)
            [ $# -gt 1 ] || fail "$1 needs a value"
            case $1 in
            --version) version=$2 ;;
            --prefix) prefix=$2 ;;
            --url) url=$2 ;;
            --target) target=$2 ;;
            esac
            shift 2
            ;;
        *) fail "unknown option $1" "install.sh --help lists the options" ;;
        esac
    done
    [ -n "$url" ] || fail "no address to download from" "give the address of the releases: --url or LUCIDA_INSTALL_URL"
    [ -n "$prefix" ] || prefix=${HOME:?is not set; use --prefix}/.local
    # A relative prefix would not do for the PATH.
    case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
    [ -n "$target" ] || target=$(platform)
    have tar || fail "tar was not found" "install it"

    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap 'exit 130' INT TERM
    name=lucida-$target
    case $version in
    latest) from=$url/latest/download ;;
    *) from=$url/download/v${version#v} ;;
    esac
    echo "downloading $from/$name.tar.gz"
    download "$from/$name.tar.gz.sha256" "$scratch/sum"
    download "$from/$name.tar.gz" "$scratch/archive"
    expected=$(cut -d ' ' -f 1 <"$scratch/sum")
    actual=$(sha256 "$scratch/archive")
    [ "$actual" = "$expected" ] ||
        fail "the SHA-256 of $name.tar.gz is $actual, not $expected" "nothing was installed; download it again"
    tar -xzf "$scratch/archive" -C "$scratch" || fail "cannot unpack $name.tar.gz"

    files=$scratch/$name
    chmod +x "$files/lucida"
    # Tried where it will be, as programs may not run from a temporary folder; and before it replaces one that does.
    put "$files/lucida" "$prefix/bin" .lucida-tried
    if ! "$prefix/bin/.lucida-tried" --version >/dev/null; then
        rm -f "$prefix/bin/.lucida-tried"
        fail "the binary for $target does not run on this machine" "choose another: --target ${target%%-*}-unknown-linux-musl"
    fi
    for page in "$files"/man/*.1; do put "$page" "$prefix/share/man/man1" "${page##*/}"; done
    put "$files/completions/lucida" "$prefix/share/bash-completion/completions" lucida
    put "$files/completions/_lucida" "$prefix/share/zsh/site-functions" _lucida
    put "$files/completions/lucida.fish" "$prefix/share/fish/vendor_completions.d" lucida.fish
    for text in "$files"/*.md "$files"/LICENSE*; do put "$text" "$prefix/share/doc/lucida" "${text##*/}"; done
    mv -f "$prefix/bin/.lucida-tried" "$prefix/bin/lucida"
    next_steps "$prefix"
}

# Last, so that half a script does nothing.
main "$@"
