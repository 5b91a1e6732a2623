//! Memory use of hostile uploads. This is a separate test, because it measures the memory of the whole process.

mod common;

use std::io::Write;

use common::{Answer, Studio, png_of, resident};

#[test]
#[expect(clippy::too_many_lines, reason = "one upload, step by step")]
fn a_gigabyte_is_refused_before_it_is_read() {
    let studio = Studio::start();
    studio.get("/api/models");
    let Some(before) = resident() else {
        println!("skipped: this system does not tell how much memory is used");
        return;
    };
    let head = "Content-Type: multipart/form-data; boundary=b\r\n";
    let part = "--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\n";
    // With its full size declared.
    let declared = format!(
        "POST /api/images HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n{part}",
        studio.host(),
        1 << 30
    );
    let mut stream = studio.connect();
    let mut sent = stream.write_all(declared.as_bytes()).map_or(0, |()| declared.len());
    let megabyte = vec![0_u8; 1 << 20];
    while sent < 1 << 30 && stream.write_all(&megabyte).is_ok() {
        sent += megabyte.len();
    }
    assert!(sent < 100 << 20, "{sent} bytes were taken");
    assert!(matches!(Answer::read(&mut stream).status, 413 | 0));
    // In chunks, without a declared size.
    let mut stream = studio.connect();
    let chunked = format!(
        "POST /api/images HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{part}\r\n",
        studio.host(),
        part.len()
    );
    stream.write_all(chunked.as_bytes()).unwrap();
    let mut sent = 0;
    let mut chunk = b"100000\r\n".to_vec();
    chunk.extend(&megabyte);
    chunk.extend(b"\r\n");
    while sent < 1 << 30 && stream.write_all(&chunk).is_ok() {
        sent += megabyte.len();
    }
    assert!(sent < 100 << 20, "{sent} bytes were taken");
    // Many at the same time: some are accepted, the others get status 503.
    let uploads: Vec<_> = (0..32)
        .map(|_| {
            let mut stream = studio.connect();
            let length = 30 << 20;
            let head = format!("POST /api/images HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{head}Content-Length: {length}\r\n\r\n{part}", studio.host());
            std::thread::spawn(move || {
                let _ = stream.write_all(head.as_bytes());
                for _ in 0..29 {
                    if stream.write_all(&[0_u8; 1 << 20]).is_err() {
                        break;
                    }
                }
                let _ = stream.shutdown(std::net::Shutdown::Write);
                Answer::read(&mut stream).status
            })
        })
        .collect();
    let statuses: Vec<u16> = uploads.into_iter().map(|upload| upload.join().unwrap()).collect();
    assert!(statuses.iter().all(|status| matches!(status, 0 | 400 | 422 | 503)), "{statuses:?}");
    for _ in 0..20 {
        assert_eq!(studio.upload(&png_of(100_000, 100_000)).status, 413);
    }
    let grown = resident().unwrap() - before;
    assert!(grown < 400 << 20, "memory grew by {} MiB", grown >> 20);
    assert_eq!(studio.get("/").status, 200);
}
