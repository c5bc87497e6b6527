//! Which lines does a filter such as `debug` or `info,h2=trace` let through?

use tracing_subscriber::filter::{EnvFilter, LevelFilter, ParseError};

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It does not parse.
    #[error(
        "`logging.filter` or `RUST_LOG` is not a log filter: {0}; write a level such as info, or info,modelway=debug"
    )]
    Syntax(#[from] ParseError),
    /// A word of it is not a level.
    #[error(
        "`logging.filter` or `RUST_LOG`: `{0}` is no level; use one of off, error, warn, info, debug and trace, for the service's own lines or as in `h2=debug`"
    )]
    Level(String),
}

/// Reads a filter. A level alone is that of the service's own lines; all others are shown from `warn` on. So `debug`
/// means `warn,modelway=debug`, and the frames of HTTP/2 are shown only where the filter names `h2`. A word alone
/// must be a level: a misspelt level would count as the name of a module, and silence all others.
///
/// # Errors
/// [`FilterError`].
pub fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    let (mut levels, mut named) = (String::new(), String::new());
    for directive in filter.split(',').map(str::trim) {
        let is_alone = !directive.is_empty() && !directive.contains(['=', '[', ':']);
        if !is_alone {
            named.push(',');
            named.push_str(directive);
            continue;
        }
        let level: LevelFilter = directive
            .parse()
            .map_err(|_| FilterError::Level(directive.to_owned()))?;
        let others = level.min(LevelFilter::WARN);
        levels = format!("{others},modelway={level}");
    }
    // What is named comes last: it replaces what a level alone says of the same lines.
    Ok(EnvFilter::builder().parse(levels + &named)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_that_of_our_own_lines() {
        let table = [
            ("info", "modelway=info,warn"),
            ("debug", "modelway=debug,warn"),
            ("TRACE", "modelway=trace,warn"),
            ("error", "modelway=error,error"),
            ("off", "modelway=off,off"),
            ("debug,h2=trace", "h2=trace,modelway=debug,warn"),
            ("info,modelway=debug", "modelway=debug,warn"),
            ("modelway=debug,info", "modelway=debug,warn"),
            ("modelway=debug", "modelway=debug"),
            ("modelway::call=info", "modelway::call=info"),
        ];
        for (written, meant) in table {
            let sorted = |filter: &EnvFilter| {
                let text = filter.to_string();
                let mut directives: Vec<_> = text.split(',').map(str::to_owned).collect();
                directives.sort();
                directives
            };
            let meant = EnvFilter::builder().parse(meant).unwrap();

            assert_eq!(
                sorted(&parse(written).unwrap()),
                sorted(&meant),
                "{written}"
            );
        }
    }

    #[test]
    fn a_misspelt_level_is_no_filter() {
        for filter in ["inof", "inof,h2=info", "info,wran"] {
            assert!(
                matches!(parse(filter), Err(FilterError::Level(_))),
                "{filter}"
            );
        }
        assert!(matches!(parse("h2=inof"), Err(FilterError::Syntax(_))));
    }
}
