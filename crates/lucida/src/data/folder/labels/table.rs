//! A text table: comma-, semicolon- or tab-separated values with the column names in the first row.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use md5::{Digest, Md5};

use crate::data::Limits;
use crate::error::TableFault;
use crate::nn::counted;
use crate::{Error, Result, files, nearest_name};

/// A parsed table. Cells are trimmed.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    digest: String,
    header: Vec<String>,
    rows: Vec<Row>,
    delimiter: u8,
}

/// A row with its number in the file: the header is row 1, as in a spreadsheet.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: u64,
    pub(super) cells: Vec<String>,
}

impl Table {
    /// Reads a file. Quoted cells, byte order marks and Windows line endings are supported; the separator is the most
    /// frequent one in the first row.
    ///
    /// # Errors
    /// [`Error::Table`] names the row and suggests a fix; [`Error::Io`] when the file cannot be read.
    pub(super) fn read(path: &Path, limits: &Limits) -> Result<Self> {
        let bytes = files::read_limited(path, limits.file_bytes)?;
        let digest = digest(&bytes);
        let text = text_of(path, &bytes)?;
        let delimiter = delimiter_of(text);
        let mut table = Self { path: path.to_owned(), digest, header: Vec::new(), rows: Vec::new(), delimiter };
        let mut reader = ReaderBuilder::new()
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .trim(Trim::All)
            .from_reader(text.as_bytes());
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(|problem| table.fault(None, None, problem.to_string()))? {
            let number = record.position().map_or(0, |start| row_of(text, start));
            let cells: Vec<String> = record.iter().map(str::to_owned).collect();
            // Spreadsheets export rows of separators where cells were cleared.
            if cells.iter().all(String::is_empty) {
                continue;
            }
            if table.header.is_empty() {
                table.header = cells;
                table.check_header()?;
                continue;
            }
            table.push(Row { number, cells })?;
        }
        match (table.header.is_empty(), table.rows.is_empty()) {
            (true, _) => Err(table.fault(None, None, "is empty; expected a table of file names and labels".to_owned())),
            (_, true) => Err(table.fault(None, None, "has the names of the columns, but no rows".to_owned())),
            _ => Ok(table),
        }
    }

    fn push(&mut self, row: Row) -> Result<()> {
        let (found, expected) = (row.cells.len(), self.header.len());
        if found == expected {
            self.rows.push(row);
            return Ok(());
        }
        let open_quote = row.cells.iter().any(|cell| cell.contains('\n'));
        let hint = match (open_quote, found > expected) {
            (true, _) => ": is a quotation mark not closed?",
            (_, true) => ": put a cell that contains the separator in quotation marks",
            (_, false) => ": complete the row or remove it",
        };
        let (found, expected) = (counted(found, "cell"), counted(expected, "column"));
        Err(self.fault(Some(row.number), None, format!("has {found} for {expected}{hint}")))
    }

    fn check_header(&self) -> Result<()> {
        let mut seen = HashSet::new();
        if let Some(twice) = self.header.iter().find(|name| !name.is_empty() && !seen.insert(*name)) {
            return Err(self.fault(Some(1), None, format!("two columns are named {twice:?}: rename one")));
        }
        if self.header.len() == 1 {
            let problem = format!(
                "there is one column only, {:?}; expected a column of file names and one or more of labels, separated by \
                 commas, semicolons or tabs",
                self.header[0]
            );
            return Err(self.fault(Some(1), None, problem));
        }
        Ok(())
    }

    /// An error about the table, a row, or a cell.
    pub(super) fn fault(&self, row: Option<u64>, column: Option<usize>, problem: String) -> Error {
        self.fault_of(TableFault::Content, row, column, problem)
    }

