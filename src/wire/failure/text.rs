//! Normalises codes and messages of errors, so that rules need not know each host's spelling.

/// How much of a name is looked at, so that the time for a sentence is proportional to its length.
const MAX_NAME_BYTES: usize = 64;

/// A code in lower case with its words parted by `_`: `RateLimitReached`, `rate-limit-reached` and
/// `Rate limit reached` are one code.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len() + 8);
    let mut chars = text.chars().peekable();
    let mut last = '_';
    while let Some(char) = chars.next() {
        if !char.is_alphanumeric() {
            if last != '_' {
                code.push('_');
                last = '_';
            }
            continue;
        }
        // A word begins at an upper case letter after a lower case one, or before one.
        let begins = char.is_uppercase()
            && (last.is_lowercase()
                || last.is_uppercase() && chars.peek().is_some_and(|next| next.is_lowercase()));
        if begins && last != '_' {
            code.push('_');
        }
        code.extend(char.to_lowercase());
        last = char;
    }
    code.truncate(code.trim_end_matches('_').len());
    code
}

/// Whether a code contains this one as whole words. A number must be the whole code.
pub(super) fn holds(code: &str, wanted: &str) -> bool {
    let is_number = wanted.bytes().all(|byte| byte.is_ascii_digit());
    code == wanted
        || !is_number
            && code.match_indices(wanted).any(|(start, _)| {
                let (before, behind) = (&code[..start], &code[start + wanted.len()..]);
                (before.is_empty() || before.ends_with('_'))
                    && (behind.is_empty() || behind.starts_with('_'))
            })
}

/// The sentences of a message in lower case, with one space between words. Quoted words are left out:
/// they are names from the request or of a model, and would be mistaken for a part of the message.
pub(super) fn sentences(message: &str) -> Vec<String> {
    let message = message.to_lowercase();
    let message = without_quoted_words(&without_addresses(&message));
    let mut sentences = vec![String::new()];
    let mut chars = message.chars().peekable();
    while let Some(char) = chars.next() {
        let is_end = match char {
            '\n' | '。' | '！' | '；' => true,
            '.' | '!' | '?' | ';' => chars.peek().is_none_or(|next| next.is_whitespace()),
            _ => false,
        };
        if is_end {
            sentences.push(String::new());
            continue;
        }
        let Some(sentence) = sentences.last_mut() else {
            break;
        };
        match char.is_whitespace() {
            true if sentence.is_empty() || sentence.ends_with(' ') => {}
            true => sentence.push(' '),
            false => sentence.push(char),
        }
    }
    sentences.retain(|sentence| !sentence.is_empty());
    for sentence in &mut sentences {
        // So that a rule can ask for the end of a word.
        if !sentence.ends_with(' ') {
            sentence.push(' ');
        }
    }
    sentences
}

/// Leaves out links, because their paths often mention billing and limits.
fn without_addresses(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("http") {
        let (before, address) = rest.split_at(start);
        kept.push_str(before);
        let is_address = address.starts_with("http://") || address.starts_with("https://");
        let is_end = |char: char| !char.is_ascii_graphic() || "\"'<>()\\".contains(char);
        let end = match is_address {
            true => address.find(is_end).unwrap_or(address.len()),
            false => "http".len(),
        };
        if !is_address {
            kept.push_str(&address[..end]);
        }
        rest = &address[end..];
    }
    kept.push_str(rest);
    kept
}

