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
    let pairs = Vec::<[String; 2]>::deserialize(deserializer)?;
    let feature = |name: &str| {
        Feature::named(name)
            .ok_or_else(|| D::Error::custom(format_args!("`{name}` is not the name of a feature")))
    };
    let mut exclusions = Vec::with_capacity(pairs.len());
    for [one, other] in &pairs {
        if one == other {
            return Err(D::Error::custom(format_args!(
                "`{one}` cannot exclude itself; take it away by `unsupported`"
            )));
        }
        exclusions.push(Exclusion(feature(one)?, feature(other)?));
    }
    Ok(Some(exclusions))
}
