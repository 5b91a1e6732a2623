//! One kernel, several instruction sets.
//!
//! A kernel is written once, generic over [`Simd`], and compiled once for each instruction set by `multiversion!`. A value
//! of type [`Isa`] selects the version to run, and an `Isa` exists only for an instruction set that this processor has:
//! that makes the calls sound.
//!
//! Rejected: one binary per processor (downloads must run everywhere), and `#[cfg(target_feature)]` (needs `-C target-cpu`,
//! which `cargo install` does not set). WebAssembly leaves no choice: a module is compiled for one instruction set. Plain
//! loops over slices suffice for memory-bound kernels, because the compiler vectorizes them inside a version; the explicit
//! vectors of [`Simd`] are for the micro-kernels, where the accumulators must stay in registers.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use scalar::Scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use wasm::Simd128;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// Which of four vectors holds the maximum, per lane (Zeiler and Fergus's "switch"): eight bytes, in the encoding that the
/// instruction set decodes fastest. By default, a lane mask for each of the four.
pub(crate) type Switch = [u16; 4];

/// The vector operations of one instruction set.
///
/// A value of an implementing type is proof that the processor has the instruction set. All methods are `inline(always)`,
/// so that they are compiled with the target features of the calling version.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of [`LANES`](Self::LANES) floats.
    type Vector: Copy;
    /// Number of floats in a vector.
    const LANES: usize;
    /// The widest tile of the micro-kernels, in vectors.
    const MAX_TILE_WIDTH: usize;
    /// Identifies one of the four vectors of a [`Switch`].
    type Choice: Copy;

    /// The instruction set.
    fn isa(self) -> Isa;

    /// A vector with all lanes set to `value`.
    fn splat(self, value: f32) -> Self::Vector;
    /// `a * b + c`, rounded once where the instruction set has a fused multiply-add.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a - b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The larger of `a` and `b`; `b` where `a` is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller of `a` and `b`; `b` where `a` is NaN.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `x` in the lanes where `a == b`, `y` in the others.
    fn select_eq(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector;
    /// `x` in the lanes where `a > b`, `y` in the others.
    fn select_gt(self, a: Self::Vector, b: Self::Vector, x: Self::Vector, y: Self::Vector) -> Self::Vector;
    /// Mask of the lanes where `a == b`, the first lane in the lowest bit.
    fn equal(self, a: Self::Vector, b: Self::Vector) -> u16;
    /// Mask of the lanes where `a > b`, the first lane in the lowest bit.
    fn greater(self, a: Self::Vector, b: Self::Vector) -> u16;
    /// `x` in the lanes of `mask`, zero in the others.
    fn keep(self, mask: u16, x: Self::Vector) -> Self::Vector;
    /// The maximum of the four in each lane, and the first vector that holds it; with `relu`, zero and no vector where the
    /// maximum is not positive.
    fn largest(self, values: [Self::Vector; 4], relu: bool) -> (Self::Vector, Switch);
    /// The choice of vector `number` of the four.
    fn choice(self, number: usize) -> Self::Choice;
    /// `x` in the lanes where the switch at `at` holds this choice, zero in the others.
    ///
    /// # Safety
    /// A switch of this instruction set can be read from `at`.
    unsafe fn keep_chosen(self, at: *const Switch, choice: Self::Choice, x: Self::Vector) -> Self::Vector;
    /// `x` in the lanes where the switch at `at` holds any choice, zero in the others.
    ///
    /// # Safety
    /// As [`keep_chosen`](Self::keep_chosen).
    unsafe fn keep_open(self, at: *const Switch, x: Self::Vector) -> Self::Vector;
    /// Loads a vector.
    ///
    /// # Safety
    /// `LANES` floats can be read from `from`.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// Loads `count` floats, `count <= LANES`; the other lanes are zero.
    ///
    /// # Safety
    /// `count` floats can be read from `from`.
    unsafe fn load_partial(self, from: *const f32, count: usize) -> Self::Vector;
    /// Stores a vector.
    ///
    /// # Safety
    /// `LANES` floats can be written to `to`.
    unsafe fn store(self, to: *mut f32, value: Self::Vector);
    /// Stores the first `count` lanes, `count <= LANES`.
    ///
    /// # Safety
    /// `count` floats can be written to `to`.
    unsafe fn store_partial(self, to: *mut f32, count: usize, value: Self::Vector);

    /// Prefetches the cache line at any address, if the instruction set supports it.
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    /// Runs `tile` with the number of rows that fills this instruction set's registers at a `width` in vectors.
    ///
    /// # Safety
    /// As [`Tile::run`].
    unsafe fn tile<T: Tile<Self>>(self, width: usize, tile: T);
    /// Number of rows of [`tile`](Self::tile) at this width.
    fn tile_rows(width: usize) -> usize;
}

/// A micro-kernel, generic over a tile of `ROWS` rows and `WIDTH` vectors.
pub(crate) trait Tile<S: Simd> {
    /// Computes the tile.
    ///
    /// # Safety
    /// The pointers that the implementing type holds are valid for a tile of this size.
    unsafe fn run<const ROWS: usize, const WIDTH: usize>(self, simd: S);
}

/// Declares the tile shapes of an instruction set: the number of rows for each width.
macro_rules! tile_shapes {
    ($($width:literal => $rows:literal),* $(,)?) => {
        #[inline(always)]
        unsafe fn tile<T: $crate::simd::Tile<Self>>(self, width: usize, tile: T) {
            match width {
                // SAFETY: the caller's promise is passed on.
                $($width => unsafe { tile.run::<$rows, $width>(self) },)*
                _ => unreachable!("a tile of {width} vectors"),
            }
        }

        fn tile_rows(width: usize) -> usize {
            match width {
                $($width => $rows,)*
                _ => unreachable!("a tile of {width} vectors"),
            }
        }
    };
}
pub(crate) use tile_shapes;

