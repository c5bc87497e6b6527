//! What is wrong with the records, and where?

/// A mistake in the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryMistake {
    /// Where it is.
    pub record: MistakenRecord,
    /// The field of the record, such as `parent`.
    pub field: &'static str,
    /// What is wrong.
    pub what: String,
    /// How to correct it.
    pub remedy: String,
}

/// In which record a mistake is, by its position in [`DirectoryRecords`](super::super::record::DirectoryRecords).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MistakenRecord {
    /// An account.
    Account(usize),
    /// A key.
    Key(usize),
    /// In none: it is in what `[auth]` says.
    Rules,
}

/// Collects mistakes.
#[derive(Default)]
pub(super) struct Complaints(Vec<DirectoryMistake>);

impl Complaints {
    pub(super) fn add(
        &mut self,
        record: MistakenRecord,
        field: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(DirectoryMistake {
            record,
            field,
            what: what.into(),
            remedy: remedy.into(),
        });
    }
    /// All of them, if there are any.
    pub(super) fn finish(self) -> Result<(), Vec<DirectoryMistake>> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(self.0),
        }
    }
}

/// Mistakes in one text.
pub fn list(mistakes: &[DirectoryMistake]) -> String {
    let lines = mistakes
        .iter()
        .map(|mistake| format!("{}; {}", mistake.what, mistake.remedy));
    lines.collect::<Vec<_>>().join("; ")
}
