//! Downloads from a local server: correct, slow, interrupted, changed, inconsistent, and unreachable.

#[path = "common/server.rs"]
mod server;

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use lucida::Error;
use lucida::core::{Detail, Step, Unit};
use lucida::nn::applications;
use lucida::weights::hub::{self, Checksum, Fetched, Hub, PublishedFile, RetryPolicy, State};
use md5::{Digest, Md5};
use server::{Request, Server, file, head};
use sha2::Sha256;
use tempfile::TempDir;

/// ETag that servers send for the file.
const TAG: &str = "\"one\"";
const ALL: usize = usize::MAX;

/// Pseudorandom bytes.
fn content() -> Vec<u8> {
    (0..300_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn published(bytes: &[u8]) -> PublishedFile {
    let len = bytes.len() as u64;
    PublishedFile {
        network: "vgg16",
        with_top: false,
        address: "https://nowhere.invalid",
        path: "some/file.h5",
        checksum: Some(Checksum::Md5(hex::<Md5>(bytes).leak())),
        size: Some(len),
        about: len,
    }
}

fn hex<D: Digest>(bytes: &[u8]) -> String {
    D::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A cache, a hub, and the file to fetch.
struct Setup {
    _folder: TempDir,
    hub: Hub,
    file: PublishedFile,
    bytes: Vec<u8>,
}

impl Setup {
    fn new(address: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let patience = RetryPolicy {
            connect: Duration::from_secs(2),
            read: Duration::from_secs(1),
            retries: 2,
            pause: Duration::from_millis(10),
        };
        let hub = Hub::new(folder.path().join("deep/weights"), address).unwrap().with_patience(patience);
        let bytes = content();
        Self { _folder: folder, hub, file: published(&bytes), bytes }
    }

    fn of(server: &Server) -> Self {
        Self::new(&server.url())
    }

    /// With a file whose checksum may be known, and whose size is approximate.
    fn knowing(server: &Server, checksum: Option<Checksum>) -> Self {
        let setup = Self::of(server);
        let file = PublishedFile { checksum, size: None, about: 295_000, ..setup.file };
        Self { file, ..setup }
    }

    fn fetch(&self) -> lucida::Result<Fetched> {
        self.hub.fetch(&self.file, &mut ())
    }

    /// Returns the one-line error message.
    fn fail(&self) -> String {
        let error = self.fetch().unwrap_err();
        assert!(matches!(error, Error::Network { .. }), "{error:?}");
        let message = error.to_string();
        assert!(!message.contains('\n'), "{message}");
        // The message explains how to download manually: source URL and target path.
        let (url, path) = (self.hub.url(&self.file), self.path().display().to_string());
        let advice = format!("download {url} yourself and save it as {path}");
        assert!(message.starts_with(&format!("{url}: ")) && message.ends_with(&advice), "{message}");
        message
    }

    fn path(&self) -> PathBuf {
        self.hub.path(&self.file)
    }

    fn part(&self) -> PathBuf {
        self.path().with_extension("h5.part")
    }

    /// Writes a partial download to the cache, as left by an earlier run.
    fn put_part(&self, bytes: &[u8], tag: Option<&str>) {
        fs::create_dir_all(self.hub.folder()).unwrap();
        fs::write(self.part(), bytes).unwrap();
        if let Some(tag) = tag {
            fs::write(self.path().with_extension("h5.tag"), tag).unwrap();
        }
    }

    /// Checks that the file is complete, with only the lock file next to it.
    fn check_good(&self) {
        assert!(fs::read(self.path()).unwrap() == self.bytes);
        assert_eq!(names(self.hub.folder()), ["file.h5", "file.h5.lock"]);
        assert_eq!(self.hub.state(&self.file), State::Present);
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A server that provides the file.
fn good() -> Server {
    Server::start(|_, request, out| file(out, request, &content(), TAG, ALL))
}

#[test]
fn a_file_is_fetched_once() {
    let server = good();
    let setup = Setup::of(&server);
    assert_eq!(setup.hub.state(&setup.file), State::Missing);
    let mut events = Vec::new();
    let fetched = setup.hub.fetch(&setup.file, &mut |step: &Step<'_>| {
        events.push((step.stage.to_owned(), step.done, step.total));
        ControlFlow::Continue(())
    });
    assert_eq!(fetched.unwrap(), Fetched::Now);
    setup.check_good();
    let done: Vec<u64> = events
        .iter()
        .filter(|(stage, _, total)| stage.is_empty() && *total == Some(300_000))
        .map(|(_, done, _)| *done)
        .collect();
    assert!(done.is_sorted() && done.first() == Some(&0) && done.last() == Some(&300_000), "{done:?}");
    assert_eq!(events.last(), Some(&("checksum".to_owned(), 300_000, Some(300_000))));

    assert_eq!(setup.fetch().unwrap(), Fetched::BeforeNow);
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].path, "/some/file.h5");
}

#[test]
fn what_is_damaged_in_the_cache_is_fetched_again() {
    let server = good();
    let setup = Setup::of(&server);
    for bytes in [&[7; 300_000][..], b"a file of another size"] {
        fs::create_dir_all(setup.hub.folder()).unwrap();
        fs::write(setup.path(), bytes).unwrap();
        let state = setup.hub.state(&setup.file);
        assert_eq!(state, if bytes.len() == 300_000 { State::Present } else { State::Foreign(22) });
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
    }
}

#[test]
fn a_slow_server_is_waited_for() {
    let server = Server::start(|_, _, out| {
        head(out, "200 OK", &[("Content-Length", "300000".into())])?;
        for piece in content().chunks(20_000) {
            out.write_all(piece)?;
            out.flush()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    let setup = Setup::of(&server);
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_server_that_stalls_is_asked_again_for_the_rest() {
    let server = Server::start(|number, request, out| {
        file(out, request, &content(), TAG, if number == 0 { 100_000 } else { ALL })?;
        out.flush()?;
        if number == 0 {
            std::thread::sleep(Duration::from_secs(8));
        }
        Ok(())
    });
    let setup = Setup::of(&server);
    let start = Instant::now();
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    assert!(start.elapsed() < Duration::from_secs(8));
    setup.check_good();
    let requests = server.requests();
    assert_eq!((requests.len(), requests[1].from, requests[1].if_range.as_deref()), (2, Some(100_000), Some(TAG)));
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::start(|_, _, _| {
        std::thread::sleep(Duration::from_secs(8));
        Ok(())
    });
    let setup = Setup::of(&server);
    let start = Instant::now();
    let message = setup.fail();
    assert!(message.contains("nothing arrived within 1 s (attempts: 3)"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_download_that_is_cut_off_goes_on() {
    // Each connection transfers 70,000 bytes and breaks. There are more breaks than retries, but each makes progress.
    let server = Server::start(|_, request, out| file(out, request, &content(), TAG, 70_000));
    let setup = Setup::of(&server);
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    let from: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(70_000), Some(140_000), Some(210_000), Some(280_000)]);
}

#[test]
fn a_server_that_brings_nothing_more_is_given_up_and_the_part_kept() {
    let cut = |number: usize| if number == 0 { 70_000 } else { 0 };
    let server = Server::start(move |number, request, out| file(out, request, &content(), TAG, cut(number)));
    let setup = Setup::of(&server);
    let message = setup.fail();
    assert!(message.contains("cut off (attempts: 3); the first 70000 of 300000 bytes are kept"), "{message}");
    assert_eq!(setup.hub.state(&setup.file), State::Partial(70_000));
    drop(server);

    // Later, from another address.
    let server = good();
    let hub = Hub::new(setup.hub.folder(), &server.url()).unwrap();
    let setup = Setup { hub, ..setup };
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    assert_eq!(server.requests()[0].from, Some(70_000));
}

#[test]
fn a_file_that_has_changed_is_fetched_from_its_start() {
    let server = good();
    let setup = Setup::of(&server);
    setup.put_part(&[1; 1000], Some("\"older\""));
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    let requests = server.requests();
    assert_eq!((requests.len(), requests[0].if_range.as_deref()), (1, Some("\"older\"")));
}

#[test]
fn a_part_of_something_else_is_found_out_by_the_checksum() {
    let server = good();
    let setup = Setup::of(&server);
    setup.put_part(&[1; 1000], None);
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    let from: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(from, [Some(1000), None]);

    // A complete partial file needs no request; one longer than the file is downloaded again.
    for (len, requests) in [(300_000, 0), (300_001, 1)] {
        let server = good();
        let setup = Setup::of(&server);
        let mut part = content();
        part.resize(len, 0);
        setup.put_part(&part, None);
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
        assert_eq!(server.requests().len(), requests);
    }
}

#[test]
fn servers_without_ranges_send_the_whole() {
    let server =
        Server::start(|_, request, out| file(out, &Request { from: None, ..request.clone() }, &content(), TAG, ALL));
    let setup = Setup::of(&server);
    setup.put_part(&content()[..1000], None);
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    assert_eq!(server.requests()[0].from, Some(1000));
}

#[test]
fn a_server_that_cannot_go_on_is_asked_for_the_whole() {
    for answer in ["416 Range Not Satisfiable", "206 Partial Content"] {
        let server = Server::start(move |_, request, out| match request.from {
            // Another range than requested.
            Some(_) => {
                head(out, answer, &[("Content-Length", "0".into()), ("Content-Range", "bytes 5-9/300000".into())])
            }
            None => file(out, request, &content(), TAG, ALL),
        });
        let setup = Setup::of(&server);
        setup.put_part(&content()[..1000], None);
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
        assert_eq!(server.requests().len(), 2);
    }
}

/// Torchvision publishes the first digits of a SHA-256, Keras the complete one for newer files.
#[test]
fn a_sha_256_or_its_first_digits_are_checked() {
    let right: &'static str = hex::<Sha256>(&content()).leak();
    for digits in [right, &right[..8], &right[..10]] {
        let server = good();
        let setup = Setup::knowing(&server, Some(Checksum::Sha256(digits)));
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
        assert_eq!(setup.fetch().unwrap(), Fetched::BeforeNow);
        // Damage in the cache that leaves the size unchanged.
        fs::write(setup.path(), vec![7; 300_000]).unwrap();
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
    }
    let server = good();
    let setup = Setup::knowing(&server, Some(Checksum::Sha256("00000000")));
    let message = setup.fail();
    let expected =
        format!("the checksum of what arrived is wrong (SHA-256 {}, not 00000000); it was removed", &right[..8]);
    assert!(message.contains(&expected), "{message}");
    assert_eq!(names(setup.hub.folder()), ["file.h5.lock"]);
}

#[test]
fn a_download_of_unknown_size_goes_on_too() {
    let server = Server::start(|_, request, out| file(out, request, &content(), TAG, 70_000));
    let digits: &'static str = hex::<Sha256>(&content()).leak();
    let setup = Setup::knowing(&server, Some(Checksum::Sha256(&digits[..8])));
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    let from: Vec<_> = server.requests().iter().map(|request| request.from).collect();
    assert_eq!(from, [None, Some(70_000), Some(140_000), Some(210_000), Some(280_000)]);
    // The complete file had arrived, but was not moved into place.
    let server = good();
    let setup = Setup::knowing(&server, setup.file.checksum);
    setup.put_part(&content(), Some(TAG));
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
}

#[test]
fn a_file_of_about_unknown_size_is_limited() {
    let say = |len: usize, told: bool| {
        Server::start(move |_, _, out| {
            let mut bytes = content();
            bytes.resize(len, 0);
            let length = [("Content-Length", len.to_string())];
            head(out, "200 OK", if told { &length } else { &[] })?;
            out.write_all(&bytes)
        })
    };
    for (len, told) in [(200_000, true), (3_000_000, true), (200_000, false), (3_000_000, false)] {
        let server = say(len, told);
        let setup = Setup::knowing(&server, None);
        let message = setup.fail();
        assert!(message.contains(" bytes or more, not about 295000): it is not the published one"), "{message}");
        assert_ne!(setup.hub.state(&setup.file), State::Present);
        assert_eq!(server.requests().len(), 1, "{len}");
    }
}

/// A partial file without checksum and tag could be from another version.
#[test]
fn without_a_checksum_only_a_tagged_part_is_resumed() {
    for (tag, expected) in [(None, None), (Some(TAG), Some(1000))] {
        let server = good();
        let setup = Setup::knowing(&server, None);
        setup.put_part(&content()[..1000], tag);
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
        assert_eq!(server.requests()[0].from, expected);
        assert_eq!(setup.fetch().unwrap(), Fetched::BeforeNow);
        assert_eq!(server.requests().len(), 1);
    }
    // Over plain HTTP, the file could be modified in transit.
    let setup = Setup::new("http://mirror.invalid/files");
    let setup = Setup { file: PublishedFile { checksum: None, ..setup.file }, ..setup };
    assert!(setup.fail().contains("no checksum of this file is published: it is fetched over https only"));
}

#[test]
fn files_come_from_their_publisher_or_from_a_mirror() {
    let file = published(b"");
    let mirror = Hub::new(Path::new("x"), "https://mirror.example/all/").unwrap();
    assert_eq!(mirror.url(&file), "https://mirror.example/all/some/file.h5");
    for (network, url) in [
        (
            "vgg16",
            "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        ),
        ("efficientnet-b0", "https://storage.googleapis.com/keras-applications/efficientnetb0.h5"),
        (
            "convnext-tiny-keras",
            "https://storage.googleapis.com/tensorflow/keras-applications/convnext/convnext_tiny.h5",
        ),
        ("resnet50", "https://download.pytorch.org/models/resnet50-0676ba61.pth"),
    ] {
        let file = hub::published(applications::find(network).unwrap(), true).unwrap();
        assert_eq!(format!("{}/{}", file.address, file.path), url);
    }
}

#[test]
fn a_file_of_another_size_is_refused_before_it_arrives() {
    for size in [299_999, 300_001] {
        let server = Server::start(move |_, _, out| {
            head(out, "200 OK", &[("Content-Length", size.to_string())])?;
            out.write_all(&content())
        });
        let setup = Setup::of(&server);
        let message = setup.fail();
        assert!(message.contains(&format!("another size ({size} bytes or more, not 300000)")), "{message}");
        assert_eq!((server.requests().len(), setup.hub.state(&setup.file)), (1, State::Missing));
    }
    // The response for a range states another total size.
    let server = Server::start(|_, _, out| {
        head(out, "206 Partial Content", &[("Content-Range", "bytes 1000-400000/400001".into())])
    });
    let setup = Setup::of(&server);
    setup.put_part(&content()[..1000], None);
    assert!(setup.fail().contains("another size (400001 bytes"));
}

#[test]
fn a_file_whose_size_nobody_tells_is_limited() {
    // Without a content length, the end of the connection marks the end of the file.
    let of = |len: usize| {
        Server::start(move |_, _, out| {
            let mut bytes = content();
            bytes.resize(len, 0);
            head(out, "200 OK", &[])?;
            out.write_all(&bytes)
        })
    };
    let server = of(300_000);
    let setup = Setup::of(&server);
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();

    let server = of(1_000_000);
    let setup = Setup::of(&server);
    let message = setup.fail();
    assert!(message.contains("another size"), "{message}");
    assert_eq!(names(setup.hub.folder()), ["file.h5.lock"]);

    let server = of(299_000);
    let message = Setup::of(&server).fail();
    assert!(message.contains("the server stopped after 299000 of 300000 bytes (attempts: 3)"), "{message}");
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let server = Server::start(|_, request, out| {
        let mut bytes = content();
        bytes[123_456] ^= 1;
        file(out, request, &bytes, TAG, ALL)
    });
    let setup = Setup::of(&server);
    fs::create_dir_all(setup.hub.folder()).unwrap();
    fs::write(setup.path(), "mine").unwrap();
    let message = setup.fail();
    let expected = format!("not {}); it was removed", hex::<Md5>(&content()));
    assert!(
        message.contains("the checksum of what arrived is wrong (MD5 ") && message.contains(&expected),
        "{message}"
    );
    assert_eq!(names(setup.hub.folder()), ["file.h5", "file.h5.lock"]);
    assert_eq!(fs::read(setup.path()).unwrap(), b"mine");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn refusals_are_told_and_passing_ones_tried_again() {
    for (status, attempts, expected) in [
        ("404 Not Found", 1, "the server has no such file (status 404)"),
        ("410 Gone", 1, "status 410"),
        ("403 Forbidden", 1, "the server answers with status 403"),
        ("304 Not Modified", 1, "status 304"),
        ("503 Service Unavailable", 3, "the server answers with status 503 (attempts: 3)"),
        ("429 Too Many Requests", 3, "status 429 (attempts: 3)"),
    ] {
        let server = Server::start(move |_, _, out| head(out, status, &[("Content-Length", "0".into())]));
        let setup = Setup::of(&server);
        let message = setup.fail();
        assert!(message.contains(expected), "{message}");
        assert_eq!(server.requests().len(), attempts, "{status}");
        assert_eq!(names(setup.hub.folder()), ["file.h5.lock"]);
    }
    let server = Server::start(|number, request, out| match number {
        0 | 1 => head(out, "500 Internal Server Error", &[("Content-Length", "0".into())]),
        _ => file(out, request, &content(), TAG, ALL),
    });
    let setup = Setup::of(&server);
    let mut waits = Vec::new();
    let fetched = setup.hub.fetch(&setup.file, &mut |step: &Step<'_>| {
        if let Detail::Waiting(why) = step.detail {
            waits.push(why.to_owned());
        }
        ControlFlow::Continue(())
    });
    assert_eq!(fetched.unwrap(), Fetched::Now);
    assert_eq!(waits[0], "the server answers with status 500; trying again");
}

#[test]
fn nonsense_is_no_answer() {
    for nonsense in ["", "SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "\0\0\0\0\0\0"] {
        let server = Server::start(move |_, _, out| out.write_all(nonsense.as_bytes()));
        let setup = Setup::of(&server);
        let _ = setup.fail();
        assert_eq!(setup.hub.state(&setup.file), State::Missing);
    }
    // Unlimited headers.
    let server = Server::start(|_, _, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\n")?;
        (0..100_000).try_for_each(|i| write!(out, "X-{i}: nothing\r\n"))
    });
    let _ = Setup::of(&server).fail();
}

#[test]
fn redirects_are_followed_so_far() {
    let to = |out: &mut dyn Write, place: String| {
        head(out, "302 Found", &[("Location", place), ("Content-Length", "0".into())])
    };
    let server = Server::start(move |_, request, out| match request.path.as_str() {
        "/some/file.h5" => to(out, "/elsewhere".into()),
        _ => file(out, request, &content(), TAG, ALL),
    });
    let setup = Setup::of(&server);
    setup.put_part(&content()[..1000], Some(TAG));
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    let last = server.requests().pop().unwrap();
    assert_eq!((last.path.as_str(), last.from, last.if_range.as_deref()), ("/elsewhere", Some(1000), Some(TAG)));

    let server = Server::start(move |_, request, out| to(out, format!("{}x", request.path)));
    let message = Setup::of(&server).fail();
    assert!(message.contains("the server points elsewhere more than 5 times"), "{message}");
    assert!(server.requests().len() <= 6);
}

#[test]
fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::new(&format!("http://127.0.0.1:{port}"));
    let message = setup.fail();
    assert!(message.contains("the connection failed: Connection refused"), "{message}");
    assert!(message.contains("(attempts: 3)"), "{message}");
    // Behind a proxy, the proxy reports the error.
    if ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].iter().any(|name| std::env::var_os(name).is_some()) {
        return;
    }
    let message = Setup::new("http://no-such-host.invalid/files").fail();
    assert!(message.contains("the server's address cannot be found; is there a network?"), "{message}");
}

#[test]
fn stopping_keeps_what_has_arrived() {
    let server = good();
    let setup = Setup::of(&server);
    let stopped = setup.hub.fetch(&setup.file, &mut |step: &Step<'_>| match step.unit {
        Unit::Bytes if step.done > 100_000 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    let State::Partial(kept) = setup.hub.state(&setup.file) else { panic!("nothing was kept") };
    assert!(kept > 100_000);
    assert_eq!(setup.fetch().unwrap(), Fetched::Now);
    setup.check_good();
    assert_eq!(server.requests()[1].from, Some(kept as usize));

    // While it waits before a retry, too.
    let setup = Setup::new("http://127.0.0.1:1");
    let stopped = setup.hub.fetch(&setup.file, &mut |step: &Step<'_>| match step.detail {
        Detail::Waiting(_) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn two_at_once_fetch_it_once() {
    let server = Server::start(|_, request, out| {
        std::thread::sleep(Duration::from_millis(200));
        file(out, request, &content(), TAG, ALL)
    });
    let setup = Arc::new(Setup::of(&server));
    let barrier = Arc::new(Barrier::new(2));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let (setup, barrier) = (setup.clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                setup.fetch().unwrap()
            })
        })
        .collect();
    let mut results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    results.sort_by_key(|fetched| *fetched == Fetched::Now);
    assert_eq!(results, [Fetched::BeforeNow, Fetched::Now]);
    setup.check_good();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_cache_that_cannot_be_is_named() {
    let server = good();
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    fs::write(&in_the_way, "x").unwrap();
    let hub = Hub::new(in_the_way.join("weights"), &server.url()).unwrap();
    let error = hub.fetch(&published(&content()), &mut ()).unwrap_err();
    assert!(error.to_string().ends_with("/file: is a file; a folder is needed"), "{error}");
    assert!(server.requests().is_empty());
}

#[test]
fn addresses_are_checked() {
    for wrong in ["", "ftp://a", "https://", "https:///a", "example.org", "http://a b", "http://a/?q", "http://u@a"] {
        let message = Hub::new(Path::new("x"), wrong).unwrap_err().to_string();
        assert!(message.contains("not an address that begins with https:// or http://"), "{wrong}: {message}");
    }
    let hub = Hub::new(Path::new("x"), "http://a/b/").unwrap();
    assert_eq!(hub.url(&published(b"")), "http://a/b/some/file.h5");
}

/// TLS: the certificate must be trusted and have the right name, and redirects to plain HTTP are rejected.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tls {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    fn pem(name: &str) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls")).join(name)
    }

    fn start(answer: impl Fn(usize, &Request, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static) -> Server {
        let chain = vec![CertificateDer::from_pem_file(pem("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(pem("server.key")).unwrap();
        let provider = Arc::new(rustls_graviola::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let wrap = move |stream| -> Box<dyn server::Connection> {
            Box::new(StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
        };
        Server::start_with(wrap, answer)
    }

    fn setup(server: &Server, host: &str, authority: bool) -> Setup {
        let setup = Setup::new(&format!("https://{host}:{}", server.port()));
        if !authority {
            return setup;
        }
        let hub = setup.hub.clone().with_certificates(pem("authority.pem"));
        Setup { hub, ..setup }
    }

    #[test]
    fn a_trusted_server_is_used() {
        let server = start(|_, request, out| file(out, request, &content(), TAG, 150_000));
        let setup = setup(&server, "localhost", true);
        assert_eq!(setup.fetch().unwrap(), Fetched::Now);
        setup.check_good();
        assert_eq!(server.requests().len(), 2);
    }

    #[test]
    fn a_server_of_another_name_or_authority_is_not() {
        for (host, authority, expected) in [("127.0.0.1", true, "not valid for"), ("localhost", false, "UnknownIssuer")]
        {
            let server = start(|_, request, out| file(out, request, &content(), TAG, ALL));
            let message = setup(&server, host, authority).fail();
            assert!(message.contains("cannot be trusted") && message.contains(expected), "{message}");
            assert!(server.requests().is_empty());
        }
        let server = start(|_, request, out| file(out, request, &content(), TAG, ALL));
        let plain = setup(&server, "localhost", false);
        let hub = plain.hub.clone().with_certificates(pem("make.sh"));
        let error = hub.fetch(&plain.file, &mut ()).unwrap_err();
        assert!(error.to_string().contains("make.sh: contains no certificates"), "{error}");
    }

    #[test]
    fn it_does_not_lead_to_plain_http() {
        let plain = good();
        let place = format!("{}/some/file.h5", plain.url());
        let server = start(move |_, _, out| {
            head(out, "302 Found", &[("Location", place.clone()), ("Content-Length", "0".into())])
        });
        let message = setup(&server, "localhost", true).fail();
        assert!(message.contains("points to an address without https, which is refused"), "{message}");
        assert!(plain.requests().is_empty());
    }

    #[test]
    fn a_server_without_tls_is_no_secure_server() {
        let server = good();
        let _ = setup(&server, "localhost", true).fail();
        assert!(server.requests().len() <= 3);
    }
}
