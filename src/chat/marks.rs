//! What is said of single parts and tools besides their content? Few have any mark, so marks stand beside them.

use std::fmt;

use super::ProviderOptions;

/// The marks of a request's parts and tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// In the order of the parts.
    parts: Vec<(PartAt, Mark)>,
    /// By the index of the tool, in order.
    tools: Vec<(usize, Mark)>,
}

/// Where a part stands in a request. Parts of a tool result follow the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartAt {
    /// Index of the message.
    pub message: usize,
    /// Index of the part in the message.
    pub part: usize,
    /// Index in the content of that tool result; `None` for the part itself.
    pub content: Option<usize>,
}

/// The path of the part in the contract.
impl fmt::Display for PartAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            message,
            part,
            content,
        } = self;
        write!(f, "messages[{message}].parts[{part}]")?;
        match content {
            None => Ok(()),
            Some(content) => write!(f, ".tool_result.content[{content}]"),
        }
    }
}

/// What is said of one part or tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Whether the prompt up to here is worth keeping in the provider's cache.
    pub cache: Option<CacheRetention>,
    /// Fields of it in a provider's own words.
    pub options: Vec<ProviderOptions>,
}

/// How long a provider keeps a prompt in its cache at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheRetention {
    /// The provider's default.
    Default,
    /// Some minutes.
    Short,
    /// An hour or more.
    Long,
}

impl Marks {
    /// Marks a part. Parts are marked in the order in which they stand; a mark that says nothing is not kept.
    pub fn add_to_part(&mut self, at: PartAt, mark: Mark) {
        debug_assert!(self.parts.last().is_none_or(|(last, _)| *last < at));
        if mark != Mark::default() {
            self.parts.push((at, mark));
        }
    }

    /// Marks a tool. Tools are marked in the order in which they stand; a mark that says nothing is not kept.
    pub fn add_to_tool(&mut self, index: usize, mark: Mark) {
        debug_assert!(self.tools.last().is_none_or(|(last, _)| *last < index));
        if mark != Mark::default() {
            self.tools.push((index, mark));
        }
    }

    /// The mark of a part of a message.
    pub fn of_part(&self, message: usize, part: usize) -> Option<&Mark> {
        self.at(PartAt {
            message,
            part,
            content: None,
        })
    }

    /// The mark of a part of a tool result, which is itself this part of a message.
    pub fn of_content(&self, message: usize, part: usize, content: usize) -> Option<&Mark> {
        self.at(PartAt {
            message,
            part,
            content: Some(content),
        })
    }

    /// The mark of a tool.
    pub fn of_tool(&self, index: usize) -> Option<&Mark> {
        let found = self.tools.binary_search_by_key(&index, |(index, _)| *index);
        self.tools.get(found.ok()?).map(|(_, mark)| mark)
    }

    /// Every mark of a part, in order.
    pub fn of_parts(&self) -> impl Iterator<Item = (PartAt, &Mark)> {
        self.parts.iter().map(|(at, mark)| (*at, mark))
    }

    /// Every mark of a tool, in order.
    pub fn of_tools(&self) -> impl Iterator<Item = (usize, &Mark)> {
        self.tools.iter().map(|(index, mark)| (*index, mark))
    }

    /// Whether any part or tool has fields in a provider's own words.
    pub fn has_options(&self) -> bool {
        let mut parts = self.parts.iter().map(|(_, mark)| mark);
        let mut tools = self.tools.iter().map(|(_, mark)| mark);
        parts.any(|mark| !mark.options.is_empty()) || tools.any(|mark| !mark.options.is_empty())
    }

    /// The mark of the part that stands there.
    pub fn at(&self, at: PartAt) -> Option<&Mark> {
        let found = self.parts.binary_search_by_key(&at, |(at, _)| *at);
        self.parts.get(found.ok()?).map(|(_, mark)| mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_where_it_was_set_and_nowhere_else() {
        let cached = |retention| Mark {
            cache: Some(retention),
            ..Mark::default()
        };
        let at = |message, part, content| PartAt {
            message,
            part,
            content,
        };
        let mut marks = Marks::default();
        marks.add_to_part(at(0, 1, None), cached(CacheRetention::Short));
        marks.add_to_part(at(2, 0, None), Mark::default());
        marks.add_to_part(at(2, 0, Some(3)), cached(CacheRetention::Long));
        marks.add_to_tool(1, cached(CacheRetention::Default));

        let cache = |mark: Option<&Mark>| mark.and_then(|mark| mark.cache);
        assert_eq!(cache(marks.of_part(0, 1)), Some(CacheRetention::Short));
        assert_eq!(cache(marks.of_content(2, 0, 3)), Some(CacheRetention::Long));
        assert_eq!(cache(marks.of_tool(1)), Some(CacheRetention::Default));
        let nothing = [
            marks.of_part(0, 0),
            marks.of_part(2, 0),
            marks.of_content(0, 1, 0),
            marks.of_content(2, 0, 2),
            marks.of_tool(0),
        ];
        assert!(nothing.iter().all(Option::is_none));
        assert_eq!(marks.of_parts().count() + marks.of_tools().count(), 3);
    }
}
