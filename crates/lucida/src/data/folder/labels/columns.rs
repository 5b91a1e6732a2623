//! The roles of a table's columns, and the targets in its cells.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::hints::is_image_file;
use super::super::walk::files_below;
use super::table::{Row, Table};
use super::{LabelSource, file_name};
use crate::data::TargetKind;
use crate::error::TableFault;
use crate::{Error, Result};

/// The number of rows examined to find the column of file names.
const LOOKED_AT: usize = 50;
/// The maximum number of different integers in a column of classes, which must occur twice on average.
const MOST_NUMBERED: usize = 20;

/// The class, and the row of labels or values.
type Target = (usize, Vec<f32>);

/// The selected columns.
#[derive(Debug)]
pub(super) struct Columns {
    file: usize,
    targets: Vec<usize>,
    group: Option<usize>,
    pub(super) kind: TargetKind,
}

impl Columns {
    /// Selects the columns that the source does not specify.
    pub(super) fn choose(table: &Table, folder: &Path, source: &LabelSource) -> Result<Self> {
        let group = source.group.as_deref().map(|name| table.column(name)).transpose()?;
        let file = match &source.file_column {
            Some(name) => table.column(name)?,
            None => file_column(table, folder)?,
        };
        let named = source.target_columns.iter().map(|name| table.column(name)).collect::<Result<Vec<_>>>()?;
        let targets = if named.is_empty() { others(table, file, group)? } else { named };
        let used = |what: &str, column: usize| {
            let problem = format!("is the column of the {what}, not of a target");
            Err(table.fault_of(TableFault::TargetColumns, None, Some(column), problem))
        };
        if targets.contains(&file) {
            return used("file names", file);
        }
        if let Some(group) = group.filter(|group| targets.contains(group)) {
            return used("groups", group);
        }
        let kind = match source.targets {
            Some(kind) => kind,
            None => kind_of(table, &targets)?,
        };
        if kind == TargetKind::Classes && targets.len() > 1 {
            let names: Vec<&str> = targets.iter().map(|&column| table.header()[column].as_str()).collect();
            let problem = format!("classes are in one column, not in {} ({})", targets.len(), names.join(", "));
            return Err(table.fault_of(TableFault::TargetColumns, None, None, problem));
        }
        Ok(Self { file, targets, group, kind })
    }

    /// The source with the selected columns filled in.
    pub(super) fn resolved(&self, table: &Table, source: &LabelSource) -> LabelSource {
        let name = |column: usize| table.header()[column].clone();
        LabelSource {
            table: Some(table.path().canonicalize().unwrap_or_else(|_| table.path().to_owned())),
            file_column: Some(name(self.file)),
            target_columns: self.targets.iter().map(|&column| name(column)).collect(),
            targets: Some(self.kind),
            ..source.clone()
        }
    }

    /// The column of the classes, for a summary; labels and values are named by their columns.
    pub(super) fn described(&self, table: &Table) -> String {
        match self.kind {
            TargetKind::Classes => format!(" in column {}", table.header()[self.targets[0]]),
            TargetKind::Labels | TargetKind::Values => String::new(),
        }
    }

    /// The names of the classes, labels or values, and the targets of each row.
    pub(super) fn targets(&self, table: &Table) -> Result<(Vec<String>, Vec<Target>)> {
        for row in table.rows() {
            if let Some(&empty) = self.targets.iter().find(|&&column| row.cells[column].is_empty()) {
                let problem = "is empty: fill the cell in, or remove the row".to_owned();
                return Err(table.fault(Some(row.number), Some(empty), problem));
            }
        }
        if self.kind == TargetKind::Classes {
            return self.classes(table);
        }
        let names = self.targets.iter().map(|&column| table.header()[column].clone()).collect();
        let row = |row: &Row| {
            let cell = |&column: &usize| self.value(table, row, column);
            Ok((0, self.targets.iter().map(cell).collect::<Result<Vec<_>>>()?))
        };
        Ok((names, table.rows().iter().map(row).collect::<Result<_>>()?))
    }

    fn classes(&self, table: &Table) -> Result<(Vec<String>, Vec<Target>)> {
        let column = self.targets[0];
        let cells = || table.rows().iter().map(|row| row.cells[column].as_str());
        let names: Vec<&str> = cells().collect::<BTreeSet<_>>().into_iter().collect();
        if names.len() == table.rows().len() && names.len() > 2 {
            let problem = "has another value in every row, so it does not name classes".to_owned();
            return Err(table.fault_of(TableFault::TargetColumns, None, Some(column), problem));
        }
        let label = |cell: &str| names.binary_search(&cell).unwrap_or_default();
        let targets = cells().map(|cell| (label(cell), Vec::new())).collect();
        Ok((names.iter().map(|&name| name.to_owned()).collect(), targets))
    }

