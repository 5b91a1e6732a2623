use super::*;

fn map() -> Scatter {
    let points = [[0.0, 0.0], [10.0, 0.0], [0.0, 5.0], [0.01, 0.0]];
    let names = ["cats & co", "dogs"].map(String::from).to_vec();
    Scatter::new(&points, vec![0, 1, 1, 0], names).unwrap().title("A <map>")
}

fn thumbnails(scatter: &Scatter) -> Vec<(usize, Image)> {
    scatter.with_room().into_iter().map(|index| (index, Image::filled(40, 30, &[9, 200, 9]))).collect()
}

#[test]
fn small_images_do_not_overlap() {
    assert_eq!(map().with_room(), [0, 1, 2]);
    let many: Vec<[f64; 2]> = (0..3000_i32).map(|i| [f64::from(i * 37 % 211), f64::from(i * 53 % 199)]).collect();
    let scatter = Scatter::new(&many, vec![0; 3000], vec!["x".into()]).unwrap();
    let (chosen, size) = (scatter.with_room(), scatter.thumbnail);
    assert!(chosen.len() > 500, "{}", chosen.len());
    for (at, &a) in chosen.iter().enumerate() {
        for &b in &chosen[at + 1..] {
            let ((ax, ay), (bx, by)) = (scatter.points[a], scatter.points[b]);
            assert!((ax - bx).abs() >= size || (ay - by).abs() >= size);
        }
    }
}

#[test]
fn points_lie_where_they_belong() {
    let scatter = map();
    let (first, right, above) = (scatter.points[0], scatter.points[1], scatter.points[2]);
    assert!(right.0 - first.0 > 1000.0 && (right.1 - first.1).abs() < 1e-9);
    // Both axes have the same scale, and y points up.
    assert!((above.0 - first.0).abs() < 1e-9 && ((first.1 - above.1) * 2.0 - (right.0 - first.0)).abs() < 1e-6);
    let image = scatter.image(&thumbnails(&scatter)).unwrap();
    let at = |(x, y): (f64, f64)| image.pixel((PADDING + x) as usize, (scatter.top() + y) as usize).to_vec();
    assert_eq!((at(first), at(right), at(above)), (vec![9, 200, 9], vec![9, 200, 9], vec![9, 200, 9]));
    let plain = scatter.image(&[]).unwrap();
    let (x, y) = scatter.points[1];
    let dog = pale(scatter.color(1));
    assert_eq!(plain.pixel((PADDING + x) as usize, (scatter.top() + y) as usize), dog);
}

#[test]
fn digits_become_ink_of_their_color() {
    let scatter = map();
    let mut digit = Image::filled(28, 28, &[0]);
    digit.pixel_mut(14, 14)[0] = 255;
    assert!(is_ink_on_black(&digit) && !is_ink_on_black(&Image::filled(28, 28, &[200])));
    let small = scatter.small(0, &digit).unwrap();
    assert_eq!(small.pixel(0, 0), BACKGROUND);
    let size = scatter.thumbnail_size();
    assert_eq!((small.width(), small.height()), (size, size));
    assert!(scatter.small(9, &digit).is_err());
}

#[test]
fn the_svg_is_whole_and_escaped() {
    let scatter = map().labels(vec!["a\"<b>.png".into(); 4]);
    let svg = scatter.svg(&thumbnails(&scatter)).unwrap();
    assert_eq!(svg.matches("<circle").count(), 4 + 2);
    assert_eq!(svg.matches("<image x=").count(), 3);
    assert!(svg.contains("<title>a&quot;&lt;b&gt;.png (cats &amp; co)</title>"), "{svg}");
    assert!(svg.contains("A &lt;map&gt;") && !svg.contains("<map>") && svg.ends_with("</svg>\n"));
    assert_eq!(svg, scatter.svg(&thumbnails(&scatter)).unwrap());
}

#[test]
fn odd_maps() {
    let names = || vec!["x".to_owned()];
    assert!(Scatter::new(&[], vec![], names()).is_err());
    assert!(Scatter::new(&[[0.0; 2]], vec![1], names()).is_err());
    assert!(Scatter::new(&[[0.0, f64::NAN]], vec![0], names()).is_err());
    // A single point, and several at the same position.
    for count in [1, 5] {
        let scatter = Scatter::new(&vec![[3.0; 2]; count], vec![0; count], names()).unwrap();
        assert_eq!(scatter.with_room(), [0]);
        scatter.image(&thumbnails(&scatter)).unwrap();
    }
    let many: Vec<String> = (0..1000).map(|class| format!("class {class}")).collect();
    let scatter = Scatter::new(&[[0.0; 2], [1.0; 2]], vec![3, 999], many).unwrap();
    assert!(scatter.svg(&[]).unwrap().contains("and 976 more"));
}
