//! From which file are the sums of a day read? From its own or from `usage.db`: from one of them, also while they move.
//!
//! Whoever drops an old day adds its sums to `usage.db`, which says so in the same transaction, and then deletes its file. So
//! days are listed first: one that is not listed any more is in `usage.db`, if that is read afterwards. One that is in both
//! is read there. One that is listed, not in `usage.db` and gone has moved meanwhile: then everything is read again.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::call_id::Day;
use super::files::LedgerFile;

/// Reads every day once. `days` lists those that are wanted and have a file. `read` adds what a file says, and returns the
/// days whose sums that file has taken over, which must be of the same moment; `None` if there is no such file.
pub(super) fn each_day_once<T: Default, E>(
    days: impl Fn() -> Result<Vec<Day>, E>,
    mut read: impl FnMut(LedgerFile, &mut T) -> Result<Option<BTreeSet<Day>>, E>,
) -> Result<T, E> {
    'listing: loop {
        let listed = days()?;
        let mut found = T::default();
        let merged = read(LedgerFile::Usage, &mut found)?.unwrap_or_default();
        for day in listed {
            if merged.contains(&day) {
                continue;
            }
            let has_moved = read(LedgerFile::Day(day), &mut found)?.is_none()
                // A file that is just being made has nothing yet.
                && !days()?.contains(&day);
            if has_moved {
                continue 'listing;
            }
        }
        return Ok(found);
    }
}

/// The days whose sums a file has taken over: none, but for `usage.db`.
pub(super) fn merged_days(file: &Connection) -> rusqlite::Result<BTreeSet<Day>> {
    let mut select = file.prepare_cached("SELECT day FROM merged_days")?;
    select.query_map([], |row| row.get(0).map(Day))?.collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    /// Which days have a file, and which are in `usage.db`.
    #[derive(Default)]
    struct MovingDays {
        files: BTreeSet<Day>,
        merged: BTreeSet<Day>,
    }

    /// The days that were counted, where this is done before each file is read.
    fn counted(before: impl Fn(LedgerFile, &mut MovingDays)) -> Vec<i64> {
        let days = RefCell::new(MovingDays {
            files: BTreeSet::from([Day(1), Day(2)]),
            merged: BTreeSet::new(),
        });
        let listed = || Ok::<_, Infallible>(days.borrow().files.iter().copied().collect());
        let read = |file, found: &mut Vec<i64>| {
            before(file, &mut days.borrow_mut());
            let MovingDays { files, merged } = &*days.borrow();
            Ok(match file {
                LedgerFile::Usage => {
                    found.extend(merged.iter().map(|day| day.0));
                    Some(merged.clone())
                }
                LedgerFile::Day(day) => files.contains(&day).then(|| {
                    found.push(day.0);
                    BTreeSet::new()
                }),
            })
        };
        let mut counted = each_day_once(listed, read).unwrap();
        counted.sort_unstable();
        counted
    }

    #[test]
    fn a_day_is_counted_once_whenever_it_moves() {
        let first = LedgerFile::Day(Day(1));
        for moment in [LedgerFile::Usage, first, LedgerFile::Day(Day(2))] {
            for deleted in [moment, first, LedgerFile::Day(Day(2))] {
                let found = counted(|file, days| {
                    if file == moment {
                        days.merged.insert(Day(1));
                    }
                    if file == deleted && days.merged.contains(&Day(1)) {
                        days.files.remove(&Day(1));
                    }
                });
                assert_eq!(
                    found,
                    [1, 2],
                    "merged before {moment}, deleted before {deleted}"
                );
            }
        }
    }

    #[test]
    fn a_day_whose_file_is_being_made_has_nothing_yet() {
        let unreadable = |file, _: &mut ()| Ok((file == LedgerFile::Usage).then(BTreeSet::new));

        let read = each_day_once(|| Ok::<_, Infallible>(vec![Day(1)]), unreadable);

        assert_eq!(read, Ok(()));
    }
}
