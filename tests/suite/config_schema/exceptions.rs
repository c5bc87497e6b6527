//! What may only the parser judge? Each reason by what its mistakes say.

const REASONS: [(&str, &[&str]); 12] = [
    (
        "what labels of metrics stand on",
        &[
            "no label rule of this file lists",
            "is a label of metrics that means something else",
            "cannot be the name of a label in Prometheus",
            "there are two labels that Prometheus calls",
            "calls would be counted in",
        ],
    ),
    (
        "what limits stand on",
        &[
            "the file has no account",
            "there is no scenario `",
            "no account has a label",
            "no account allows this value",
            "needs a ledger",
            "no model to which it applies",
            "there are two limits",
            "limits may apply to one attempt",
            "not a time zone",
            "each higher than the one before",
            "not an amount of money",
            "would travel in plaintext",
        ],
    ),
    (
        "references between tables",
        &[
            "there is no provider",
            "there is no model",
            "there is no account",
            "is also the id of",
            "has the same secret",
            "the same proof is bound",
            "cannot be above",
            "has no account above it",
            "holds no credentials",
            "hold data keys",
            "is not a caller",
            "the key has no end",
            "another issuer has the same",
            "there are two rules",
            "with those of the accounts above",
            "`max_output_tokens` is missing",
            "the wire format has no place for",
            "no target after the first has a `price`",
            "`stream_path` is set without `path`",
            "`path` is set without `stream_path`",
            "the path lacks the model's name",
            // In a dialect of a model, whose wire format its provider names.
            "unknown field",
            "unknown variant",
            "invalid type",
        ],
    ),
    (
        "comparisons of two keys",
        &[
            "is longer than `",
            "longer than 5 minutes",
            "longer than `max_timeout`",
            "does not lie between",
            "leaves room for",
            "`burst` in `retry` is 0",
            "`max_attempts` is 1",
            "as long as a whole call may take",
        ],
    ),
    (
        "what a credential may do",
        &[
            "never for both",
            "cannot have all of these",
            "is not limited to scenarios or models",
            "may administer the service",
        ],
    ),
    (
        "secrets in the wrong place",
        &[
            "a body must not hold a secret",
            "would travel unencrypted",
            "the URL holds a credential",
        ],
    ),
    (
        "names that have a meaning already",
        &[
            "this header is set for each request",
            "this header carries `api_key`",
            "this header is set twice",
            "the service sets this field for each request",
            "another spelling of a field",
        ],
    ),
    (
        "addresses, and who reaches them",
        &[
            "not an IP address and a port",
            "not a URL",
            "the URL has no usable host and port",
            "the URL of a gRPC receiver has no path",
            "not the URL of a proxy",
            "not the URL of an issuer of tokens",
            "not a path below the base URL",
            "in plaintext to",
            "so nothing is fetched",
            "keys of administrators would travel in plaintext",
            "nobody could operate the service",
            "everybody who reaches",
        ],
    ),
    (
        "amounts of money with too many digits",
        &[
            "not a price for a million tokens",
            "not a price for one use",
        ],
    ),
    ("sizes with a unit", &["not a size from"]),
    (
        "languages of their own",
        &[
            "not a filter for logs",
            "the simulator cannot behave like this",
            "there is no time zone",
            "must be whole parts of it",
            "must stand in it once",
            "not a moment since 1970",
            "not a time",
        ],
    ),
    // To JSON, 1.0 is a whole number.
    (
        "whole numbers that are written as fractions",
        &["a fraction stands here"],
    ),
];

/// Why the schema cannot know of this mistake; `None` if it should.
pub(super) fn exception(mistake: &str) -> Option<&'static str> {
    let is_in = |words: &[&str]| words.iter().any(|words| mistake.contains(words));
    let (name, _) = REASONS.iter().find(|(_, words)| is_in(words))?;
    let in_dialect = ["unknown field", "unknown variant", "invalid type"];
    if is_in(&in_dialect) && !mistake.contains(": models.") {
        return None;
    }
    Some(name)
}
