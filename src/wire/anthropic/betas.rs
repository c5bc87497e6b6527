//! Which betas of the API does a request use? The API wants them named in a header.
//!
//! Each is named at the feature's page of <https://platform.claude.com/docs/en/build-with-claude/overview>.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::ProviderOptions;

/// The header that names betas, separated by commas.
pub(super) const HEADER: &str = "anthropic-beta";

const COMPACTION: &str = "compact-2026-01-12";
const CONTEXT_MANAGEMENT: &str = "context-management-2025-06-27";
const FILES: &str = "files-api-2025-04-14";
const MCP: &str = "mcp-client-2025-11-20";
const MCP_BEFORE_TOOLSETS: &str = "mcp-client-2025-04-04";

/// The betas of one request, each once.
#[derive(Debug, Default)]
pub(super) struct Betas(Vec<&'static str>);

impl Betas {
    fn add(&mut self, beta: &'static str) {
        if !self.0.contains(&beta) {
            self.0.push(beta);
        }
    }

    /// A file that is stored at the provider is used.
    pub(super) fn add_files(&mut self) {
        self.add(FILES);
    }

    /// A block of the provider is sent back.
    pub(super) fn add_block(&mut self, kind: &str) {
        match kind {
            "container_upload" => self.add(FILES),
            "compaction" => self.add(COMPACTION),
            "mcp_tool_use" | "mcp_tool_result" => self.add(MCP),
            "advisor_tool_result" => self.add("advisor-tool-2026-03-01"),
            _ => {}
        }
    }

    /// A tool is defined in the provider's words.
    pub(super) fn add_tool(&mut self, definition: &RawValue) {
        #[derive(Default, Deserialize)]
        struct Typed {
            r#type: String,
        }
        let Typed { r#type } = serde_json::from_str(definition.get()).unwrap_or_default();
        match r#type.as_str() {
            "mcp_toolset" => self.add(MCP),
            "advisor_20260301" => self.add("advisor-tool-2026-03-01"),
            "code_execution_20250522" => self.add("code-execution-2025-05-22"),
            "computer_20241022" | "bash_20241022" | "text_editor_20241022" => {
                self.add("computer-use-2024-10-22");
            }
            "computer_20250124" => self.add("computer-use-2025-01-24"),
            "computer_20251124" => self.add("computer-use-2025-11-24"),
            _ => {}
        }
    }

    /// Fields of the request are set in the provider's words. Tools are added before.
    pub(super) fn add_options<'o>(&mut self, options: impl Iterator<Item = &'o ProviderOptions>) {
        for ProviderOptions { fields, .. } in options {
            let fields: BTreeMap<String, &RawValue> =
                serde_json::from_str(fields).unwrap_or_default();
            let tools: Vec<&RawValue> = fields
                .get("tools")
                .and_then(|tools| serde_json::from_str(tools.get()).ok())
                .unwrap_or_default();
            for tool in tools {
                self.add_tool(tool);
            }
            for (name, value) in fields {
                match name.as_str() {
                    "context_management" => {
                        self.add(CONTEXT_MANAGEMENT);
                        if value.get().contains("\"compact_20260112\"") {
                            self.add(COMPACTION);
                        }
                    }
                    "mcp_servers" if !self.0.contains(&MCP) => self.add(MCP_BEFORE_TOOLSETS),
                    "speed" => self.add("fast-mode-2026-02-01"),
                    _ => {}
                }
            }
        }
    }

    /// The value of the header; `None` if the request uses no beta.
    pub(super) fn header(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.join(","))
    }
}