/// Leaves out a single word between quotation marks.
fn without_quoted_words(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['\'', '"', '`']) {
        let (before, quoted) = rest.split_at(start);
        kept.push_str(before);
        // All three are one byte long. An apostrophe stands within or after a word, a quotation mark
        // before one.
        let (mark, inner) = quoted.split_at(1);
        let is_opening = !kept.ends_with(|char: char| char.is_alphanumeric());
        let end = inner.find(mark).filter(|end| {
            let word = &inner[..*end];
            is_opening && !word.is_empty() && !word.contains(char::is_whitespace)
        });
        match end {
            Some(end) => rest = &inner[end + 1..],
            None => {
                kept.push_str(mark);
                rest = inner;
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// Where a piece first stands in a sentence from this byte on: at the beginning of a word, and not in a name
/// such as `credit_score` or `tools.0.payment`, which are the caller's.
pub(super) fn find(sentence: &str, piece: &str, from: usize) -> Option<usize> {
    let rest = sentence.get(from..)?;
    let mut found = rest.match_indices(piece).map(|(start, _)| from + start);
    found.find(|&start| {
        let end = start + piece.len();
        let is_name = |part: &str| part.contains(['_', '.', '[']);
        let before = &sentence[word_start(sentence, start)..start];
        let behind = &sentence[end..word_end(sentence, end)];
        // In Chinese, words follow each other without a space.
        let begins = !piece.starts_with(is_of_word) || !before.ends_with(is_of_word);
        begins && !is_name(before) && !is_name(behind)
    })
}

fn is_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte)
}

/// Where the name begins that ends before this byte.
fn word_start(sentence: &str, end: usize) -> usize {
    let bytes = sentence.as_bytes()[..end].iter().rev();
    end - bytes
        .take(MAX_NAME_BYTES)
        .take_while(|byte| is_of_name(**byte))
        .count()
}

/// Where the name ends that goes on from this byte. A full stop after it is not part of it.
fn word_end(sentence: &str, start: usize) -> usize {
    let bytes = sentence.as_bytes()[start..].iter();
    let length = bytes
        .take(MAX_NAME_BYTES)
        .take_while(|byte| is_of_name(**byte))
        .count();
    start + sentence[start..start + length].trim_end_matches('.').len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_code_has_one_form_however_it_is_written() {
        let table = [
            ("rate_limit_reached", "rate_limit_reached"),
            ("RateLimitReached", "rate_limit_reached"),
            ("rate-limit reached", "rate_limit_reached"),
            ("API_KEY_INVALID", "api_key_invalid"),
            (
                "ResponsibleAIPolicyViolation",
                "responsible_ai_policy_violation",
            ),
            (
                "InternalError.Algo.DataInspectionFailed",
                "internal_error_algo_data_inspection_failed",
            ),
            ("1301", "1301"),
            ("__type__", "type"),
            ("...", ""),
            ("", ""),
        ];
        for (text, expected) in table {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn a_code_holds_whole_words_and_no_parts_of_numbers() {
        let table = [
            ("insufficient_quota", "insufficient_quota", true),
            ("project_spend_limit_exceeded", "spend_limit", true),
            ("uninsufficient_quota", "insufficient_quota", false),
            ("insufficient_quotas", "insufficient_quota", false),
            ("1301", "1301", true),
            ("11301", "1301", false),
            ("error_1301", "1301", false),
        ];
        for (code, wanted, expected) in table {
            assert_eq!(holds(code, wanted), expected, "{code} {wanted}");
        }
    }

    #[test]
    fn a_message_falls_into_sentences_without_quoted_words() {
        let table: [(&str, &[&str]); 9] = [
            (
                "See https://a.example/billing?enable=1. The http way",
                &["see the http way"],
            ),
            (
                "One  is.\tTwo are! Three\nFour",
                &["one is", "two are", "three", "four"],
            ),
            ("GPT-4.1 is gone.", &["gpt-4.1 is gone"]),
            ("余额不足。请充值", &["余额不足", "请充值"]),
            ("The model `gpt-4` isn't 'there'", &["the model isn't"]),
            (
                "Your users' organization's limit",
                &["your users' organization's limit"],
            ),
            (
                "he says \"Content Exists Risk\" to you",
                &["he says \"content exists risk\" to you"],
            ),
            ("an 'open end", &["an 'open end"]),
            ("", &[]),
        ];
        for (message, expected) in table {
            let sentences = sentences(message);
            let trimmed: Vec<_> = sentences.iter().map(|it| it.trim_end()).collect();

            assert_eq!(trimmed, expected, "{message}");
            assert!(sentences.iter().all(|it| it.ends_with(' ')));
        }
    }

    #[test]
    fn a_piece_is_found_at_the_beginning_of_a_word() {
        let sentence = "get_balance: the balances 余额不足";

        assert_eq!(find(sentence, "balance", 0), Some(17));
        assert_eq!(find(sentence, "balance", 18), None);
        assert_eq!(find(sentence, "lance", 0), None);
        assert_eq!(find(sentence, "不足", 0), Some(32));
        assert_eq!(find(sentence, "the", 4000), None);
        for sentence in [
            "tools.0.balance: no",
            "the balance_due",
            "a.balance",
            "my_balance",
        ] {
            assert_eq!(find(sentence, "balance", 0), None, "{sentence}");
        }
        assert_eq!(find("new_sensitive (1026)", "new_sensitive", 0), Some(0));
        assert_eq!(find("no balance...", "balance", 0), Some(3));
    }
}
