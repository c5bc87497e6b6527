//! Are the streamed arguments of a tool call a complete JSON object yet?

/// How much of an object has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Only blanks.
    None,
    /// Some of it, or text that is not an object.
    Part,
    /// All of it, its last brace included.
    Complete,
}

/// The state of arguments that arrive in fragments, whose text is not kept.
#[derive(Default)]
pub(super) struct Arrived {
    length: usize,
    /// Tells apart what was compared with it; FNV-1a.
    hash: u64,
    /// Braces and brackets that are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
    begun: bool,
    /// Whether they begin as an object. Tools of the provider's own kind take any text.
    is_object: bool,
}

impl Arrived {
    /// Reads the next fragment.
    pub(super) fn add(&mut self, fragment: &str) {
        for byte in fragment.bytes() {
            self.length += 1;
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            if !self.begun && !byte.is_ascii_whitespace() {
                self.begun = true;
                self.is_object = byte == b'{';
            }
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// How much has arrived.
    pub(super) fn extent(&self) -> Extent {
        match self.begun {
            false => Extent::None,
            true if self.is_object && self.depth == 0 => Extent::Complete,
            true => Extent::Part,
        }
    }

    /// Whether they are this text.
    pub(super) fn is(&self, text: &str) -> bool {
        let mut other = Self::default();
        other.add(text);
        (other.length, other.hash) == (self.length, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_complete_with_their_last_brace() {
        let table = [
            ("", Extent::None),
            (" \n", Extent::None),
            ("{", Extent::Part),
            ("\"", Extent::Part),
            (r#"{"a":"}"#, Extent::Part),
            (r#"{"a":"\"}"#, Extent::Part),
            (r#"{"a":["#, Extent::Part),
            (r#"{"a":{}"#, Extent::Part),
            ("{}", Extent::Complete),
            (r#" {"a":["}{",{"b":"\\"}]} "#, Extent::Complete),
            ("null", Extent::Part),
        ];
        for (text, extent) in table {
            let mut whole = Arrived::default();
            let mut pieces = Arrived::default();
            whole.add(text);
            text.chars()
                .for_each(|piece| pieces.add(piece.encode_utf8(&mut [0; 4])));

            assert_eq!(whole.extent(), extent, "{text}");
            assert_eq!(pieces.extent(), extent, "{text} in pieces");
            assert!(pieces.is(text) && !pieces.is("other"), "{text}");
        }
    }
}
