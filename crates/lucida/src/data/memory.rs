//! The memory available for keeping images.

use crate::core::memory_limit;

/// The assumed free memory if the system does not report it: 2 GiB.
const UNKNOWN: u64 = 2 << 30;

/// The free memory in bytes, or an assumed value if unknown.
pub fn free_memory() -> u64 {
    free().unwrap_or(UNKNOWN)
}

/// A quarter of the free memory in bytes, or of the [limit](crate::core::set_memory_limit) if that is less: the default limit
/// for images kept in memory.
pub fn memory_to_keep() -> u64 {
    free_memory().min(memory_limit().unwrap_or(u64::MAX)) / 4
}

/// The free memory of the machine or of this process's container, whichever is less.
fn free() -> Option<u64> {
    let of_machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| available(&text));
    let number = |name: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse().ok()
    };
    let of_container = number("memory.max").zip(number("memory.current")).map(|(most, used)| most.saturating_sub(used));
    of_machine.into_iter().chain(of_container).min()
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_linux_is_read() {
        let text = "MemTotal:       24689772 kB\nMemFree:  1 kB\nMemAvailable:   14680064 kB\n";
        assert_eq!(available(text), Some(14_680_064 * 1024));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
        assert_eq!(available("MemAvailable: much kB\n"), None);
        assert!(memory_to_keep() > 0);
    }
}
