//! Tensors of an ONNX graph, in terms of the layers of a network.
//!
//! A network's images are (height, width, channels) in memory, an ONNX graph's tensors have their axes in any order, and
//! `Transpose`, `Reshape`, `Flatten`, `Squeeze` and `Unsqueeze` move and merge them. None of these needs to be computed: a
//! [`Symbol`] tracks which axes of the layer's output, its *atoms*, make up each axis of the ONNX tensor. An image (height
//! 0, width 1, channels 2) is `[[2], [0], [1]]` in PyTorch's order, `[[2, 0, 1]]` when that is flattened; a dense layer
//! after it derives the order of its kernel's rows from the difference to `[[0, 1, 2]]`. If a `Reshape` splits an axis, its
//! atom is split, until the parts are adjacent again; an operator that needs its values in the tensor's order gets layers
//! that reorder them (see [`memory`](super::memory)).

use std::collections::VecDeque;
use std::rc::Rc;

use super::super::tensor::{Constant, Int, first};

/// The reason why a reshape needs the values in the tensor's order.
pub(super) const CUTS_ACROSS: &str = "cuts across axes that have been moved";

/// Maximum number of axes of a tensor.
pub(super) const MAX_RANK: usize = 16;

/// A tensor: constant, or computed by a layer.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Constant(Constant),
    Symbol(Symbol),
}

/// The output of a layer, with the axes of the ONNX tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Symbol {
    /// The index of the layer.
    pub(super) draft: usize,
    /// The sizes of the axes in the layer's memory order. For a flat layer, these may be the axes before flattening.
    pub(super) atoms: Rc<[usize]>,
    /// The same, before any axis was split.
    pub(super) whole: Rc<[usize]>,
    /// For each axis of the tensor except the batch: the atoms that it consists of, slowest first. Atoms of size one are
    /// omitted.
    pub(super) axes: Vec<Vec<usize>>,
}

/// The axis order of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    ChannelsFirst,
    ChannelsLast,
}

impl Order {
    /// The axes (without the batch) of height, width and channels.
    pub(super) fn places(self) -> [usize; 3] {
        match self {
            Self::ChannelsFirst => [1, 2, 0],
            Self::ChannelsLast => [0, 1, 2],
        }
    }
}

impl Symbol {
    /// An image.
    pub(super) fn image(draft: usize, sizes: [usize; 3], order: Order) -> Self {
        Self::of_axes(draft, &sizes, &order.places())
    }

    /// A tensor whose axes, with these sizes, are in the layer's memory order.
    pub(super) fn in_order(draft: usize, sizes: &[usize]) -> Self {
        let axes = (0..sizes.len()).map(|axis| vec![axis]).collect();
        Self { draft, atoms: sizes.into(), whole: sizes.into(), axes }.normal()
    }

    /// A tensor whose axes, with these sizes, have the memory order `places`, slowest first.
    pub(super) fn of_axes(draft: usize, sizes: &[usize], places: &[usize]) -> Self {
        let mut axes = vec![Vec::new(); places.len()];
        places.iter().enumerate().for_each(|(atom, &axis)| axes[axis] = vec![atom]);
        Self { draft, atoms: sizes.into(), whole: sizes.into(), axes }.normal()
    }

    /// Whether the axes in this order are in the layer's memory order.
    pub(super) fn in_order_of(&self, order: &[usize]) -> bool {
        order.iter().flat_map(|&axis| &self.axes[axis]).is_sorted()
    }

    /// The memory position of each value, in the order of the tensor.
    pub(super) fn places(&self) -> Vec<usize> {
        let mut places = vec![0];
        for &atom in self.axes.iter().flatten() {
            let step = self.atoms[atom + 1..].iter().product::<usize>();
            places = places.iter().flat_map(|&place| (0..self.atoms[atom]).map(move |i| place + i * step)).collect();
        }
        places
    }

    /// A vector along axis `axis` of `rank` (without the batch); the other axes have size one.
    pub(super) fn vector(draft: usize, features: usize, axis: usize, rank: usize) -> Self {
        let mut axes = vec![Vec::new(); rank];
        axes[axis] = vec![0];
        Self { draft, atoms: [features].into(), whole: [features].into(), axes }.normal()
    }

    /// Removes atoms of size one.
    pub(super) fn normal(mut self) -> Self {
        let atoms = self.atoms.clone();
        self.axes.iter_mut().for_each(|axis| axis.retain(|&atom| atoms[atom] != 1));
        self
    }

    /// The size of an axis.
    pub(super) fn size(&self, axis: usize) -> usize {
        self.axes[axis].iter().map(|&atom| self.atoms[atom]).product()
    }

    /// The number of values per sample.
    pub(super) fn len(&self) -> usize {
        self.atoms.iter().product()
    }

    /// The shape for messages: `(batch, 24, 14, 14)`.
    pub(super) fn shape(&self) -> String {
        let sizes: Vec<String> = (0..self.axes.len()).map(|axis| self.size(axis).to_string()).collect();
        if sizes.is_empty() { "(batch)".into() } else { format!("(batch, {})", sizes.join(", ")) }
    }

