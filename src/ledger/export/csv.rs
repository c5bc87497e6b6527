//! How is a line of comma-separated values written (RFC 4180) without a cell that a spreadsheet would run as a formula?

/// Appends one line, cell by cell.
#[derive(Debug)]
pub struct CsvLine<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> CsvLine<'o> {
    /// Begins a line.
    pub fn begin(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            is_first: true,
        }
    }

    /// A cell with a text that callers or operators chose. If a spreadsheet would take it for a formula, an apostrophe goes
    /// before it: <https://owasp.org/www-community/attacks/CSV_Injection>
    pub fn text(&mut self, text: &str) -> &mut Self {
        let is_formula =
            text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
        self.cell(if is_formula { "'" } else { "" }, text)
    }

    /// A cell with a number or a word of this program.
    pub fn own(&mut self, text: &str) -> &mut Self {
        self.cell("", text)
    }

    /// A cell without a value.
    pub fn null(&mut self) -> &mut Self {
        self.own("")
    }

    /// Ends the line.
    pub fn end(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    fn cell(&mut self, guard: &str, text: &str) -> &mut Self {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        if guard.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
            self.out.extend_from_slice(text.as_bytes());
            return self;
        }
        self.out.push(b'"');
        self.out.extend_from_slice(guard.as_bytes());
        for byte in text.bytes() {
            if byte == b'"' {
                self.out.push(b'"');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> String {
        let mut out = Vec::new();
        let mut line = CsvLine::begin(&mut out);
        for cell in cells {
            line.text(cell);
        }
        line.end();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(line(&["a", "", "b c"]), "a,,b c\r\n");
        assert_eq!(
            line(&["a,b", "say \"x\"", "two\nlines"]),
            "\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\r\n"
        );
    }

    #[test]
    fn a_spreadsheet_takes_no_text_of_a_caller_for_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            let line = line(&[text]);
            assert_eq!(line, format!("\"'{text}\"\r\n"), "{text}");
        }
    }

    #[test]
    fn a_negative_amount_of_this_program_stays_a_number() {
        let mut out = Vec::new();
        let mut line = CsvLine::begin(&mut out);
        line.own("-0.000000000500").null();
        line.end();

        assert_eq!(out, b"-0.000000000500,\r\n");
    }
}