/// Implements the switches of an instruction set as lane masks.
macro_rules! switches_of_masks {
    () => {
        type Choice = usize;

        #[inline(always)]
        fn largest(self, values: [Self::Vector; 4], relu: bool) -> (Self::Vector, $crate::simd::Switch) {
            // Plain loops: functions called in a closure are not always compiled with the instruction set.
            let mut largest = values[0];
            for i in 1..4 {
                largest = self.max(values[i], largest);
            }
            let mut masks = [0; 4];
            let mut open = if relu { self.greater(largest, self.splat(0.0)) } else { !0 };
            for i in 0..4 {
                masks[i] = self.equal(values[i], largest) & open;
                open &= !masks[i];
            }
            (if relu { self.max(self.splat(0.0), largest) } else { largest }, masks)
        }

        #[inline(always)]
        fn choice(self, number: usize) -> usize {
            number
        }

        #[inline(always)]
        unsafe fn keep_chosen(self, at: *const $crate::simd::Switch, choice: usize, x: Self::Vector) -> Self::Vector {
            // SAFETY: the caller promises a switch, and a choice is less than four.
            self.keep(unsafe { *at.cast::<u16>().add(choice) }, x)
        }

        #[inline(always)]
        unsafe fn keep_open(self, at: *const $crate::simd::Switch, x: Self::Vector) -> Self::Vector {
            // SAFETY: the caller promises a switch.
            let [a, b, c, d] = unsafe { at.read() };
            self.keep(a | b | c | d, x)
        }
    };
}
pub(crate) use switches_of_masks;

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Isa(pub(crate) Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    Scalar,
}

impl Isa {
    /// All instruction sets that this processor has, the best first; always includes `scalar`.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("fma") {
                found.push(Self(Kind::Avx512));
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                found.push(Self(Kind::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self(Kind::Neon));
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        found.push(Self(Kind::Simd128));
        found.push(Self(Kind::Scalar));
        found
    }

    /// The best instruction set of this processor.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// Looks up an instruction set by name: `avx512`, `avx2`, `neon`, `simd128`, `relaxed-simd` or `scalar`.
    ///
    /// # Errors
    /// A message listing those that this processor has.
    pub fn from_name(name: &str) -> Result<Self, String> {
        let available = Self::available();
        available.iter().copied().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|isa| isa.name()).collect();
            format!("this processor has no instruction set {name:?}; it has {}", names.join(", "))
        })
    }

    /// The name that [`from_name`](Self::from_name) accepts.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 if cfg!(target_feature = "relaxed-simd") => "relaxed-simd",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => "simd128",
            Kind::Scalar => "scalar",
        }
    }

    /// Number of floats in a vector.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::LANES,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => Neon::LANES,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => Simd128::LANES,
            Kind::Scalar => Scalar::LANES,
        }
    }

    /// Number of rows of a tile of this width in vectors.
    pub(crate) fn tile_rows(self, width: usize) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::tile_rows(width),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::tile_rows(width),
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => Neon::tile_rows(width),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => Simd128::tile_rows(width),
            Kind::Scalar => Scalar::tile_rows(width),
        }
    }

    /// The widest tile of the micro-kernels, in vectors.
    pub(crate) fn max_tile_width(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => Avx512::MAX_TILE_WIDTH,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => Avx2::MAX_TILE_WIDTH,
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => Neon::MAX_TILE_WIDTH,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Kind::Simd128 => Simd128::MAX_TILE_WIDTH,
            Kind::Scalar => Scalar::MAX_TILE_WIDTH,
        }
    }
}

/// Compiles a function once per instruction set; the generated function takes an [`Isa`] as first argument and runs its
/// version.
///
/// ```text
/// multiversion! {
///     pub fn double[simd: S](x: &mut [f32]) { ... }
/// }
/// double(isa, &mut x);
/// ```
macro_rules! multiversion {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident[$simd:ident: $S:ident]($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name(isa: $crate::simd::Isa, $($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, unused_variables)]
            fn generic<$S: $crate::simd::Simd>($simd: $S, $($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx512($($arg: $type),*) $(-> $ret)? {
                // SAFETY: this function runs with the features that the token stands for.
                let token = unsafe { $crate::simd::Avx512::new_unchecked() };
                generic(token, $($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn avx2($($arg: $type),*) $(-> $ret)? {
                // SAFETY: this function runs with the features that the token stands for.
                let token = unsafe { $crate::simd::Avx2::new_unchecked() };
                generic(token, $($arg),*)
            }

            #[cfg(target_arch = "aarch64")]
            #[target_feature(enable = "neon")]
            #[allow(clippy::too_many_arguments)]
            fn neon($($arg: $type),*) $(-> $ret)? {
                // SAFETY: this function runs with the feature that the token stands for.
                let token = unsafe { $crate::simd::Neon::new_unchecked() };
                generic(token, $($arg),*)
            }

            match isa.0 {
                // SAFETY: an `Isa` of this kind exists only where the processor has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Kind::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Kind::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "aarch64")]
                $crate::simd::Kind::Neon => unsafe { neon($($arg),*) },
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                $crate::simd::Kind::Simd128 => generic($crate::simd::Simd128, $($arg),*),
                $crate::simd::Kind::Scalar => generic($crate::simd::Scalar, $($arg),*),
            }
        }
    };
}
pub(crate) use multiversion;

#[cfg(test)]
mod tests;
