//! Behaviour as seen from outside, a file each.

mod schemas_gemini;