    /// Resolves an ONNX axis, where 0 is the batch, and negative ones count from the end.
    pub(super) fn axis(&self, number: i64) -> Result<usize, String> {
        let rank = self.axes.len() as i64 + 1;
        let axis = if number < 0 { number + rank } else { number };
        match axis {
            0 => Err("works along the batch, which is not supported".into()),
            _ if (1..rank).contains(&axis) => Ok(axis as usize - 1),
            _ => Err(format!("names axis {number} of a tensor of {}", self.shape())),
        }
    }

    /// Atoms larger than one.
    fn lasting(&self) -> Vec<usize> {
        (0..self.atoms.len()).filter(|&atom| self.atoms[atom] != 1).collect()
    }

    /// Whether an axis consists only of the atom `atom`.
    fn is(&self, axis: usize, atom: usize) -> bool {
        self.axes[axis] == [atom] || (self.axes[axis].is_empty() && self.atoms[atom] == 1)
    }

    /// The axis order, if the axes are those of an image.
    pub(super) fn order(&self) -> Option<Order> {
        if self.axes.len() != 3 || self.atoms.len() != 3 {
            return None;
        }
        let fits = |order: Order| order.places().into_iter().enumerate().all(|(atom, axis)| self.is(axis, atom));
        [Order::ChannelsFirst, Order::ChannelsLast].into_iter().find(|&order| fits(order))
    }

    /// The axis that has all values, and the memory position of each of its values if they are in another order.
    pub(super) fn features(&self) -> Option<(usize, Option<Vec<usize>>)> {
        let lasting = self.lasting();
        let axis = match self.axes.iter().position(|axis| !axis.is_empty()) {
            Some(axis) if self.axes[axis].len() == lasting.len() => axis,
            Some(_) => return None,
            // A single value: the first axis is used.
            None if self.axes.is_empty() => return None,
            None => 0,
        };
        if self.axes[axis].is_sorted() {
            return Some((axis, None));
        }
        Some((axis, Some(self.places())))
    }

    /// Reshapes to axes of these sizes, including the batch; as in `Reshape`, 0 keeps the size of an axis, and -1 is
    /// inferred. `batch` is the size of the batch, if fixed.
    pub(super) fn reshape(&self, target: &[Int], batch: Option<usize>, zero_is_zero: bool) -> Result<Self, String> {
        let shown = || {
            let sizes: Vec<String> =
                first(target).iter().map(|size| size.known().map_or("batch".into(), |size| size.to_string())).collect();
            format!("{} to ({})", self.shape(), sizes.join(", "))
        };
        let refuse = |why: &str| Err(format!("reshaping {} {why}", shown()));
        let Some((&start, rest)) = target.split_first().filter(|(_, rest)| rest.len() < MAX_RANK) else {
            return refuse("has no axis for the batch, or too many axes");
        };
        let mut sizes = Vec::with_capacity(rest.len());
        for (index, size) in rest.iter().enumerate() {
            match size.known() {
                Some(0) if !zero_is_zero && index < self.axes.len() => sizes.push(Some(self.size(index))),
                Some(-1) if !sizes.contains(&None) => sizes.push(None),
                Some(size) if size > 0 => sizes.push(Some(size as usize)),
                _ => return refuse("is not possible"),
            }
        }
        let known = sizes.iter().flatten().try_fold(1_usize, |product, &size| product.checked_mul(size));
        let open = sizes.contains(&None);
        let total = self.len();
        // A batch traced as 1 represents any size.
        let keeps_batch = match start {
            Int::Batch => true,
            Int::Known(0) => !zero_is_zero,
            Int::Known(-1) => !open,
            Int::Known(size) => usize::try_from(size).is_ok_and(|size| batch.map_or(size == 1, |batch| size == batch)),
        };
        if !keeps_batch {
            return refuse("merges the batch with other axes, which is not supported");
        }
        let left = match known {
            Some(known) if known > 0 && total.is_multiple_of(known) && (open || known == total) => total / known,
            _ => return refuse("does not keep the number of values, or merges the batch with other axes"),
        };
        let sizes: Vec<usize> = sizes.into_iter().map(|size| size.unwrap_or(left)).collect();
        match self.split_into(&sizes) {
            Some(symbol) => Ok(symbol),
            None => refuse(CUTS_ACROSS),
        }
    }

    /// [`reshape`](Self::reshape) of a flat tensor whose axes had these sizes, which zeros refer to.
    pub(super) fn reshape_from(
        &self,
        sizes: &[usize],
        target: &[Int],
        batch: Option<usize>,
        zero_is_zero: bool,
    ) -> Result<Self, String> {
        let size = |(place, &size): (usize, &Int)| match size {
            Int::Known(0) if place > 0 && !zero_is_zero => sizes.get(place - 1).map_or(size, |&s| Int::Known(s as i64)),
            size => size,
        };
        let target: Vec<Int> = target.iter().enumerate().map(size).collect();
        self.reshape(&target, batch, zero_is_zero)
    }

