use super::*;

multiversion! {
    /// All operations on one vector: `min(max(a * b + c + a, b), 9)`, with full and partial loads and stores.
    fn exercise[simd: S](a: &[f32], b: &[f32], c: &[f32], count: usize, out: &mut [f32]) {
        assert!(count <= S::LANES && a.len() >= S::LANES && b.len() >= S::LANES && c.len() >= S::LANES);
        assert!(out.len() >= 4 * S::LANES);
        // SAFETY: the lengths are checked above.
        unsafe {
            let (x, y) = (simd.load(a.as_ptr()), simd.load(b.as_ptr()));
            let z = simd.load_partial(c.as_ptr(), count);
            let value = simd.min(simd.max(simd.add(simd.mul_add(x, y, z), x), y), simd.splat(9.0));
            simd.store(out.as_mut_ptr(), value);
            let larger = simd.select_gt(x, y, simd.splat(1.0), simd.splat(2.0));
            let kind = simd.select_eq(x, y, simd.splat(0.0), larger);
            simd.store_partial(out.as_mut_ptr().add(S::LANES), count, kind);
            let masked = simd.add(simd.keep(simd.greater(x, y), x), simd.keep(simd.equal(x, y), simd.splat(100.0)));
            simd.store(out.as_mut_ptr().add(2 * S::LANES), masked);
            simd.store(out.as_mut_ptr().add(3 * S::LANES), simd.sub(simd.mul(x, y), x));
        }
    }
}

multiversion! {
    fn own[simd: S]() -> Isa {
        simd.isa()
    }
}

#[test]
fn vectors_compute_what_floats_compute() {
    // Small integers, so that every operation is exact, fused or not.
    let a: Vec<f32> = (0..16).map(|i| i as f32 - 5.0).collect();
    let b: Vec<f32> = (0..16).map(|i| (i * 7 % 5) as f32).collect();
    let c: Vec<f32> = (0..16).map(|i| 100.0 + i as f32).collect();
    for isa in Isa::available() {
        let lanes = isa.lanes();
        assert_eq!(own(isa), isa);
        for count in 0..=lanes {
            let mut out = vec![-1.0; 4 * lanes];
            exercise(isa, &a, &b, &c, count, &mut out);
            for i in 0..lanes {
                let added = if i < count { c[i] } else { 0.0 };
                assert_eq!(
                    out[i],
                    (a[i] * b[i] + added + a[i]).max(b[i]).min(9.0),
                    "{} lane {i} of {count}",
                    isa.name()
                );
                let kind = if a[i] == b[i] {
                    0.0
                } else if a[i] > b[i] {
                    1.0
                } else {
                    2.0
                };
                assert_eq!(out[lanes + i], if i < count { kind } else { -1.0 }, "{} stores {count}", isa.name());
                let masked = if kind == 1.0 { a[i] } else { 100.0 * f32::from(u8::from(kind == 0.0)) };
                assert_eq!(out[2 * lanes + i], masked, "{} masks", isa.name());
                assert_eq!(out[3 * lanes + i], a[i] * b[i] - a[i], "{} subtracts", isa.name());
            }
        }
    }
}

multiversion! {
    /// For each of the four rows of `values`, ones where it holds the maximum; then ones where any does, and the maxima.
    fn exercise_switch[simd: S](values: &[f32], relu: bool, out: &mut [f32]) {
        assert!(values.len() == 4 * S::LANES && out.len() == 6 * S::LANES);
        // SAFETY: the lengths are checked above.
        unsafe {
            let mut rows = [simd.splat(0.0); 4];
            for (row, from) in rows.iter_mut().zip(values.chunks_exact(S::LANES)) {
                *row = simd.load(from.as_ptr());
            }
            let (largest, switch) = simd.largest(rows, relu);
            for number in 0..4 {
                let chosen = simd.keep_chosen(&raw const switch, simd.choice(number), simd.splat(1.0));
                simd.store(out.as_mut_ptr().add(number * S::LANES), chosen);
            }
            simd.store(out.as_mut_ptr().add(4 * S::LANES), simd.keep_open(&raw const switch, simd.splat(1.0)));
            simd.store(out.as_mut_ptr().add(5 * S::LANES), largest);
        }
    }
}

#[test]
fn a_switch_is_the_first_of_the_largest() {
    for isa in Isa::available() {
        let lanes = isa.lanes();
        // All arrangements of -1, 0 and 1 in four places, with ties.
        for start in 0..81 {
            let value = |number: usize, lane: usize| (start + lane) / 3_usize.pow(number as u32) % 3;
            let values: Vec<f32> = (0..4 * lanes).map(|i| value(i / lanes, i % lanes) as f32 - 1.0).collect();
            for relu in [false, true] {
                let mut out = vec![-1.0; 6 * lanes];
                exercise_switch(isa, &values, relu, &mut out);
                for lane in 0..lanes {
                    let of: Vec<f32> = (0..4).map(|number| values[number * lanes + lane]).collect();
                    let largest = of.iter().copied().fold(f32::MIN, f32::max);
                    let first = of.iter().position(|&value| value == largest && (largest > 0.0 || !relu));
                    for number in 0..4 {
                        let chosen = f32::from(u8::from(first == Some(number)));
                        assert_eq!(out[number * lanes + lane], chosen, "{} {of:?} {number}", isa.name());
                    }
                    assert_eq!(out[4 * lanes + lane], f32::from(u8::from(first.is_some())), "{} {of:?}", isa.name());
                    let expected = if relu { largest.max(0.0) } else { largest };
                    assert_eq!(out[5 * lanes + lane], expected, "{} {of:?}", isa.name());
                }
            }
        }
    }
}

#[test]
fn an_unknown_instruction_set_is_refused_with_the_known_ones() {
    let message = Isa::from_name("mmx").unwrap_err();
    assert!(message.contains("\"mmx\"") && message.contains("scalar"), "{message}");
    assert_eq!(Isa::from_name("scalar").unwrap().name(), "scalar");
    assert_eq!(Isa::from_name(Isa::best().name()).unwrap(), Isa::best());
}
