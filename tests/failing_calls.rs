//! Lets calls of the C library that change files fail, or ends the process there: a library for `LD_PRELOAD`, which
//! `crates/lucida-cli/tests/faults.rs` compiles with rustc. Linux only.
//!
//! `LUCIDA_FAULT` has four fields, separated by colons: the call (`write`, `fsync`, `rename`, `open`, `mkdir`, `unlink`, or `any` of
//! them), its number from 1, what happens (an error number; one with `+` for this call and all that follow; or `kill`), and the
//! folder whose files it is about. The file named by `LUCIDA_FAULT_MARK` exists once it has happened. With the number 0 nothing
//! happens, but the file gets a byte for each call, which counts them.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

// SAFETY: these are the declarations of the C library, on Linux with 64 bits.
unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn readlink(path: *const c_char, buffer: *mut u8, size: usize) -> isize;
    fn __errno_location() -> *mut c_int;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
}

type Open = unsafe extern "C" fn(*const c_char, c_int, c_uint) -> c_int;
type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
type OfFile = unsafe extern "C" fn(c_int) -> c_int;
type OfPath = unsafe extern "C" fn(*const c_char) -> c_int;
type OfPaths = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;
type OfFolder = unsafe extern "C" fn(*const c_char, c_uint) -> c_int;

/// The definition of a call in the C library.
///
/// # Safety
/// `F` is the type of a pointer to this function.
unsafe fn original<F: Copy>(name: &CStr) -> F {
    // SAFETY: the C library defines the name and stays loaded; both are pointers, the second by this function's contract.
    unsafe {
        let found = dlsym(usize::MAX as *mut c_void, name.as_ptr());
        std::mem::transmute_copy::<*mut c_void, F>(&found)
    }
}

/// What `LUCIDA_FAULT` says.
struct Fault {
    call: String,
    number: u64,
    action: Action,
    folder: Vec<u8>,
    mark: CString,
}

enum Action {
    Fail { error: c_int, always: bool },
    Kill,
}

fn fault() -> Option<&'static Fault> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    FAULT.get_or_init(parse).as_ref()
}

fn parse() -> Option<Fault> {
    let text = std::env::var("LUCIDA_FAULT").ok()?;
    let mut fields = text.splitn(4, ':');
    let (call, number, action) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?, fields.next()?);
    let action = match action.strip_suffix('+') {
        Some(error) => Action::Fail { error: error.parse().ok()?, always: true },
        None if action == "kill" => Action::Kill,
        None => Action::Fail { error: action.parse().ok()?, always: false },
    };
    let mark = CString::new(std::env::var("LUCIDA_FAULT_MARK").ok()?).ok()?;
    Some(Fault { call, number, action, folder: fields.next()?.as_bytes().to_vec(), mark })
}

/// Whether this call is the one: the error that it returns, or 0 for an end of the process.
fn strikes(call: &str, path: &[u8]) -> Option<c_int> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let fault =
        fault().filter(|fault| (fault.call == "any" || fault.call == call) && path.starts_with(&fault.folder))?;
    let number = COUNT.fetch_add(1, Ordering::SeqCst) + 1;
    if fault.number == 0 {
        mark(fault);
        return None;
    }
    let error = match fault.action {
        Action::Fail { error, always: true } if number >= fault.number => error,
        Action::Fail { error, always: false } if number == fault.number => error,
        Action::Kill if number == fault.number => 0,
        _ => return None,
    };
    mark(fault);
    Some(error)
}

fn mark(fault: &Fault) {
    const APPEND: c_int = 0o2001;
    const CREATE: c_int = 0o100;
    // SAFETY: the types are those of the calls, the path ends with a zero byte, and one byte is read. The file is not closed:
    // this happens a few times.
    unsafe {
        let file = original::<Open>(c"open64")(fault.mark.as_ptr(), APPEND | CREATE, 0o644);
        original::<Write>(c"write")(file, b".".as_ptr().cast(), 1);
    }
}

fn die() -> ! {
    // SAFETY: both take numbers alone; 9 is SIGKILL, which is not caught.
    unsafe { kill(getpid(), 9) };
    std::process::abort()
}

/// Ends the process, or sets the error number and returns what says so.
fn fail(error: c_int) -> c_int {
    if error == 0 {
        die();
    }
    // SAFETY: it points to the error number of this thread.
    unsafe { *__errno_location() = error };
    -1
}

/// # Safety
/// `path` points to a string that ends with a zero byte.
unsafe fn bytes<'a>(path: *const c_char) -> &'a [u8] {
    // SAFETY: as above.
    unsafe { CStr::from_ptr(path) }.to_bytes()
}

/// The path of an open file.
fn path_of(file: c_int) -> Vec<u8> {
    let link = CString::new(format!("/proc/self/fd/{file}")).unwrap_or_default();
    let mut path = vec![0; 4096];
    // SAFETY: the buffer has this length, and the path ends with a zero byte.
    let len = unsafe { readlink(link.as_ptr(), path.as_mut_ptr(), path.len()) };
    path.truncate(usize::try_from(len).unwrap_or(0));
    path
}

/// # Safety
/// As `open` of the C library, for calls with a mode or without; the mode is then not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int {
    // SAFETY: the caller passes a path, as for the original.
    let strikes = if flags & 0o103 == 0 { None } else { strikes("open", unsafe { bytes(path) }) };
    // SAFETY: the type is that of the call, the arguments are those of the caller.
    strikes.map_or_else(|| unsafe { original::<Open>(c"open64")(path, flags, mode) }, fail)
}

/// # Safety
/// As `write` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, data: *const c_void, len: usize) -> isize {
    // SAFETY: this is its type.
    let write = unsafe { original::<Write>(c"write") };
    let strikes = if fault().is_some() { strikes("write", &path_of(file)) } else { None };
    match strikes {
        // SAFETY: the arguments are those of the caller.
        None => unsafe { write(file, data, len) },
        Some(0) => {
            // SAFETY: half of what the caller wants written can be read. The rest is what a kill cuts off.
            unsafe { write(file, data, len / 2) };
            die()
        }
        Some(error) => fail(error) as isize,
    }
}

/// # Safety
/// As `fsync` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    // SAFETY: the type is that of the call, which takes a number.
    strikes("fsync", &path_of(file)).map_or_else(|| unsafe { original::<OfFile>(c"fsync")(file) }, fail)
}

/// # Safety
/// As `rename` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller passes paths, as for the original.
    let strikes = strikes("rename", unsafe { bytes(to) });
    // SAFETY: the type is that of the call, the arguments are those of the caller.
    strikes.map_or_else(|| unsafe { original::<OfPaths>(c"rename")(from, to) }, fail)
}

/// # Safety
/// As `unlink` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller passes a path, as for the original.
    let strikes = strikes("unlink", unsafe { bytes(path) });
    // SAFETY: the type is that of the call, the argument is that of the caller.
    strikes.map_or_else(|| unsafe { original::<OfPath>(c"unlink")(path) }, fail)
}

/// # Safety
/// As `mkdir` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: c_uint) -> c_int {
    // SAFETY: the caller passes a path, as for the original.
    let strikes = strikes("mkdir", unsafe { bytes(path) });
    // SAFETY: the type is that of the call, the arguments are those of the caller.
    strikes.map_or_else(|| unsafe { original::<OfFolder>(c"mkdir")(path, mode) }, fail)
}
