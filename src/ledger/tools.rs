//! How do the files tell which tools a provider ran? As a JSON object of their names and counts.

use std::collections::BTreeMap;

use crate::chat::ProviderToolUsage;

/// The count of each tool, by its name in the files.
fn by_name(tools: &mut ProviderToolUsage) -> [(&'static str, &mut u32); 4] {
    let ProviderToolUsage {
        web_searches,
        web_fetches,
        code_executions,
        file_searches,
    } = tools;
    [
        ("web_searches", web_searches),
        ("web_fetches", web_fetches),
        ("code_executions", code_executions),
        ("file_searches", file_searches),
    ]
}

/// How often which tool ran; `None` if none did.
pub(super) fn spelled(mut tools: ProviderToolUsage) -> Option<String> {
    let ran: Vec<_> = by_name(&mut tools)
        .into_iter()
        .filter(|(_, count)| **count > 0)
        .map(|(tool, count)| format!(r#""{tool}":{count}"#))
        .collect();
    (!ran.is_empty()).then(|| format!("{{{}}}", ran.join(",")))
}

/// What was spelled so. Tools of a later release are passed over.
pub(super) fn read(spelled: Option<&str>) -> ProviderToolUsage {
    let uses = serde_json::from_str(spelled.unwrap_or("{}"));
    let uses: BTreeMap<String, i64> = uses.unwrap_or_default();
    let mut tools = ProviderToolUsage::default();
    for (tool, count) in by_name(&mut tools) {
        let uses = uses.get(tool).copied().unwrap_or(0);
        *count = u32::try_from(uses).unwrap_or(u32::MAX);
    }
    tools
}
