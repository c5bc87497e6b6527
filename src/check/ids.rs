//! Are the ids that a caller makes up short and plain enough to be kept, compared and logged?

use super::Faults;

/// The longest id, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Checks an id that stands in this field; an empty one stands for none.
pub fn check_id(field: &str, id: &str, faults: &mut Faults) {
    let is_printable = id.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if id.len() > MAX_ID_BYTES || !is_printable {
        faults.add(
            field,
            format_args!("use at most {MAX_ID_BYTES} printable ASCII characters"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_printable() {
        let (longest, too_long) = ("x".repeat(128), "x".repeat(129));
        for (id, is_fine) in [
            ("", true),
            ("order 7 ~", true),
            (&*longest, true),
            (&*too_long, false),
            ("é", false),
            ("a\nb", false),
            ("\u{7f}", false),
        ] {
            let mut faults = Faults::default();

            check_id("idempotency_key", id, &mut faults);

            let field = faults.reported().first().map(|fault| &*fault.field);
            assert_eq!(field, (!is_fine).then_some("idempotency_key"), "{id:?}");
        }
    }
}
