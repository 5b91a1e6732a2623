//! Lists of images on a server: plain text, or the listing of a public bucket on S3 or a compatible server (ListObjectsV2).
//!
//! A bucket is listed in pages of a thousand keys, in XML of which only three elements matter: `Key`, `IsTruncated` and
//! `NextContinuationToken`.

use std::fmt::Write as _;

use crate::{Error, Result};

/// The maximum number of pages, each of a thousand keys.
const MOST_ANSWERS: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Keys(Vec<String>),
    Lines(Vec<u8>),
}

/// Fetches the content of a URL.
pub(super) type Fetch<'a> = dyn Fn(&str) -> Result<Vec<u8>> + 'a;

/// Parses the list at a URL.
pub(super) fn listing(address: &str, fetch: &Fetch<'_>) -> Result<Listing> {
    let bytes = fetch(&question(address, None))?;
    let Some(mut page) = page(&bytes) else { return Ok(Listing::Lines(bytes)) };
    let mut keys = Vec::new();
    for _ in 0..MOST_ANSWERS {
        // Keys that end with a slash are folder markers, not files.
        keys.extend(page.keys.into_iter().filter(|key| !key.ends_with('/')));
        let Some(token) = page.next else { return Ok(Listing::Keys(keys)) };
        let url = question(address, Some(&token));
        page = self::page(&fetch(&url)?).ok_or_else(|| Error::Network {
            url,
            problem: "the rest of the bucket's list is not a ListBucketResult".to_owned(),
        })?;
    }
    Err(Error::Network { url: address.to_owned(), problem: "the bucket's list has no end".to_owned() })
}

/// The URL of a key in a bucket, or of a path in a plain list.
pub(super) fn address_of(list: &str, item: &str) -> String {
    let (base, query) = list.split_once('?').map_or((list, None), |(base, query)| (base, Some(query)));
    let bucket = query.is_some_and(|query| query.contains("prefix=") || query.contains("list-type="));
    let root = if bucket { base.trim_end_matches('/') } else { base.rsplit_once('/').map_or(base, |(root, _)| root) };
    format!("{root}/{}", encoded(item.trim_start_matches('/'), true))
}

/// The URL of one page of a list: a URL with a prefix is that of a bucket.
fn question(address: &str, token: Option<&str>) -> String {
    let mut url = address.to_owned();
    let Some((_, query)) = address.split_once('?') else { return url };
    if query.contains("prefix=") && !query.contains("list-type=") {
        url += "&list-type=2";
    }
    if let Some(token) = token {
        let _ = write!(url, "&continuation-token={}", encoded(token, false));
    }
    url
}

struct Page {
    keys: Vec<String>,
    next: Option<String>,
}

fn page(bytes: &[u8]) -> Option<Page> {
    let text = std::str::from_utf8(bytes).ok()?;
    if !text.trim_start().starts_with('<') || !text.contains("<ListBucketResult") {
        return None;
    }
    let keys = elements(text, "Key").collect();
    let truncated = elements(text, "IsTruncated").next().is_some_and(|value| value == "true");
    Some(Page { keys, next: elements(text, "NextContinuationToken").next().filter(|_| truncated) })
}

/// The text content of all elements with this name.
fn elements<'a>(text: &'a str, name: &str) -> impl Iterator<Item = String> + 'a {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(open.as_str())?;
        let (content, after) = after.split_once(close.as_str())?;
        rest = after;
        Some(unescaped(content))
    })
}

fn unescaped(text: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Percent-encodes a text for use in a URL.
fn encoded(text: &str, path: bool) -> String {
    let mut out = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            b'/' if path => out.push('/'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_listed_page_by_page() {
        let fetch = |url: &str| -> Result<Vec<u8>> {
            let page = match url {
                "https://s3.example/photos?prefix=a/&list-type=2" => {
                    "<?xml version=\"1.0\"?>\n<ListBucketResult><IsTruncated>true</IsTruncated>\
                     <Contents><Key>a/</Key></Contents><Contents><Key>a/1 &amp; 2.jpg</Key></Contents>\
                     <NextContinuationToken>x+/=</NextContinuationToken></ListBucketResult>"
                }
                "https://s3.example/photos?prefix=a/&list-type=2&continuation-token=x%2B%2F%3D" => {
                    "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a/3.png</Key></Contents>\
                     </ListBucketResult>"
                }
                "https://host/list.txt" => "1.jpg\n",
                other => panic!("{other}"),
            };
            Ok(page.into())
        };
        let bucket = "https://s3.example/photos?prefix=a/";
        let keys = vec!["a/1 & 2.jpg".to_owned(), "a/3.png".to_owned()];
        assert_eq!(listing(bucket, &fetch).unwrap(), Listing::Keys(keys));
        assert_eq!(address_of(bucket, "a/1 & 2.jpg"), "https://s3.example/photos/a/1%20%26%202.jpg");
        assert_eq!(listing("https://host/list.txt", &fetch).unwrap(), Listing::Lines(b"1.jpg\n".to_vec()));
        assert_eq!(address_of("https://host/x/list.txt", "b/1.jpg"), "https://host/x/b/1.jpg");
    }
}