    /// The label or value in a cell.
    fn value(&self, table: &Table, row: &Row, column: usize) -> Result<f32> {
        let cell = &row.cells[column];
        let (value, expected) = match self.kind {
            TargetKind::Labels => (holds(table, cell).map(|holds| f32::from(u8::from(holds))), "a label is 0 or 1"),
            _ => (table.number(cell).map(|number| number as f32), "expected a number"),
        };
        value.filter(|value| value.is_finite()).ok_or_else(|| {
            table.fault_of(TableFault::TargetKind, Some(row.number), Some(column), format!("is {cell:?}: {expected}"))
        })
    }

    /// The file of each row.
    ///
    /// # Errors
    /// [`Error::Table`] names the first row whose file is missing, or is already in an earlier row.
    pub(super) fn files(&self, table: &Table, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut finder = FileResolver::new(table, folder);
        let mut rows_of: HashMap<PathBuf, u64> = HashMap::new();
        let mut paths = Vec::with_capacity(table.rows().len());
        for row in table.rows() {
            let cell = &row.cells[self.file];
            let fault = |problem: String| Err(table.fault(Some(row.number), Some(self.file), problem));
            if cell.is_empty() {
                return fault("is empty: expected the name of a file".to_owned());
            }
            let Some(path) = finder.find(cell) else {
                let missing = table.rows().iter().filter(|row| finder.find(&row.cells[self.file]).is_none()).count();
                let all = if missing > 1 { format!(" ({missing} rows name missing files)") } else { String::new() };
                return fault(format!(
                    "there is no file {cell:?} in {}{all}: correct the name, or remove the row",
                    folder.display()
                ));
            };
            if let Some(before) = rows_of.insert(path.clone(), row.number) {
                return fault(format!(
                    "{cell:?} is in row {before} already: keep one row for each image (several labels are several columns \
                     of 0 and 1)"
                ));
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// The group of each row, if there is a group column.
    pub(super) fn groups(&self, table: &Table) -> Result<Vec<Option<Arc<str>>>> {
        let group = |row: &Row| match self.group {
            Some(column) if row.cells[column].is_empty() => {
                let problem = "is empty: every image needs a group".to_owned();
                Err(table.fault(Some(row.number), Some(column), problem))
            }
            Some(column) => Ok(Some(row.cells[column].as_str().into())),
            None => Ok(None),
        };
        table.rows().iter().map(group).collect()
    }
}

/// Resolves the file names in a table.
struct FileResolver<'a> {
    folders: [PathBuf; 2],
    folder: &'a Path,
    /// The images of the folder by their paths without extension; listed on the first name without one.
    stems: Option<HashMap<PathBuf, PathBuf>>,
}

impl<'a> FileResolver<'a> {
    fn new(table: &Table, folder: &'a Path) -> Self {
        let own = table.path().parent().unwrap_or(Path::new("")).to_owned();
        Self { folders: [folder.to_owned(), own], folder, stems: None }
    }

    fn find(&mut self, cell: &str) -> Option<PathBuf> {
        self.exact(cell).or_else(|| self.without_ending(cell))
    }

    /// The file with exactly this name.
    fn exact(&self, cell: &str) -> Option<PathBuf> {
        let names = spellings(cell);
        let paths = self.folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
        paths.into_iter().find(|path| !cell.is_empty() && path.is_file())
    }

    /// The image with this name plus an extension.
    fn without_ending(&mut self, cell: &str) -> Option<PathBuf> {
        let folder = self.folder;
        let stems = self.stems.get_or_insert_with(|| {
            let images = files_below(folder, &mut Vec::new()).into_iter().filter(|file| is_image_file(file));
            images.map(|file| (file.with_extension(""), file)).collect()
        });
        spellings(cell).iter().find_map(|name| stems.get(&folder.join(name)).cloned())
    }
}

/// A path as written, and with backslashes converted.
fn spellings(cell: &str) -> Vec<String> {
    let other = cell.contains('\\').then(|| cell.replace('\\', "/"));
    [cell.to_owned()].into_iter().chain(other).collect()
}

/// The first column with the most file names in the first rows. Names without extension only count if no column has full
/// ones and no name occurs twice, because a number may be a class or an image ID.
fn file_column(table: &Table, folder: &Path) -> Result<usize> {
    let mut finder = FileResolver::new(table, folder);
    let rows = &table.rows()[..table.rows().len().min(LOOKED_AT)];
    let columns = 0..table.header().len();
    let exact = |column: usize| rows.iter().filter(|row| finder.exact(&row.cells[column]).is_some()).count();
    let mut counts: Vec<usize> = columns.clone().map(exact).collect();
    if counts.iter().all(|&count| count == 0) {
        let unique = |column: usize| {
            let cells: BTreeSet<&str> = rows.iter().map(|row| row.cells[column].as_str()).collect();
            cells.len() == rows.len() && !table.header()[column].is_empty()
        };
        counts = columns
            .map(|column| match unique(column) {
                true => rows.iter().filter(|row| finder.without_ending(&row.cells[column]).is_some()).count(),
                false => 0,
            })
            .collect();
    }
    let most = counts.iter().copied().max().unwrap_or(0);
    if let Some(first) = table.header().iter().position(|name| finder.find(name).is_some()) {
        let problem =
            format!("{:?} is a file: the names of the columns are missing in the first row", table.header()[first]);
        return Err(table.fault(Some(1), None, problem));
    }
    if most == 0 {
        let first = &table.rows()[0];
        let cells: Vec<String> =
            table.header().iter().zip(&first.cells).map(|(name, cell)| format!("{name} {cell:?}")).collect();
        let problem = format!("no column names files in {}; the first row has {}", folder.display(), cells.join(", "));
        return Err(table.fault_of(TableFault::FileColumn, None, None, problem));
    }
    Ok(counts.iter().position(|&count| count == most).unwrap_or(0))
}

/// All other columns, except those without a name, such as the index column of pandas.
fn others(table: &Table, file: usize, group: Option<usize>) -> Result<Vec<usize>> {
    let is_target = |column: &usize| *column != file && Some(*column) != group && !table.header()[*column].is_empty();
    let others: Vec<usize> = (0..table.header().len()).filter(is_target).collect();
    if others.is_empty() {
        let problem = "there is no column of labels next to that of the files".to_owned();
        return Err(table.fault_of(TableFault::TargetColumns, None, None, problem));
    }
    Ok(others)
}

/// Parses a label.
fn holds(table: &Table, cell: &str) -> Option<bool> {
    match cell.to_lowercase().as_str() {
        "true" | "yes" => Some(true),
        "false" | "no" => Some(false),
        _ => table.number(cell).filter(|number| [0.0, 1.0].contains(number)).map(|number| number == 1.0),
    }
}

/// Infers the kind of targets in columns. Empty cells are reported elsewhere.
fn kind_of(table: &Table, columns: &[usize]) -> Result<TargetKind> {
    let filled = |column: usize| table.rows().iter().filter(move |row| !row.cells[column].is_empty());
    let no_number = |column: usize| filled(column).find(|row| table.number(&row.cells[column]).is_none());
    let &[only] = columns else {
        let no_label = |&column: &usize| filled(column).any(|row| holds(table, &row.cells[column]).is_none());
        if !columns.iter().any(no_label) {
            return Ok(TargetKind::Labels);
        }
        return match columns.iter().find_map(|&column| Some((column, no_number(column)?))) {
            None => Ok(TargetKind::Values),
            Some((column, row)) => Err(mixed(table, columns, column, row)),
        };
    };
    if no_number(only).is_some() {
        return Ok(TargetKind::Classes);
    }
    let numbers: BTreeSet<&str> = filled(only).map(|row| row.cells[only].as_str()).collect();
    let whole = numbers.iter().all(|cell| cell.parse::<i64>().is_ok());
    let few = numbers.len() <= MOST_NUMBERED && 2 * numbers.len() <= table.rows().len();
    Ok(if whole && few { TargetKind::Classes } else { TargetKind::Values })
}

/// The error for several columns that are neither labels nor values.
fn mixed(table: &Table, columns: &[usize], text: usize, row: &Row) -> Error {
    let names: Vec<&str> = columns.iter().map(|&column| table.header()[column].as_str()).collect();
    let problem = format!(
        "{:?} is neither a label (0 or 1) nor a number, so the columns {} of {} are not all targets",
        row.cells[text],
        names.join(", "),
        file_name(table.path())
    );
    table.fault_of(TableFault::TargetColumns, Some(row.number), Some(text), problem)
}
