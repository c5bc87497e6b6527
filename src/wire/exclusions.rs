//! Reads `excludes` of a dialect: pairs of names of features that one request cannot combine.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::features::{Exclusion, Feature};

/// Reads a list of pairs such as `["temperature", "top_p"]`.
///
/// # Errors
/// An unknown name, or a pair of the same feature.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<Exclusion>>, D::Error> {
    // Lists, since more than two names in a pair of strings would be passed over in silence.
    let pairs = Vec::<Vec<String>>::deserialize(deserializer)?;
    let feature = |name: &str| {
        Feature::named(name)
            .ok_or_else(|| D::Error::custom(format_args!("`{name}` is not the name of a feature")))
    };
    let mut exclusions = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let [one, other] = pair.as_slice() else {
            return Err(D::Error::custom(format_args!(
                "{} names stand where two features belong",
                pair.len()
            )));
        };
        if one == other {
            return Err(D::Error::custom(format_args!(
                "`{one}` cannot exclude itself; take it away by `unsupported`"
            )));
        }
        exclusions.push(Exclusion(feature(one)?, feature(other)?));
    }
    Ok(Some(exclusions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Dialect {
        #[serde(deserialize_with = "read")]
        excludes: Option<Vec<Exclusion>>,
    }

    #[test]
    fn a_pair_has_two_different_features() {
        let read = |text: &str| toml::from_str::<Dialect>(&format!("excludes = {text}"));

        let pair = read("[['temperature', 'top_p']]").unwrap();
        assert_eq!(
            pair.excludes,
            Some(vec![Exclusion(Feature::Temperature, Feature::TopP)])
        );
        for wrong in [
            "[['temperature']]",
            "[['temperature', 'top_p', 'top_k']]",
            "[['top_p', 'top_p']]",
            "[['top_p', 'top_q']]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