    pub(super) fn fault_of(
        &self,
        fault: TableFault,
        row: Option<u64>,
        column: Option<usize>,
        problem: String,
    ) -> Error {
        let column = column.map(|column| self.header[column].clone());
        Error::Table { path: self.path.clone(), row, column, problem, fault }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The MD5 digest of the file, in hexadecimal.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The index of a column.
    ///
    /// # Errors
    /// [`Error::Table`] lists the columns.
    pub(super) fn column(&self, name: &str) -> Result<usize> {
        self.header.iter().position(|known| known == name).ok_or_else(|| {
            let known: Vec<&str> = self.header.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
            let near = nearest_name(name, known.iter().copied());
            let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            let problem = format!("there is no column {name:?}; the columns are {}{near}", known.join(", "));
            self.fault(None, None, problem)
        })
    }

    /// Parses the finite number in a cell, with a decimal comma unless commas separate cells.
    pub(super) fn number(&self, cell: &str) -> Option<f64> {
        let number = match self.delimiter {
            b',' => cell.parse().ok(),
            _ => cell.replace(',', ".").parse().ok(),
        };
        number.filter(|number: &f64| number.is_finite())
    }
}

/// The MD5 digest of a file, in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number of a row from the position where the reader started it, which is before preceding empty lines.
fn row_of(text: &str, start: &csv::Position) -> u64 {
    let rest = &text.as_bytes()[(start.byte() as usize).min(text.len())..];
    let empty = rest.iter().take_while(|byte| b"\r\n".contains(byte)).filter(|&&byte| byte == b'\n').count();
    start.line() + empty as u64
}

/// The text of the file, without a byte order mark.
fn text_of<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str> {
    let fault = |row, problem: &str| {
        let problem = format!("{problem}: save the table as CSV in UTF-8");
        Error::Table { path: path.to_owned(), row, column: None, problem, fault: TableFault::Content }
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(fault(None, "is text in UTF-16"));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return Err(fault(None, "is a spreadsheet, not text"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|problem| {
        let row = 1 + bytes[..problem.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        fault(Some(row as u64), "is not text in UTF-8")
    })
}

/// Detects the separator: the one of tab, semicolon and comma that is most frequent in the first row, outside of quotes.
fn delimiter_of(text: &str) -> u8 {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let count = |delimiter: &u8| {
        let mut quoted = false;
        first
            .bytes()
            .filter(|byte| {
                quoted ^= *byte == b'"';
                !quoted && byte == delimiter
            })
            .count()
    };
    // `max_by_key` returns the last of equal ones: tab before semicolon before comma.
    b",;\t".iter().copied().max_by_key(count).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path, &Limits::default())
    }

    fn cells(table: &Table) -> Vec<(u64, Vec<&str>)> {
        table.rows().iter().map(|row| (row.number, row.cells.iter().map(String::as_str).collect())).collect()
    }

    #[test]
    fn separators_quotes_marks_and_line_ends_are_understood() {
        let expected = [(2, vec!["a.png", "cat, big"]), (3, vec!["b.png", "dog"])];
        for text in [
            "file,class\na.png,\"cat, big\"\nb.png,dog\n",
            "\u{feff}file,class\r\na.png,\"cat, big\"\r\nb.png,dog",
            "file;class\na.png;cat, big\nb.png; dog \n",
            "file\tclass\na.png\tcat, big\nb.png\tdog\n",
            "\"file\",\"class\"\n\"a.png\",\"cat, big\"\n\"b.png\",\"dog\"\n,\n\n",
        ] {
            let table = read(text.as_bytes()).unwrap();
            assert_eq!(table.header(), ["file", "class"], "{text:?}");
            assert_eq!(cells(&table), expected, "{text:?}");
        }
        let gaps = read(b"file,class\r\n\r\n\r\na.png,cat\r\n\r\nb.png,\"d\r\nog\"\r\nc.png,cat").unwrap();
        assert_eq!(gaps.rows().iter().map(|row| row.number).collect::<Vec<_>>(), [4, 6, 8]);
        let semicolons = read(b"file;age\na.png;1,5\n").unwrap();
        assert_eq!(semicolons.number("1,5"), Some(1.5));
        let commas = read(b"file,age\na.png,1.5\n").unwrap();
        assert_eq!([commas.number("1.5"), commas.number("1,5"), commas.number("inf")], [Some(1.5), None, None]);
    }

    #[test]
    fn bad_tables_are_refused_with_the_row() {
        for (text, expected) in [
            (&b""[..], "labels.csv: is empty"),
            (b"file,class\n", "labels.csv: has the names of the columns, but no rows"),
            (b"file\na.png\n", "labels.csv, row 1: there is one column only, \"file\""),
            (b"file,class,file\na,b,c\n", "labels.csv, row 1: two columns are named \"file\""),
            (b"file,class\na.png,cat\nb.png\n", "labels.csv, row 3: has 1 cell for 2 columns: complete the row"),
            (b"file,class\na.png,cat,big\n", "labels.csv, row 2: has 3 cells for 2 columns: put a cell"),
            (
                b"file,class\na.png,cat\n\"b.png,dog\nc.png,cat\n",
                "row 3: has 1 cell for 2 columns: is a quotation mark",
            ),
            (b"file,class\na.png,cat\nb.png,k\xe4tzchen\n", "labels.csv, row 3: is not text in UTF-8: save"),
            (b"\xff\xfef\0", "labels.csv: is text in UTF-16: save"),
            (b"PK\x03\x04", "labels.csv: is a spreadsheet, not text: save"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let table = read(b"file,class\na.png,cat\n").unwrap();
        let message = table.column("clas").unwrap_err().to_string();
        assert!(message.ends_with("no column \"clas\"; the columns are file, class; did you mean class?"), "{message}");
    }
}
