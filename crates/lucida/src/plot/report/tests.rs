use super::*;
use crate::data::Image;
use crate::plot::{Bars, Confusion, Curves};

/// Checks that elements are nested and closed correctly, and that text and attributes contain no unescaped markup.
fn assert_well_formed(markup: &str) {
    const VOID: [&str; 4] = ["meta", "link", "img", "br"];
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        if open.last() != Some(&"style") {
            assert!(!text.contains('>'), "bare > in {text:?}");
            for entity in text.split('&').skip(1) {
                let name = entity.split(';').next().unwrap();
                assert!(["amp", "lt", "gt", "quot", "#39"].contains(&name), "&{name}; in {text:?}");
            }
        }
        // An attribute value may contain anything except its quote and `<`, which are escaped.
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "before {rest:.60}");
        } else if !tag.starts_with(['?', '!']) && !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "not closed: {open:?}");
}

fn figures() -> Vec<crate::plot::Figure> {
    let names = ["cat & dog", "<b>", "\"quoted\""].map(str::to_owned).to_vec();
    let curves = Curves::accuracy_and_loss(&[0.5, 0.8], &[0.6, f64::NAN], &[1.0, 0.5], &[0.9, 0.6]);
    let mut all = vec![
        curves.figure(),
        Confusion::new(names, vec![5, 0, 1, 0, 9, 3, 2, 2, 7]).unwrap().title("a < b").figure(),
        Bars::new([("x > y", 0.25), ("z", 0.75)]).unwrap().title("'bars'").figure(),
    ];
    all.extend(curves.figures());
    all
}

fn sample() -> Report {
    let digits = || (0..12_u8).map(|i| Image::filled(28, 28, &[i * 20]));
    let gallery = digits().fold(Gallery::new(2), |all, digit| all.item(digit, "7\n99.9 %", false));
    let content = figures().iter().fold(Content::new(), |content, figure| content.figure(figure, "a caption & more"));
    let more = Content::new().gallery(&gallery).unwrap().table(&Table::new(["a", "b"]).row(["1", "2"]));
    Report::new("A <title>")
        .subtitle("of & by")
        .section("Figures", content)
        .section("Images", more.clone().beside([more.clone(), more.clone()]).details("more", more))
        .footer("the end")
}

#[test]
fn drawings_are_well_formed_and_always_the_same() {
    for (figure, again) in figures().iter().zip(figures()) {
        assert_well_formed(&figure.svg());
        assert_well_formed(&figure.inline_svg());
        assert_eq!(figure.svg(), again.svg());
        assert_eq!(figure.image(1.5).unwrap(), again.image(1.5).unwrap());
    }
}

#[test]
fn the_page_is_well_formed_and_asks_for_nothing_outside() {
    let html = sample().html();
    assert_well_formed(&html);
    for outside in ["http:", "https:", "//cdn", "url(", "@import", "<script", "src=\"/", "file:"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let sources = html.match_indices("src=\"").map(|(at, _)| &html[at + 5..at + 10]);
    assert!(sources.clone().count() == 48 && sources.into_iter().all(|source| source == "data:"));
    assert!(html.contains("<title>A &lt;title&gt;</title>"));
    assert!(html.contains("<a href=\"#section-2\">Images</a>") && html.contains("<section id=\"section-2\">"));
    assert_eq!(html, sample().html());
}

#[test]
fn saving_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index.html");
    sample().save(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), sample().html());
    let nowhere = folder.path().join("missing").join("index.html");
    let message = sample().save(&nowhere).unwrap_err().to_string();
    assert!(message.contains("missing"), "{message}");
}

/// Checks the contrast of text colors with their backgrounds in both themes.
#[test]
fn texts_can_be_read_in_both_themes() {
    let (light, dark) = STYLE.split_once("prefers-color-scheme: dark").unwrap();
    let dark = dark.split_once("}\n}").unwrap().0;
    for theme in [light, dark] {
        let color = |name: &str| -> crate::plot::Rgb {
            let hex = theme.split_once(&format!("--{name}: #")).unwrap().1;
            [0, 2, 4].map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        };
        for text in ["ink", "muted", "accent", "alarm"] {
            for under in ["page", "surface"] {
                let ratio = crate::plot::contrast(color(text), color(under));
                assert!(ratio >= 4.5, "{text} on {under}: {ratio:.2}");
            }
        }
        assert!(crate::plot::contrast(color("alarm"), color("alarm-page")) >= 4.5);
        for series in ["series-0", "series-1"] {
            assert!(crate::plot::contrast(color(series), color("surface")) >= 3.0);
        }
    }
}
