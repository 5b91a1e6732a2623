//! Animations that are stylized frame by frame: GIF, PNG, WebP.
#![no_main]

use std::io::Write;

use libfuzzer_sys::fuzz_target;
use lucida::style::Animation;

/// Maximum number of frames to decode, so that a file with thousands of them does not count as a hang.
const MOST: usize = 20;

fuzz_target!(|bytes: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("a file with the bytes");
    let Ok(Some(animation)) = Animation::open(file.path()) else { return };
    let [height, width] = animation.size();
    if height * width > 1 << 20 {
        return;
    }
    for frame in animation.frames().into_iter().flatten().take(MOST) {
        let Ok(frame) = frame else { return };
        assert_eq!([frame.image.height(), frame.image.width()], animation.size());
    }
});