    /// Splits the values into axes of these sizes, splitting atoms where necessary; `None` if an axis would end within an
    /// atom that it does not divide.
    fn split_into(&self, sizes: &[usize]) -> Option<Self> {
        let mut atoms = self.atoms.to_vec();
        let mut queue: VecDeque<usize> = self.axes.iter().flatten().copied().collect();
        let mut axes: Vec<Vec<usize>> = Vec::with_capacity(sizes.len());
        for &size in sizes {
            axes.push(Vec::new());
            let mut product = 1;
            while product < size {
                let atom = queue.pop_front()?;
                if !size.is_multiple_of(product) {
                    return None;
                }
                let part = size / product;
                if atoms[atom] > part {
                    if !atoms[atom].is_multiple_of(part) {
                        return None;
                    }
                    atoms.insert(atom + 1, atoms[atom] / part);
                    atoms[atom] = part;
                    let later = queue.iter_mut().chain(axes.iter_mut().flatten()).filter(|other| **other > atom);
                    later.for_each(|other| *other += 1);
                    queue.push_front(atom + 1);
                }
                product *= atoms[atom];
                axes.last_mut()?.push(atom);
            }
            if product != size {
                return None;
            }
        }
        Some(Self { atoms: atoms.into(), axes, ..self.clone() }.rejoined())
    }

    /// Rejoins the parts of a split atom that are adjacent in an axis.
    fn rejoined(self) -> Self {
        if self.atoms.len() == self.whole.len() {
            return self;
        }
        let (mut atoms, mut axes, mut at) = (self.atoms.to_vec(), self.axes.clone(), 0);
        for &size in self.whole.iter() {
            let (mut count, mut product) = (1, atoms[at]);
            while product < size {
                product *= atoms[at + count];
                count += 1;
            }
            let parts: Vec<usize> = (at..at + count).collect();
            let found = axes.iter_mut().find_map(|axis| {
                let place = axis.windows(count).position(|window| window == parts)?;
                Some((axis, place))
            });
            match found {
                Some((axis, place)) if count > 1 => {
                    axis.drain(place + 1..place + count);
                    atoms.splice(at..at + count, [size]);
                    axes.iter_mut().flatten().filter(|atom| **atom >= at + count).for_each(|atom| *atom -= count - 1);
                    at += 1;
                }
                _ => at += count,
            }
        }
        Self { atoms: atoms.into(), axes, ..self }
    }

    /// `Transpose`.
    pub(super) fn transpose(&self, permutation: &[i64]) -> Result<Self, String> {
        let bad = || format!("transposes {} by {:?}", self.shape(), first(permutation));
        let mut axes = Vec::new();
        let mut seen = vec![false; self.axes.len()];
        match permutation.split_first() {
            Some((0, rest)) if rest.len() == self.axes.len() => {
                for &from in rest {
                    let from = self.axis(from).map_err(|_| bad())?;
                    if std::mem::replace(&mut seen[from], true) {
                        return Err(bad());
                    }
                    axes.push(self.axes[from].clone());
                }
                Ok(Self { axes, ..self.clone() }.rejoined())
            }
            Some((_, rest)) if rest.len() == self.axes.len() => {
                Err(format!("{}: moving the batch is not supported", bad()))
            }
            _ => Err(bad()),
        }
    }

    /// `Squeeze`: removes these axes, or all of size one.
    pub(super) fn squeeze(&self, axes: Option<&[i64]>, batch: Option<usize>) -> Result<Self, String> {
        let removed: Vec<usize> = match axes {
            Some(axes) => axes.iter().map(|&axis| self.axis(axis)).collect::<Result<_, _>>()?,
            None if batch == Some(1) => return Err("without axes would remove the batch".into()),
            None => (0..self.axes.len()).filter(|&axis| self.axes[axis].is_empty()).collect(),
        };
        if let Some(&axis) = removed.iter().find(|&&axis| !self.axes[axis].is_empty()) {
            return Err(format!("removes axis {} of {}, which has more than one value", axis + 1, self.shape()));
        }
        let kept = self.axes.iter().enumerate().filter(|(axis, _)| !removed.contains(axis));
        Ok(Self { axes: kept.map(|(_, axis)| axis.clone()).collect(), ..self.clone() })
    }

    /// `Unsqueeze`: inserts axes of size one at these positions of the result.
    pub(super) fn unsqueeze(&self, places: &[i64]) -> Result<Self, String> {
        let rank = (self.axes.len() + 1).saturating_add(places.len());
        if rank > MAX_RANK {
            return Err(format!("makes a tensor of {rank} axes; {MAX_RANK} are supported"));
        }
        let wide = Self { axes: vec![Vec::new(); rank - 1], ..self.clone() };
        let new: Vec<usize> = places.iter().map(|&place| wide.axis(place)).collect::<Result<_, _>>()?;
        let mut old = self.axes.iter();
        let axes = (0..rank - 1).map(|place| if new.contains(&place) { Some(Vec::new()) } else { old.next().cloned() });
        let axes: Option<Vec<_>> = axes.collect();
        match axes {
            Some(axes) if old.next().is_none() => Ok(Self { axes, ..self.clone() }),
            _ => Err("names an axis twice".into()),
        }
    }
}
