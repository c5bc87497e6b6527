//! How are lists and maps of shared texts written as JSON, and read again? serde by itself knows only texts of one owner.

/// Lists of names.
pub(super) mod names {
    use std::sync::Arc;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::limits) fn serialize<S: Serializer>(
        names: &[Arc<str>],
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_seq(names.iter().map(|name| &**name))
    }

    pub(in crate::limits) fn deserialize<'de, D: Deserializer<'de>>(
        read: D,
    ) -> Result<Vec<Arc<str>>, D::Error> {
        let names = Vec::<String>::deserialize(read)?;
        Ok(names.into_iter().map(Arc::from).collect())
    }
}

/// Labels by key.
pub(super) mod labels {
    use std::collections::BTreeMap;

    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::identity::Labels;

    pub(in crate::limits) fn serialize<S: Serializer>(
        labels: &Labels,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        out.collect_map(labels.iter().map(|(key, value)| (&**key, &**value)))
    }

    pub(in crate::limits) fn deserialize<'de, D: Deserializer<'de>>(
        read: D,
    ) -> Result<Labels, D::Error> {
        let labels = BTreeMap::<String, String>::deserialize(read)?;
        let shared = labels
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        Ok(shared.collect())
    }
}
