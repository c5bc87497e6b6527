//! How are keys shown to people?

use std::fmt::Write as _;

use crate::command::console::shown;
use crate::command::summary::bare;
use crate::grpc::v1;

/// A key in a line.
pub(super) fn line_of(key: &v1::Key) -> String {
    let [id, account, state, may, expires, used, name] = columns(key);
    let mut line = format!("{id}  {account}  {state}  {may}  {expires}");
    if !used.is_empty() {
        let _ = write!(line, "  last used {used}");
    }
    if !name.is_empty() {
        let _ = write!(line, "  {name}");
    }
    shown(&line).into_owned()
}

/// Keys, a line for each under a line of titles.
pub(super) fn table_of(keys: &[v1::Key]) -> String {
    let titles = [
        "ID",
        "ACCOUNT",
        "STATE",
        "MAY",
        "EXPIRES",
        "LAST USED",
        "NAME",
    ];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(keys.iter().map(columns));
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    let widths: [usize; 7] = std::array::from_fn(|at| width(at).unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    shown(text.trim_end()).into_owned()
}

fn columns(key: &v1::Key) -> [String; 7] {
    let scopes = key.scopes.iter().map(scope);
    let scopes: Vec<_> = scopes.collect();
    let may = match scopes.is_empty() {
        true => "as the account".to_owned(),
        false => scopes.join("+"),
    };
    let name = match key.source.as_str() {
        "file" => format!("{} (of the file)", key.display_name),
        _ => key.display_name.clone(),
    };
    [
        key.id.clone(),
        key.account.clone(),
        bare(key.state().as_str_name(), "KEY_STATE_").to_lowercase(),
        may,
        key.expire_time.map_or_else(|| "never".to_owned(), time),
        key.last_used_time.map(time).unwrap_or_default(),
        name.trim().to_owned(),
    ]
}

fn scope(scope: &v1::Scope) -> String {
    let action = bare(scope.action().as_str_name(), "ACTION_");
    let names: Vec<_> = scope
        .scenarios
        .iter()
        .chain(&scope.models)
        .cloned()
        .collect();
    match names.is_empty() {
        true => action.to_owned(),
        false => format!("{action}({})", names.join(",")),
    }
}

/// A time, to the second, in UTC.
pub(in crate::command) fn time(at: prost_types::Timestamp) -> String {
    prost_types::Timestamp { nanos: 0, ..at }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_last_second_that_can_be_written() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_795_867_200, "2026-11-28T12:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            let nanos = 999_999_999;

            assert_eq!(time(prost_types::Timestamp { seconds, nanos }), shown);
        }
    }
}
